// Felix's parameters: names, defaults and what they accept, as in Calico's reference (peer/felix.md 8.3). Those that only other dataplanes or features use are accepted and have no effect.
import { hostname } from 'node:os';
import { type IpAddress, parseAddress } from '@calico-openstack/addresses';
import { type Severity, severities } from '@calico-openstack/agent';
import { isRegion } from '@calico-openstack/datamodel';
import { address, bool, endpoints, integer, interfacePrefixes, markMask, matching, oneOf, type Parser, type Rate, rate, seconds, text } from './parsers.ts';

export type Parameter<T> = {
  readonly parse: Parser<T>;
  readonly default: T;
  /** Environment and file only: from the datastore it is ignored, with a warning. */
  readonly local?: true;
  /** `none` is not allowed. Elsewhere it gives `whenNone`. */
  readonly notNone?: true;
  readonly whenNone?: T;
  /** A bad value stops the start; at run time the last good value stays. Elsewhere a bad value gives way to the next source's. */
  readonly dieOnFail?: true;
};

const parameter = <T>(parse: Parser<T>, defaultValue: T, more: Omit<Parameter<T>, 'parse' | 'default'> = {}): Parameter<T> => ({
  parse,
  default: defaultValue,
  ...more,
});

const file = { local: true } as const;
/** Where etcd is must not be wrong: an agent that goes to another one in its place looks well and knows nothing. */
const etcd = { local: true, dieOnFail: true } as const;
const severity = oneOf(...severities);
const region: Parser<string> = (value) => (isRegion(value) ? { ok: true, value } : { ok: false, expected: 'a lower-case DNS label of at most 46 characters' });
const priority = integer(1, 2147483646);
const port = integer(0, 65535);

export const parameters = {
  DatastoreType: parameter(oneOf('etcdv3'), 'etcdv3', { local: true, notNone: true, dieOnFail: true }),
  FelixHostname: parameter(matching(/^[a-zA-Z0-9_.-]+$/, 'letters, digits, _ . and -'), hostname().trim().toLowerCase(), { local: true, notNone: true }),
  EtcdAddr: parameter(matching(/^[^\s/@]+:[0-9]+$/, 'host:port, and nothing else'), '127.0.0.1:2379', etcd),
  EtcdScheme: parameter(oneOf('http', 'https'), 'http', etcd),
  EtcdEndpoints: parameter<readonly string[] | undefined>(endpoints, undefined, etcd),
  EtcdCaFile: parameter<string | undefined>(text, undefined, file),
  EtcdCertFile: parameter<string | undefined>(text, undefined, file),
  EtcdKeyFile: parameter<string | undefined>(text, undefined, file),
  EtcdUsername: parameter<string | undefined>(text, undefined, file),
  EtcdPassword: parameter<string | undefined>(text, undefined, file),
  OpenstackRegion: parameter<string | undefined>(region, undefined, { dieOnFail: true }),
  /** Always holds `tap`. */
  InterfacePrefix: parameter<readonly string[]>(interfacePrefixes, ['cali', 'tap'], { notNone: true, dieOnFail: true }),
  Ipv6Support: parameter(bool, true),
  IPForwarding: parameter(oneOf('Enabled', 'Disabled'), 'Enabled'),
  MetadataAddr: parameter<IpAddress | undefined>(address, parseAddress('127.0.0.1'), { whenNone: undefined, dieOnFail: true }),
  MetadataPort: parameter(port, 8775, { whenNone: 0, dieOnFail: true }),
  DefaultEndpointToHostAction: parameter(oneOf('DROP', 'RETURN', 'ACCEPT'), 'DROP', { notNone: true, dieOnFail: true }),
  NftablesFilterDenyAction: parameter(oneOf('DROP', 'REJECT'), 'DROP', { notNone: true, dieOnFail: true }),
  NftablesMarkMask: parameter(markMask, 0xffff0000, { notNone: true, dieOnFail: true }),
  /** Ours: `Owned`: where the kernel has such tables (6.9), nobody else can change ours or flush them while the agent runs. */
  NftablesTableOwnership: parameter(oneOf('Owned', 'Shared'), 'Owned', { local: true, notNone: true }),
  NftablesRefreshInterval: parameter(seconds, 180, { whenNone: 0 }),
  RouteRefreshInterval: parameter(seconds, 90, { whenNone: 0 }),
  DisableConntrackInvalidCheck: parameter(bool, false),
  WorkloadSourceSpoofing: parameter(oneOf('Disabled', 'Any'), 'Disabled'),
  /** Ours: holds MACs, ARP and neighbour discovery to the port's addresses. */
  WorkloadLinkLayerCheck: parameter(oneOf('Enabled', 'Disabled'), 'Enabled'),
  /** Ours: whose neighbours no workload's address can be. */
  BirdConfigFile: parameter<string | undefined>(text, '/etc/bird/bird.conf', { local: true, whenNone: undefined }),
  /** Ours: what becomes of connections that policy lets through no more. `Keep`: they go on, as with upstream's Felix. */
  EstablishedConnections: parameter(oneOf('Enforce', 'Keep'), 'Enforce'),
  AllowVXLANPacketsFromWorkloads: parameter(bool, false),
  AllowIPIPPacketsFromWorkloads: parameter(bool, false),
  VXLANPort: parameter(integer(1, 65535), 4789),
  LogPrefix: parameter(text, 'calico-packet', { whenNone: '' }),
  /** For each Log rule. Upstream has no bound unless one is set: then whoever may send a packet fills the host's log. */
  LogActionRateLimit: parameter<Rate | undefined>(rate, { rate: 20, unit: 'second' }, { whenNone: undefined }),
  LogActionRateLimitBurst: parameter(integer(0, 9999), 5),
  DeviceRouteProtocol: parameter(integer(1, 255), 3),
  RemoveExternalRoutes: parameter(bool, true),
  IPv4NormalRoutePriority: parameter(priority, 1024),
  IPv6NormalRoutePriority: parameter(priority, 1024),
  ReportingIntervalSecs: parameter(seconds, 30, { whenNone: 0 }),
  ReportingTTLSecs: parameter(seconds, 90),
  EndpointReportingEnabled: parameter(bool, false),
  HealthEnabled: parameter(bool, false),
  HealthHost: parameter(text, 'localhost'),
  HealthPort: parameter(port, 9099),
  PrometheusMetricsEnabled: parameter(bool, false),
  PrometheusMetricsHost: parameter(text, ''),
  PrometheusMetricsPort: parameter(port, 9091),
  LogFilePath: parameter<string | undefined>(text, '/var/log/calico/felix.log', { whenNone: undefined, dieOnFail: true }),
  LogSeverityFile: parameter<Severity | undefined>(severity, 'INFO', { whenNone: undefined }),
  LogSeverityScreen: parameter<Severity | undefined>(severity, 'INFO', { whenNone: undefined }),
} as const satisfies Record<string, Parameter<unknown>>;

export type ParameterName = keyof typeof parameters;
type ValueOf<P> = P extends Parameter<infer T> ? T : never;

/** The values in force. */
export type FelixConfig = { readonly [name in ParameterName]: ValueOf<(typeof parameters)[name]> };

const byLowerCase = new Map(Object.keys(parameters).map((name) => [name.toLowerCase(), name as ParameterName]));

/** Finds a parameter whatever the case of its name. */
export const parameterNamed = (name: string): ParameterName | undefined => byLowerCase.get(name.toLowerCase());
