// The agent's configuration: neutron.conf with upstream's names, and what stands there when nothing is said.
import { hostname } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { type IpAddress, parseAddress } from '@calico-openstack/addresses';
import { type Ini, readIni, type Severity, StartError, shownValue } from '@calico-openstack/agent';
import { isRegion } from '@calico-openstack/datamodel';
import type { EtcdOptions } from '@calico-openstack/etcd';
import { isDomain } from './service/names.ts';

/** What every port of this host is served alike. */
export type ServiceOptions = {
  /** Domain of guests whose port has no FQDN. undefined: none. */
  readonly domain: string | undefined;
  /** Offered where the subnet names no DNS servers. */
  readonly dnsServers: readonly IpAddress[];
};

/** What Dnsmasq is started with, besides what it is always started with. */
export type DnsmasqOptions = {
  /** undefined: for ever. */
  readonly leaseSeconds: number | undefined;
  /** T1 and T2 of DHCPv4. undefined: half and seven eighths of the lease. */
  readonly renewalSeconds: number | undefined;
  readonly rebindingSeconds: number | undefined;
  readonly leaseMax: number;
  readonly broadcastReply: boolean;
  /** An operator's own file of Dnsmasq options. */
  readonly configFile: string | undefined;
  /** Where Dnsmasq logs each exchange with its options. undefined: syslog, in fewer words. */
  readonly logDirectory: string | undefined;
};

export type AgentOptions = {
  /** As in Neutron's binding:host_id. */
  readonly host: string;
  readonly region: string | undefined;
  readonly etcd: EtcdOptions;
  /** Its peers' addresses are nobody's on a tap. */
  readonly birdConfigFile: string;
  /** Everything that the agent and Dnsmasq keep: `dhcp_confs`. */
  readonly directory: string;
  readonly service: ServiceOptions;
  readonly dnsmasq: DnsmasqOptions;
  readonly log: { readonly severity: Severity; readonly file: string | undefined };
};

export const defaultConfigFiles = ['/etc/neutron/neutron.conf'];

/** Reads the files; of an option in several, the last counts. @throws StartError naming the option and what may stand there */
export function readOptions(files: readonly string[]): AgentOptions {
  return parseOptions(files.map((file) => readIni(file)));
}

type Texts = (name: string) => string | undefined;

/** @throws StartError */
export function parseOptions(inis: readonly Ini[], machineName: string = hostname()): AgentOptions {
  const written =
    (section: string): Texts =>
    (name) => {
      const value = inis
        .flatMap((ini) => ini.get(section)?.get(name) ?? [])
        .at(-1)
        ?.trim();
      return value === '' ? undefined : value;
    };
  const statePath = written('DEFAULT')('state_path') ?? '/var/lib/neutron';
  /** oslo.config's way to build one option on another. */
  const text =
    (section: string): Texts =>
    (name) =>
      written(section)(name)?.replaceAll(/\$\{?state_path\}?/g, () => statePath);
  const general = text('DEFAULT');
  const calico = text('calico');

  const region = calico('openstack_region');
  if (region !== undefined && !isRegion(region))
    throw invalid('calico', 'openstack_region', region, 'a lower-case DNS label of at most 46 characters, the same for driver, Felix and DHCP agent');
  const host = general('host') ?? machineName;
  if (host === '') throw invalid('DEFAULT', 'host', host, 'a name');

  return {
    host,
    region,
    etcd: etcdOptions(calico),
    birdConfigFile: path(calico, 'bird_config_file', 'calico') ?? '/etc/bird/bird.conf',
    directory: path(general, 'dhcp_confs') ?? join(absolute('state_path', statePath), 'dhcp'),
    service: { domain: domain(general), dnsServers: addresses(general, 'dnsmasq_dns_servers') },
    dnsmasq: {
      leaseSeconds: leaseSeconds(general),
      renewalSeconds: number('DEFAULT', general, 'dhcp_renewal_time', 0) || undefined,
      rebindingSeconds: number('DEFAULT', general, 'dhcp_rebinding_time', 0) || undefined,
      leaseMax: number('DEFAULT', general, 'dnsmasq_lease_max', 16_777_216, 1),
      broadcastReply: boolean(general, 'dhcp_broadcast_reply'),
      configFile: path(general, 'dnsmasq_config_file'),
      logDirectory: path(general, 'dnsmasq_base_log_dir'),
    },
    log: { severity: boolean(general, 'debug') ? 'DEBUG' : 'INFO', file: logFile(general) },
  };
}

function etcdOptions(text: Texts): EtcdOptions {
  const [caFile, certFile, keyFile] = [text('etcd_ca_cert_file'), text('etcd_cert_file'), text('etcd_key_file')];
  const [username, password] = [text('etcd_username'), text('etcd_password')];
  // Upstream chooses TLS by the presence of its files, whatever the scheme says.
  const scheme = caFile !== undefined || certFile !== undefined || keyFile !== undefined ? 'https' : (text('etcd_scheme') ?? 'http');
  if (scheme !== 'http' && scheme !== 'https') throw invalid('calico', 'etcd_scheme', scheme, 'http or https');
  const port = number('calico', text, 'etcd_port', 2379, 1);
  const hosts = list(text('etcd_host'));
  const endpoints = list(text('etcd_endpoints'));
  const urlOf = (host: string): string => `${scheme}://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;
  return {
    endpoints: endpoints.length > 0 ? endpoints : (hosts.length > 0 ? hosts : ['127.0.0.1']).map(urlOf),
    // One request; upstream's 60 s would be a long time to wait for a server that is gone.
    timeoutSeconds: Math.min(10, number('calico', text, 'etcd_timeout', 60, 1)),
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
}

const invalid = (section: string, name: string, value: string, expected: string): StartError =>
  new StartError('CONFIG_INVALID', `[${section}] ${name} = ${shownValue(name, value)} is not ${expected}`);

const list = (value: string | undefined): readonly string[] => (value ?? '').split(/[\s,]+/).filter((part) => part !== '');

function number(section: string, text: Texts, name: string, otherwise: number, least = 0): number {
  const value = text(name);
  if (value === undefined) return otherwise;
  if (!/^\d+$/.test(value) || Number(value) < least || Number(value) > 0xffff_ffff) throw invalid(section, name, value, `a whole number of at least ${least}`);
  return Number(value);
}

function boolean(text: Texts, name: string): boolean {
  const value = text(name)?.toLowerCase() ?? 'false';
  if (['true', '1', 'yes', 'on'].includes(value)) return true;
  if (['false', '0', 'no', 'off'].includes(value)) return false;
  throw invalid('DEFAULT', name, value, 'true or false');
}

function absolute(name: string, value: string, section = 'DEFAULT'): string {
  // Quotes, commas and control characters mean something to Dnsmasq, or to who reads its command line.
  if (!isAbsolute(value) || !/^[^\p{Cc}",]+$/u.test(value))
    throw invalid(section, name, value, 'an absolute path without quotes, commas or control characters');
  return value;
}

function path(text: Texts, name: string, section = 'DEFAULT'): string | undefined {
  const value = text(name);
  return value === undefined ? undefined : absolute(name, value, section);
}

/** `dns_domain` (`dhcp_domain` before Neutron 9). Dnsmasq's replies hold it, so it must be a domain. */
function domain(text: Texts): string | undefined {
  const value = (text('dns_domain') ?? text('dhcp_domain') ?? 'openstacklocal').replace(/\.$/, '');
  if (!isDomain(value)) throw invalid('DEFAULT', 'dns_domain', value, 'a domain name');
  return value;
}

function addresses(text: Texts, name: string): readonly IpAddress[] {
  return list(text(name)).map((part) => {
    const address = parseAddress(part);
    if (address === undefined) throw invalid('DEFAULT', name, part, 'an address, or several with commas between');
    return address;
  });
}

/** Dnsmasq makes 120 s of less. */
function leaseSeconds(text: Texts): number | undefined {
  return text('dhcp_lease_duration') === '-1' ? undefined : number('DEFAULT', text, 'dhcp_lease_duration', 86_400, 120);
}

/** As oslo.log places it. */
function logFile(text: Texts): string | undefined {
  const [directory, file] = [text('log_dir'), text('log_file')];
  if (file !== undefined) return isAbsolute(file) || directory === undefined ? absolute('log_file', file) : absolute('log_dir', join(directory, file));
  return directory === undefined ? undefined : absolute('log_dir', join(directory, 'dhcp-agent.log'));
}
