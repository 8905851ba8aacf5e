// The table of the driver's options, which are in [calico] of neutron.conf: upstream's names and a few of our own. Computes the driver's settings from them.
import { type Cidr, parseCidr } from '@calico-openstack/addresses';
import {
  bad,
  type ConfFile,
  complaintsOfCalicoSection,
  complaintsOfPlainEtcd,
  confTexts,
  decimal,
  type Environment,
  etcdOfConf,
  etcdRowsOfConf,
  good,
  inSection,
  type LogDestinations,
  listOf,
  matching,
  metricsTls,
  metricsTlsRows,
  oneOf,
  type PagesTls,
  type Parser,
  type Place,
  type Resolution,
  readConfFiles,
  resolveOptions,
  row,
  type Severity,
  severity,
  systemHostName,
  text,
  truth,
  type Values,
  whole,
  words,
} from '@calico-openstack/agent';
import { impossibleForHosts, isRegion } from '@calico-openstack/datamodel';
import type { EtcdOptions } from '@calico-openstack/etcd';
import type { AddressPolicy } from './addressing/rules.ts';
import type { Patience } from './announcements.ts';
import type { QosOptions } from './translate/qos.ts';

/** The driver's settings. */
export type Options = {
  readonly etcd: EtcdOptions;
  /** How long an API call waits at most until etcd has its change. */
  readonly etcdTimeoutMs: number;
  /** How long Neutron's transactions wait for etcd before their commit. */
  readonly patience: Patience;
  readonly region: string | undefined;
  readonly serverName: string;
  readonly startupResync: boolean;
  readonly compactionPeriodMinutes: number;
  readonly compactionMinRevisions: number;
  readonly portStatusThreads: number;
  readonly projectNameCacheMax: number;
  readonly qos: QosOptions;
  readonly addresses: AddressPolicy;
  readonly socketPath: string;
  readonly stateDirectory: string;
  /** The command of the rows process, which answers requests for rows in the background. Empty when another program starts it. */
  readonly rowsCommand: readonly string[];
  readonly rowsConfigFiles: readonly string[];
  readonly agentReportMs: number;
  /** Where metrics are served; undefined when they are not. */
  readonly metrics: Place | undefined;
  readonly log: LogDestinations;
};

const required = { required: true } as const;

const prefix: Parser<Cidr> = (word) => {
  const parsed = parseCidr(word);
  return parsed ? good(parsed) : bad('it must be a prefix, as 10.0.0.0/8 is one');
};

const pairPrefix: Parser<Cidr> = (word, dialect) => {
  const parsed = prefix(word, dialect);
  const impossible = parsed.ok ? impossibleForHosts(parsed.value) : undefined;
  return impossible === undefined ? parsed : bad(`it overlaps ${impossible}, which no host can have`);
};

const qosRows = (direction: 'ingress' | 'egress') =>
  ({
    burstBits: row(whole(0), 4294967296, `bits that an ${direction} bandwidth limit lets through at once, where its rule has no max_burst_kbps`),
    minburstBytes: row(whole(0), 0, 'no effect; in upstream’s driver it belongs to a peak rate, which Neutron does not have'),
    burstPackets: row(whole(0), 5, `packets that an ${direction} packet rate limit lets through at once`),
    maxConnections: row(whole(0), 0, `most ${direction} connections of a port at the same time; 0 for any number`, required),
  }) as const;
const [ingress, egress] = [qosRows('ingress'), qosRows('egress')];

/** The table of options: each with its parser, its default, and a sentence for the README. */
export const options = inSection('calico', {
  ...etcdRowsOfConf,
  commit_patience_secs: row(
    decimal(0.1, 60),
    5,
    "seconds that Neutron's transactions wait for etcd at most before their commit; their locks are held meanwhile",
  ),
  outage_patience_secs: row(decimal(0.1, 60), 1, 'the same while etcd has not answered the one before'),
  daemon_patience_secs: row(decimal(0, 60), 5, "seconds that API calls wait for this daemon's restart"),
  openstack_region: row<string | undefined>(
    matching(isRegion, 'a lower-case DNS label of at most 46 characters, the same for driver, Felix and DHCP agent'),
    undefined,
    'the region, where several clouds share one etcd',
    required,
  ),
  elector_name: row(text, systemHostName(), "this server's name in the election", { shownDefault: "the system's host name in lower case" }),
  startup_resync: row(oneOf('always', 'never'), 'always', 'whether all of etcd is compared with Neutron at the start'),
  etcd_compaction_period_mins: row(whole(0, 525_600), 60, "minutes between compactions of etcd's history; 0 for never"),
  etcd_compaction_min_revisions: row(whole(0), 1000, 'least number of revisions that a compaction keeps'),
  num_port_status_threads: row(whole(1, 1000), 4, 'number of port states that are written to Neutron at the same time'),
  project_name_cache_max: row(whole(1), 100, 'number of project names that are cached'),
  reserved_prefixes: row<readonly Cidr[]>(listOf(prefix), [], 'prefixes in which tenants can have no address', required),
  reserved_prefix_subnets: row(oneOf('nobody', 'administrators'), 'nobody', 'who may create subnets in `reserved_prefixes`', required),
  address_overlaps: row(oneOf('refuse', 'warn'), 'refuse', 'what happens to a subnet that overlaps another one', required),
  allowed_address_pair_prefixes: row<readonly Cidr[]>(
    listOf(pairPrefix),
    [],
    "prefixes in which allowed address pairs may lie, in addition to their network's subnets",
    required,
  ),
  ingress_burst_bits: ingress.burstBits,
  egress_burst_bits: egress.burstBits,
  ingress_minburst_bytes: ingress.minburstBytes,
  egress_minburst_bytes: egress.minburstBytes,
  ingress_burst_packets: ingress.burstPackets,
  egress_burst_packets: egress.burstPackets,
  max_ingress_connections_per_port: ingress.maxConnections,
  max_egress_connections_per_port: egress.maxConnections,
  agent_report_interval_secs: row(decimal(1, 3600), 15, "seconds between reports of the agents' states to Neutron"),
  neutron_driver_socket: row(text, '/run/calico/neutron-driver.sock', 'Unix socket on which the Python half finds this daemon'),
  neutron_driver_state_dir: row(text, '/var/lib/calico/neutron-driver', 'directory of the journal'),
  neutron_rows_command: row<readonly string[]>(
    (value) => good(words(value)),
    ['/usr/bin/python3', '-m', 'calico_openstack.rows_process'],
    'command that answers requests for rows in the background; an empty text when another program starts it',
    { empty: { value: [] }, shownDefault: '/usr/bin/python3 -m calico_openstack.rows_process' },
  ),
  neutron_driver_metrics_enabled: row(truth, false, 'whether `/metrics` is served, in Prometheus’s format'),
  neutron_driver_metrics_host: row(text, 'localhost', 'the address on which it is served'),
  neutron_driver_metrics_port: row(whole(0, 65_535), 9098, 'its port'),
  neutron_driver_metrics_cert_file: metricsTlsRows.certFile,
  neutron_driver_metrics_key_file: metricsTlsRows.keyFile,
  neutron_driver_metrics_ca_file: metricsTlsRows.caFile,
  neutron_driver_metrics_client_auth: metricsTlsRows.clientAuth,
  neutron_driver_log_severity: row<Severity>(severity, 'INFO', 'least severity that is logged'),
  neutron_driver_log_file: row<string | undefined>(text, undefined, 'log file, in addition to standard output'),
});

/** Reads the options from the environment and these files. When several files set an option, the last one counts. @throws IniError for a file that cannot be read or parsed */
export const readOptions = (files: readonly string[], environment: Environment = process.env): Resolution<typeof options> =>
  optionsIn(readConfFiles(files), environment);

/** Resolves the options of the environment and of files that have been read already. */
export function optionsIn(files: readonly ConfFile[], environment: Environment = {}): Resolution<typeof options> {
  const resolution = resolveOptions(options, confTexts(files, {}, environment));
  return {
    ...resolution,
    complaints: [
      ...resolution.complaints,
      ...complaintsOfPlainEtcd(resolution, etcdOfConf(resolution.values)),
      ...complaintsOfCalicoSection(resolution.unknown),
    ],
  };
}

const tlsOf = (values: Values<typeof options>): PagesTls => ({
  certFile: values.neutron_driver_metrics_cert_file,
  keyFile: values.neutron_driver_metrics_key_file,
  caFile: values.neutron_driver_metrics_ca_file,
  clientAuth: values.neutron_driver_metrics_client_auth,
});

/**
 * Computes the driver's settings from the values of the options.
 * @param files the configuration files in which the rows process finds Neutron's own options
 */
export function driverOptions(values: Values<typeof options>, files: readonly string[]): Options {
  const qos = (direction: 'ingress' | 'egress') => ({
    burstBits: values[`${direction}_burst_bits`],
    burstPackets: values[`${direction}_burst_packets`],
    maxConnections: values[`max_${direction}_connections_per_port`],
  });
  const screen = values.neutron_driver_log_severity;
  const path = values.neutron_driver_log_file;
  return {
    etcd: etcdOfConf(values),
    etcdTimeoutMs: 1000 * values.etcd_timeout,
    patience: { commitMs: 1000 * values.commit_patience_secs, outageMs: 1000 * Math.min(values.commit_patience_secs, values.outage_patience_secs) },
    region: values.openstack_region,
    serverName: values.elector_name,
    startupResync: values.startup_resync === 'always',
    compactionPeriodMinutes: values.etcd_compaction_period_mins,
    compactionMinRevisions: values.etcd_compaction_min_revisions,
    portStatusThreads: values.num_port_status_threads,
    projectNameCacheMax: values.project_name_cache_max,
    addresses: {
      reservedPrefixes: values.reserved_prefixes,
      reservedPrefixSubnets: values.reserved_prefix_subnets,
      addressOverlaps: values.address_overlaps,
      addressPairPrefixes: values.allowed_address_pair_prefixes,
    },
    qos: { ingress: qos('ingress'), egress: qos('egress') },
    socketPath: values.neutron_driver_socket,
    stateDirectory: values.neutron_driver_state_dir,
    rowsCommand: values.neutron_rows_command,
    rowsConfigFiles: files,
    agentReportMs: 1000 * values.agent_report_interval_secs,
    metrics: values.neutron_driver_metrics_enabled
      ? { host: values.neutron_driver_metrics_host, port: values.neutron_driver_metrics_port, tls: metricsTls(tlsOf(values)) }
      : undefined,
    log: { screen, ...(path !== undefined && { file: { path, severity: screen } }) },
  };
}
