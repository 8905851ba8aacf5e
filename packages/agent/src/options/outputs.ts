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
  LogFilePath: row<string | undefined>(text, defaults.logFile, 'the log file; `none` for none', { required: true, none }),
  LogSeverityFile: row<Severity | undefined>(severity, 'INFO', 'the least severe events in the log file; `none` for no file', { none }),
  LogSeverityScreen: row<Severity | undefined>(severity, 'INFO', 'the least severe events on standard output; `none` for no output', { none }),
  HealthEnabled: row(truth, false, 'whether `/liveness` and `/readiness` are served'),
  HealthHost: row(text, 'localhost', 'the address on which they are served'),
  HealthPort: row(port, defaults.healthPort, 'their port'),
  PrometheusMetricsEnabled: row(truth, false, 'whether `/metrics` is served'),
  PrometheusMetricsHost: row(
    text,
    defaults.metricsHost,
    'the address on which it is served',
    defaults.metricsHost === '' ? { shownDefault: 'all addresses' } : {},
  ),
  PrometheusMetricsPort: row(port, defaults.metricsPort, 'its port'),
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
