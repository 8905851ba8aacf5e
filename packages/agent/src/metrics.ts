// The kinds of metrics, for the rooms that define metrics. An agent has one registry, which `metricsPages` serves.
export { Counter, Gauge, Histogram, Registry, Summary } from 'prom-client';
