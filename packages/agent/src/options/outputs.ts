// The options that say where an agent's log, health and metrics go.
import type { Place } from '../http.ts';
import type { LogDestinations, Severity } from '../log.ts';
import { row, type Values } from './option.ts';
import { severity, text, truth, whole } from './parsers.ts';

/** Where log, health and metrics go. */
export type Outputs = {
  readonly log: LogDestinations;
  /** Where health is served; undefined when it is not. */
  readonly health: Place | undefined;
  /** Where metrics are served; undefined when they are not. */
  readonly metrics: Place | undefined;
};

const port = whole(0, 65_535);
const none = { value: undefined };

/** The rows of log, health and metrics in felix.cfg and bird-agent.cfg. */
export const outputRows = (defaults: {
  readonly logFile: string;
  readonly healthPort: number;
  readonly metricsHost: string;
  readonly metricsPort: number;
}) => ({
  LogFilePath: row<string | undefined>(text, defaults.logFile, 'file that the log goes to; `none`: none', { required: true, none }),
  LogSeverityFile: row<Severity | undefined>(severity, 'INFO', 'least severity there', { none }),
  LogSeverityScreen: row<Severity | undefined>(severity, 'INFO', 'least severity on standard output; `none`: nothing goes there', { none }),
  HealthEnabled: row(truth, false, 'serves `/liveness` and `/readiness`'),
  HealthHost: row(text, 'localhost', 'the address for that'),
  HealthPort: row(port, defaults.healthPort, 'the port for that'),
  PrometheusMetricsEnabled: row(truth, false, 'serves `/metrics`'),
  PrometheusMetricsHost: row(text, defaults.metricsHost, 'the address for that', defaults.metricsHost === '' ? { shownDefault: 'all addresses' } : {}),
  PrometheusMetricsPort: row(port, defaults.metricsPort, 'the port for that'),
});

/** Where log, health and metrics go according to these values. */
export const outputsOf = (values: Values<ReturnType<typeof outputRows>>): Outputs => ({
  log: {
    screen: values.LogSeverityScreen,
    file: values.LogFilePath && values.LogSeverityFile ? { path: values.LogFilePath, severity: values.LogSeverityFile } : undefined,
  },
  health: values.HealthEnabled ? { host: values.HealthHost, port: values.HealthPort } : undefined,
  metrics: values.PrometheusMetricsEnabled ? { host: values.PrometheusMetricsHost || '::', port: values.PrometheusMetricsPort } : undefined,
});
