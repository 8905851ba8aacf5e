// The kinds of metrics, for the rooms that count: an agent has one registry, shown by `metricsPages`.
export { Counter, Gauge, Histogram, Registry, Summary } from 'prom-client';
