// The options that say where an agent's log, health and metrics go.
import type { Place } from '../http.ts';
import type { LogDestinations, Severity } from '../log.ts';
import { type ClientAuth, checkPagesTls, clientAuths, type PagesTls } from '../pages-tls.ts';
import { type Parser, row, type Values } from './option.ts';
import { good, oneOf, severity, text, truth, whole } from './parsers.ts';

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

/** Who may read metrics. A text that is none of the words must not let in more clients than it was meant to. */
const clientAuth: Parser<ClientAuth> = (value, dialect) => {
  const known = oneOf(...clientAuths)(value, dialect);
  if (known.ok) return known;
  return good('RequireAndVerifyClientCert', `it is none of ${clientAuths.join(', ')}; clients need a certificate of the authorities' file until it is`);
};

/** The rows of the TLS of metrics, which each file has under names of its own. */
export const metricsTlsRows = {
  certFile: row<string | undefined>(text, undefined, 'the file of the certificate with which it is served; with it and the key, it is served with TLS alone', {
    none,
  }),
  keyFile: row<string | undefined>(text, undefined, "the file of that certificate's key", { none }),
  caFile: row<string | undefined>(text, undefined, "the file of the authorities that clients' certificates are checked against", { none }),
  clientAuth: row<ClientAuth>(
    clientAuth,
    'NoClientCert',
    'which clients get it: `NoClientCert` all, `VerifyClientCertIfGiven`, `RequireAnyClientCert`, `RequireAndVerifyClientCert`',
    { none: { value: 'NoClientCert' } },
  ),
} as const;

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
  LogSeveritySys: row<Severity | undefined>(
    severity,
    'INFO',
    "the least severe events in the system's log (journald, or syslog at /dev/log); `none` for none. Where standard output is the journal, it has each event once",
    { none },
  ),
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
  PrometheusMetricsCertFile: metricsTlsRows.certFile,
  PrometheusMetricsKeyFile: metricsTlsRows.keyFile,
  PrometheusMetricsCAFile: metricsTlsRows.caFile,
  PrometheusMetricsClientAuth: metricsTlsRows.clientAuth,
});

/** The TLS of metrics. Whoever sets one of the parameters wants it; what is missing then is an error, and nothing is served in the clear. */
export const metricsTls = (tls: PagesTls): Place['tls'] =>
  [tls.certFile, tls.keyFile, tls.caFile].some((file) => file !== undefined) || tls.clientAuth !== 'NoClientCert' ? tls : undefined;

const tlsOfCfg = (values: Values<ReturnType<typeof outputRows>>): PagesTls => ({
  certFile: values.PrometheusMetricsCertFile,
  keyFile: values.PrometheusMetricsKeyFile,
  caFile: values.PrometheusMetricsCAFile,
  clientAuth: values.PrometheusMetricsClientAuth,
});

/** Where log, health and metrics go according to these values. */
export const outputsOf = (values: Values<ReturnType<typeof outputRows>>): Outputs => ({
  log: {
    screen: values.LogSeverityScreen,
    system: values.LogSeveritySys,
    file: values.LogFilePath && values.LogSeverityFile ? { path: values.LogFilePath, severity: values.LogSeverityFile } : undefined,
  },
  health: values.HealthEnabled ? { host: values.HealthHost, port: values.HealthPort } : undefined,
  metrics: values.PrometheusMetricsEnabled
    ? { host: values.PrometheusMetricsHost || '::', port: values.PrometheusMetricsPort, tls: metricsTls(tlsOfCfg(values)) }
    : undefined,
});

/** Checks that metrics can be served with the configured certificates. @throws PagesTlsError with the reason */
export function checkOutputs({ metrics }: Pick<Outputs, 'metrics'>): void {
  if (metrics?.tls) checkPagesTls(metrics.tls);
}
