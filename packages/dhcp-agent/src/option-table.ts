// The table of the agent's options, which are in neutron.conf under Neutron's and upstream's names. Computes the agent's settings from them.
import { isAbsolute, join } from 'node:path';
import { parseAddress } from '@calico-openstack/addresses';
import {
  bad,
  type ConfFile,
  complaintsOfCalicoSection,
  complaintsOfPlainEtcd,
  confTexts,
  type Environment,
  etcdOfConf,
  etcdRowsOfConf,
  good,
  inSection,
  type LogDestinations,
  matching,
  metricsTls,
  metricsTlsRows,
  type PagesTls,
  type Parser,
  path,
  type Resolution,
  readConfFiles,
  resolveOptions,
  row,
  systemHostName,
  text,
  truth,
  type Values,
  whole,
} from '@calico-openstack/agent';
import { isRegion } from '@calico-openstack/datamodel';
import type { EtcdOptions } from '@calico-openstack/etcd';
import { complaintsOfNeutronOptions } from './neutron-options.ts';
import { isDomain } from './service/names.ts';
import type { PagePlaces } from './status.ts';

/** The settings that apply to all ports of this host. */
export type ServiceOptions = {
  /** The domain of guests whose port has no FQDN; undefined when they get none. */
  readonly domain: string | undefined;
};

/** How names other than those of this host's ports are resolved: the servers that Dnsmasq forwards queries to. */
export type ForwardingOptions = {
  /** Values of Dnsmasq's `--server`: `10.0.0.53`, `10.0.0.53#5353`, `/corp.example/10.0.0.53`. */
  readonly servers: readonly string[];
  /** Whether queries are also forwarded to this host's own servers (/etc/resolv.conf). */
  readonly local: boolean;
};

/** The settings of Dnsmasq's command line. */
export type DnsmasqOptions = {
  /** The duration of leases; undefined when they never expire. */
  readonly leaseSeconds: number | undefined;
  /** DHCPv4's T1 (RFC 2131 4.4.5). When undefined, it is half of the lease. */
  readonly renewalSeconds: number | undefined;
  /** DHCPv4's T2. When undefined, it is seven eighths of the lease. */
  readonly rebindingSeconds: number | undefined;
  /** The greatest number of leases of each Dnsmasq. */
  readonly leaseMax: number;
  readonly broadcastReply: boolean;
  /** An operator's own file of Dnsmasq options. */
  readonly configFile: string | undefined;
  /** The directory where Dnsmasq logs each exchange with its options. When undefined, Dnsmasq logs to syslog, with fewer details. */
  readonly logDirectory: string | undefined;
};

/** The agent's settings. */
export type AgentOptions = {
  /** This host's name as in Neutron's binding:host_id. */
  readonly host: string;
  readonly region: string | undefined;
  readonly etcd: EtcdOptions;
  /** The path of BIRD's configuration. The addresses of its neighbours are reserved: no tap gets them. */
  readonly birdConfigFile: string;
  /** The directory for all files of the agent and of Dnsmasq (`dhcp_confs`). */
  readonly directory: string;
  readonly service: ServiceOptions;
  readonly forwarding: ForwardingOptions;
  readonly dnsmasq: DnsmasqOptions;
  readonly pages: PagePlaces;
  readonly log: LogDestinations;
};

const mostSeconds = 0xffff_ffff;
/** Dnsmasq lengthens a shorter lease to 120 s. */
const leastLeaseSeconds = 120;

const leaseSeconds: Parser<number | undefined> = (value, dialect) => {
  if (value === '-1') return good(undefined);
  const seconds = whole(0, mostSeconds)(value, dialect);
  if (!seconds.ok) return bad(`${seconds.reason}, or -1 for leases without end`);
  if (seconds.value >= leastLeaseSeconds) return seconds;
  return good(leastLeaseSeconds, `Dnsmasq gives no lease for less than ${leastLeaseSeconds} s; leases are for ${leastLeaseSeconds} s`);
};

/** Parses `dnsmasq_dns_servers`: addresses, each with a port behind `#` or a domain before it if need be, as Dnsmasq reads them. What else Dnsmasq accepts there (names, interfaces) is left out. */
const dnsServers: Parser<readonly string[]> = (value) => {
  const list = value.split(/[\s,]+/).filter((word) => word !== '');
  const known = list.filter(isForwarder);
  const unknown = list.filter((server) => !isForwarder(server));
  return unknown.length === 0
    ? good(known)
    : good(
        known,
        `${unknown.join(', ').slice(0, 200)} is no address, and is not asked for names; write it like 10.0.0.53, 10.0.0.53#5353 or /corp.example/10.0.0.53`,
      );
};

function isForwarder(text: string): boolean {
  const [, domains = '', address = '', port] = /^((?:\/[^/#]+)*\/)?([^/#]+)(?:#(\d{1,5}))?$/.exec(text) ?? [];
  const names = domains.split('/').filter((name) => name !== '');
  return parseAddress(address) !== undefined && names.every(isDomain) && (port === undefined || (Number(port) > 0 && Number(port) <= 0xffff));
}

const domain: Parser<string | undefined> = (value) => {
  const name = value.replace(/\.$/, '');
  return isDomain(name) ? good(name) : bad('it must be a domain name');
};

/** The table of options: each with its parser, its default, and a sentence for the README. */
export const options = {
  ...inSection('DEFAULT', {
    host: row(matching(/^[^\s/]+$/, 'a name without blanks and slashes'), systemHostName(), "this host's name in Neutron's port bindings and in Nova", {
      required: true,
      shownDefault: "the system's host name in lower case",
    }),
    state_path: row(path, '/var/lib/neutron', "Neutron's directory for state; the agent's files are in its subdirectory `dhcp`", { required: true }),
    dhcp_confs: row<string | undefined>(path, undefined, "directory of the agent's files", { required: true, shownDefault: '$state_path/dhcp' }),
    dns_domain: row<string | undefined>(domain, 'openstacklocal', 'domain of guests whose port has no FQDN; an empty text for none', {
      empty: { value: undefined },
      also: { conf: ['DEFAULT/dns_domain', 'DEFAULT/dhcp_domain'] },
    }),
    dnsmasq_dns_servers: row<readonly string[]>(
      dnsServers,
      [],
      'DNS servers to which the agent forwards queries for names other than those of its ports; guests have the agent as their server if their subnet has none',
    ),
    dnsmasq_local_resolv: row(truth, false, "whether the agent also forwards queries to this host's DNS servers (`/etc/resolv.conf`)"),
    dnsmasq_lease_max: row(whole(1, mostSeconds), 16_777_216, 'greatest number of DHCPv4 leases of Dnsmasq'),
    dnsmasq_config_file: row<string | undefined>(
      path,
      undefined,
      "an operator's own file of Dnsmasq options; `port` in it has no effect, because this Dnsmasq is for DHCP alone",
    ),
    dnsmasq_base_log_dir: row<string | undefined>(path, undefined, 'directory where Dnsmasq logs each DHCPv4 exchange', {
      shownDefault: 'syslog, with fewer details',
    }),
    dhcp_lease_duration: row<number | undefined>(leaseSeconds, 86_400, 'duration of a lease in seconds, at least 120; -1 for no end'),
    dhcp_renewal_time: row(whole(0, mostSeconds), 0, 'seconds until a guest renews its DHCPv4 lease; 0 for half of the lease'),
    dhcp_rebinding_time: row(whole(0, mostSeconds), 0, 'seconds until a guest rebinds its DHCPv4 lease with any server; 0 for seven eighths of the lease'),
    dhcp_broadcast_reply: row(truth, false, 'whether DHCPv4 is answered by broadcast'),
    debug: row(truth, false, 'whether the severity of the log is DEBUG; otherwise it is INFO'),
    log_dir: row<string | undefined>(path, undefined, 'directory of the log; without it, the log goes only to standard output'),
    log_file: row<string | undefined>(text, undefined, "the log's file; a relative path is in `log_dir`", { shownDefault: 'dhcp-agent.log in log_dir' }),
  }),
  ...inSection('calico', {
    ...etcdRowsOfConf,
    openstack_region: row<string | undefined>(
      matching(isRegion, 'a lower-case DNS label of at most 46 characters, the same for driver, Felix and DHCP agent'),
      undefined,
      'the region, where several clouds share one etcd',
      { required: true },
    ),
    dhcp_agent_health_enabled: row(truth, false, 'whether `/liveness` and `/readiness` are served'),
    dhcp_agent_health_host: row(text, 'localhost', 'the address on which they are served'),
    dhcp_agent_health_port: row(whole(0, 65_535), 9095, 'their port'),
    dhcp_agent_metrics_enabled: row(truth, false, 'whether `/metrics` is served, in Prometheus’s format'),
    dhcp_agent_metrics_host: row(text, 'localhost', 'the address on which it is served'),
    dhcp_agent_metrics_port: row(whole(0, 65_535), 9094, 'its port'),
    dhcp_agent_metrics_cert_file: metricsTlsRows.certFile,
    dhcp_agent_metrics_key_file: metricsTlsRows.keyFile,
    dhcp_agent_metrics_ca_file: metricsTlsRows.caFile,
    dhcp_agent_metrics_client_auth: metricsTlsRows.clientAuth,
    bird_config_file: row(path, '/etc/bird/bird.conf', "BIRD's configuration; no tap gets an address of its neighbours"),
  }),
};

/** Reads the options from the environment and these files. When several files set an option, the last one counts. @throws IniError for a file that cannot be read or parsed */
export const readOptions = (files: readonly string[], environment: Environment = process.env): Resolution<typeof options> =>
  optionsIn(readConfFiles(files), environment);

/** The options of files that have been read. */
export function optionsIn(files: readonly ConfFile[], environment: Environment = {}): Resolution<typeof options> {
  const resolution = resolveOptions(options, confTexts(files, { 'DEFAULT/state_path': options.state_path.default }, environment));
  const { values, setBy } = resolution;
  const complaints = [
    ...resolution.complaints,
    ...complaintsOfPlainEtcd(resolution, etcdOfConf(resolution.values)),
    ...complaintsOfCalicoSection(resolution.unknown),
    ...complaintsOfNeutronOptions(resolution.unknown),
  ];
  const disorder = timersDisorder(values);
  if (disorder === undefined) return { ...resolution, complaints };
  const left = { source: 'left to Dnsmasq', text: '0' };
  return {
    ...resolution,
    values: { ...values, dhcp_renewal_time: 0, dhcp_rebinding_time: 0 },
    setBy: new Map([...setBy, ['dhcp_renewal_time', left], ['dhcp_rebinding_time', left]]),
    complaints: [
      ...complaints,
      {
        option: '[DEFAULT] dhcp_renewal_time, dhcp_rebinding_time',
        source: (setBy.get('dhcp_rebinding_time') ?? setBy.get('dhcp_renewal_time'))?.source ?? 'the defaults',
        value: '',
        problem: disorder,
      },
    ],
  };
}

/** Why a guest cannot renew, rebind and lose its lease in this order (RFC 2131 4.4.5); undefined when it can. A time that is not set is the part of the lease that Dnsmasq uses. */
function timersDisorder({
  dhcp_lease_duration: lease,
  dhcp_renewal_time: renewal,
  dhcp_rebinding_time: rebinding,
}: Values<typeof options>): string | undefined {
  if (renewal === 0 && rebinding === 0) return undefined;
  const leaseSeconds = lease ?? Number.POSITIVE_INFINITY;
  const t1Seconds = renewal || leaseSeconds / 2;
  const t2Seconds = rebinding || (leaseSeconds * 7) / 8;
  if (t1Seconds < t2Seconds && (t2Seconds < leaseSeconds || lease === undefined)) return undefined;
  return `a guest would renew after ${t1Seconds} s, rebind after ${t2Seconds} s and lose its lease after ${leaseSeconds} s; they must grow in this order, so both are left to Dnsmasq`;
}

const tlsOf = (values: Values<typeof options>): PagesTls => ({
  certFile: values.dhcp_agent_metrics_cert_file,
  keyFile: values.dhcp_agent_metrics_key_file,
  caFile: values.dhcp_agent_metrics_ca_file,
  clientAuth: values.dhcp_agent_metrics_client_auth,
});

/** Computes the agent's settings from the values of the options. */
export function agentOptions(values: Values<typeof options>): AgentOptions {
  return {
    host: values.host,
    region: values.openstack_region,
    etcd: etcdOfConf(values),
    birdConfigFile: values.bird_config_file,
    directory: values.dhcp_confs ?? join(values.state_path, 'dhcp'),
    service: { domain: values.dns_domain },
    forwarding: { servers: values.dnsmasq_dns_servers, local: values.dnsmasq_local_resolv },
    dnsmasq: {
      leaseSeconds: values.dhcp_lease_duration,
      renewalSeconds: values.dhcp_renewal_time || undefined,
      rebindingSeconds: values.dhcp_rebinding_time || undefined,
      leaseMax: values.dnsmasq_lease_max,
      broadcastReply: values.dhcp_broadcast_reply,
      configFile: values.dnsmasq_config_file,
      logDirectory: values.dnsmasq_base_log_dir,
    },
    pages: {
      health: values.dhcp_agent_health_enabled ? { host: values.dhcp_agent_health_host, port: values.dhcp_agent_health_port } : undefined,
      metrics: values.dhcp_agent_metrics_enabled
        ? { host: values.dhcp_agent_metrics_host, port: values.dhcp_agent_metrics_port, tls: metricsTls(tlsOf(values)) }
        : undefined,
    },
    log: logDestinations(values),
  };
}

/** The destinations of the log. The file's place is computed like oslo.log's. */
function logDestinations({ debug, log_dir: directory, log_file: file }: Values<typeof options>): LogDestinations {
  const severity = debug ? 'DEBUG' : 'INFO';
  const name = file ?? (directory === undefined ? undefined : 'dhcp-agent.log');
  if (name === undefined) return { screen: severity };
  return { screen: severity, file: { severity, path: isAbsolute(name) || directory === undefined ? name : join(directory, name) } };
}
