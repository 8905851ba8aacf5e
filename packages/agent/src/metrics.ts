// The kinds of metrics, for rooms that have some. An agent has one registry, which `metricsPages` serves.
export { Counter, Gauge, Histogram, Registry, Summary } from 'prom-client';
