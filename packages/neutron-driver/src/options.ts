// [calico] of neutron.conf, with upstream's names, and a few of our own.
import { hostname } from 'node:os';
import { type Cidr, parseCidr } from '@calico-openstack/addresses';
import { type Ini, readIni, type Severity, StartError, severities, shownValue } from '@calico-openstack/agent';
import { impossibleForHosts, isRegion } from '@calico-openstack/datamodel';
import type { EtcdOptions } from '@calico-openstack/etcd';
import type { AddressPolicy } from './addressing/rules.ts';
import type { QosOptions } from './translate/qos.ts';

export type Options = {
  readonly etcd: EtcdOptions;
  /** Longest that an API call waits until etcd has its change. */
  readonly etcdTimeoutSeconds: number;
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
  /** The command that answers questions for rows in the background. Empty: somebody else starts it. */
  readonly rowsCommand: readonly string[];
  readonly rowsConfigFiles: readonly string[];
  readonly agentReportSeconds: number;
  readonly log: { readonly screen: Severity; readonly file: string | undefined };
};

export const defaultConfigFiles = ['/etc/neutron/neutron.conf'];

/** Reads the files, later ones win. @throws StartError naming the option and what may stand there */
export function readOptions(files: readonly string[]): Options {
  return parseOptions(
    files.map((file) => readIni(file)),
    files,
  );
}

export function parseOptions(inis: readonly Ini[], files: readonly string[] = []): Options {
  const text = (name: string, section = 'calico'): string | undefined => {
    const value = inis
      .flatMap((ini) => ini.get(section)?.get(name) ?? [])
      .at(-1)
      ?.trim();
    return value === '' ? undefined : value;
  };
  const number = (name: string, otherwise: number, least = 0, most = Number.MAX_SAFE_INTEGER): number => {
    const value = text(name);
    if (value === undefined) return otherwise;
    const parsed = Number(value);
    if (Number.isFinite(parsed) && parsed >= least && parsed <= most) return parsed;
    const bounds = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new StartError('CONFIG_INVALID', `[calico] ${name} = ${shownValue(name, value)} is not a number ${bounds}`);
  };
  /** What goes into etcd as such, or counts something. */
  const whole = (name: string, otherwise: number, least = 0, most?: number): number => {
    const value = number(name, otherwise, least, most);
    if (!Number.isSafeInteger(value)) throw new StartError('CONFIG_INVALID', `[calico] ${name} = ${value} is not a whole number`);
    return value;
  };
  const list = (value: string | undefined): readonly string[] => (value ?? '').split(/[\s,]+/).filter((part) => part !== '');
  const choice = <T extends string>(name: string, among: readonly T[], otherwise: T): T => {
    const value = (text(name) ?? otherwise).toLowerCase();
    const found = among.find((one) => one.toLowerCase() === value);
    if (found === undefined) throw new StartError('CONFIG_INVALID', `[calico] ${name} = ${shownValue(name, value)} is not one of ${among.join(', ')}`);
    return found;
  };
  const prefixes = (name: string): readonly Cidr[] =>
    list(text(name)).map((part) => {
      const prefix = parseCidr(part);
      if (!prefix) throw new StartError('CONFIG_INVALID', `[calico] ${name}: ${shownValue(name, part)} is not a prefix, as 10.0.0.0/8 is one`);
      return prefix;
    });
  const direction = (name: 'ingress' | 'egress') => ({
    burstBits: whole(`${name}_burst_bits`, 4294967296),
    minburstBytes: whole(`${name}_minburst_bytes`, 0),
    burstPackets: whole(`${name}_burst_packets`, 5),
    maxConnections: whole(`max_${name}_connections_per_port`, 0),
  });
  const region = text('openstack_region');
  if (region !== undefined && !isRegion(region)) {
    throw new StartError(
      'CONFIG_INVALID',
      `[calico] openstack_region = ${shownValue('openstack_region', region)} is not a lower-case DNS label of at most 46 characters`,
    );
  }
  const stateDirectory = text('neutron_driver_state_dir') ?? '/var/lib/calico/neutron-driver';
  const rowsCommand = inis.some((ini) => ini.get('calico')?.has('neutron_rows_command'))
    ? list(text('neutron_rows_command'))
    : ['/usr/bin/python3', '-m', 'calico_openstack.rows_process'];
  return {
    etcd: etcdOptions(text, number, whole, list),
    etcdTimeoutSeconds: number('etcd_timeout', 60, 1),
    region,
    serverName: text('elector_name') ?? hostname(),
    startupResync: choice('startup_resync', ['always', 'never'], 'always') === 'always',
    compactionPeriodMinutes: whole('etcd_compaction_period_mins', 60, 0, 525_600),
    compactionMinRevisions: whole('etcd_compaction_min_revisions', 1000),
    portStatusThreads: whole('num_port_status_threads', 4, 1, 1000),
    projectNameCacheMax: whole('project_name_cache_max', 100, 1),
    addresses: {
      reservedPrefixes: prefixes('reserved_prefixes'),
      reservedPrefixSubnets: choice('reserved_prefix_subnets', ['nobody', 'administrators'], 'nobody'),
      addressOverlaps: choice('address_overlaps', ['refuse', 'warn'], 'refuse'),
      addressPairPrefixes: prefixes('allowed_address_pair_prefixes').map((prefix) => {
        const impossible = impossibleForHosts(prefix);
        if (impossible === undefined) return prefix;
        throw new StartError('CONFIG_INVALID', `[calico] allowed_address_pair_prefixes: ${prefix} overlaps ${impossible}, which no host can have`);
      }),
    },
    qos: { ingress: direction('ingress'), egress: direction('egress') },
    socketPath: text('neutron_driver_socket') ?? '/run/calico/neutron-driver.sock',
    stateDirectory,
    rowsCommand,
    rowsConfigFiles: files,
    agentReportSeconds: number('agent_report_interval_secs', 15, 1, 3600),
    log: { screen: choice('neutron_driver_log_severity', severities, 'INFO'), file: text('neutron_driver_log_file') },
  };
}

function etcdOptions(
  text: (name: string) => string | undefined,
  number: (name: string, otherwise: number, least?: number) => number,
  whole: (name: string, otherwise: number, least?: number, most?: number) => number,
  list: (value: string | undefined) => readonly string[],
): EtcdOptions {
  const [caFile, certFile, keyFile] = [text('etcd_ca_cert_file'), text('etcd_cert_file'), text('etcd_key_file')];
  const [username, password] = [text('etcd_username'), text('etcd_password')];
  // Upstream chooses TLS by the presence of its files, whatever the scheme says.
  const scheme = caFile !== undefined || certFile !== undefined || keyFile !== undefined ? 'https' : (text('etcd_scheme') ?? 'http');
  if (scheme !== 'http' && scheme !== 'https')
    throw new StartError('CONFIG_INVALID', `[calico] etcd_scheme = ${shownValue('etcd_scheme', scheme)} is neither http nor https`);
  const port = whole('etcd_port', 2379, 1, 65_535);
  const hosts = list(text('etcd_host'));
  const endpoints = list(text('etcd_endpoints'));
  const urlOf = (host: string): string => `${scheme}://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;
  return {
    endpoints: endpoints.length > 0 ? endpoints : (hosts.length > 0 ? hosts : ['127.0.0.1']).map(urlOf),
    timeoutSeconds: Math.min(10, number('etcd_timeout', 60, 1)),
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
}
