// The agent's options: environment, then files, then defaults.
import { hostname } from 'node:os';
import { type Cidr, familyOf, type IpAddress, parseAddress, parseCidr } from '@calico-openstack/addresses';
import { readIni, type Severity, StartError, severities, shownValue } from '@calico-openstack/agent';
import { type Decoded, decoded, isInterfaceName, isRegion, refused } from '@calico-openstack/datamodel';
import { quoted } from './bird/text.ts';
import { asNumber, interfaceAddress } from './resources/values.ts';

export const defaultConfigFile = '/etc/calico/bird-agent.cfg';
/** In the environment, an option is called this and its name in capitals. */
export const environmentPrefix = 'CALICO_BIRD_AGENT_';

/** What an operator may say of an address: one, with or without its network's length; that the agent is to find it; or that there is to be none. */
export type AddressWish = { readonly kind: 'find' | 'none' } | { readonly kind: 'given'; readonly address: string };

type Parse<T> = (text: string) => Decoded<T>;
type Option<T> = { readonly parse: Parse<T>; readonly fallback: () => T; readonly aliases?: readonly string[] };

const option = <T>(parse: Parse<T>, fallback: T | (() => T), aliases: readonly string[] = []): Option<T> => ({
  parse,
  fallback: typeof fallback === 'function' ? (fallback as () => T) : () => fallback,
  aliases,
});

const text: Parse<string> = (value) => (value === '' ? refused('it is empty') : decoded(value));
/** A name that can end a key of the datastore. */
const nodeName: Parse<string> = (value) => (/^[^\s/]+$/.test(value) ? decoded(value) : refused('it must be a name without blanks and slashes'));
const optionalText: Parse<string | undefined> = (value) => decoded(value === '' || value.toLowerCase() === 'none' ? undefined : value);
const words = (value: string): string[] => value.split(/[\s,]+/).filter((word) => word !== '');

const truth: Parse<boolean> = (value) => {
  if (/^(true|yes|on|1)$/i.test(value)) return decoded(true);
  return /^(false|no|off|0)$/i.test(value) ? decoded(false) : refused('it must be true or false');
};

const number =
  (least: number, most: number): Parse<number> =>
  (value) =>
    /^[0-9]{1,10}$/.test(value) && Number(value) >= least && Number(value) <= most
      ? decoded(Number(value))
      : refused(`it must be a whole number from ${least} to ${most}`);

const region: Parse<string | undefined> = (value) => {
  if (value === '' || value.toLowerCase() === 'none') return decoded(undefined);
  return isRegion(value) ? decoded(value) : refused('it must be a lower-case DNS label of at most 46 characters');
};

const severity: Parse<Severity | undefined> = (value) => {
  if (value.toLowerCase() === 'none') return decoded(undefined);
  const known = severities.find((each) => each === value.toUpperCase());
  return known ? decoded(known) : refused(`it must be none or one of ${severities.join(', ')}`);
};

const each =
  <T>(parse: (word: string) => T | undefined, what: string): Parse<readonly T[]> =>
  (value) => {
    const parsed: T[] = [];
    for (const word of words(value)) {
      const one = parse(word);
      if (one === undefined) return refused(`"${shownValue('', word)}" is not ${what}`);
      parsed.push(one);
    }
    return decoded(parsed);
  };

const endpoints: Parse<readonly string[]> = (value) => {
  const list = words(value);
  return list.length > 0 && list.every((endpoint) => /^https?:\/\/\S+$/.test(endpoint))
    ? decoded(list)
    : refused('it must be URLs such as https://10.0.0.1:2379');
};

/** Goes into patterns of BIRD's. */
const interfacePrefix = (word: string): string | undefined => (/^[A-Za-z0-9_.-]{1,14}$/.test(word) && isInterfaceName(word) ? word : undefined);

/** Never the default route, and never more than a quarter of all addresses: that is a slip. */
const exportPrefix = (word: string): Cidr | undefined => {
  const cidr = parseCidr(word);
  return cidr && Number(cidr.split('/')[1]) >= 2 ? cidr : undefined;
};

const addressWish =
  (family: 4 | 6): Parse<AddressWish> =>
  (value) => {
    if (/^(autodetect|)$/i.test(value)) return decoded({ kind: 'find' });
    if (/^none$/i.test(value)) return decoded({ kind: 'none' });
    const parsed = interfaceAddress(family)(value);
    return parsed.ok ? decoded({ kind: 'given', address: value }) : parsed;
  };

const ownAsNumber: Parse<number | undefined> = (value) => (value === '' ? decoded(undefined) : asNumber(value));

const routerId: Parse<IpAddress | undefined> = (value) => {
  if (value === '') return decoded(undefined);
  const address = parseAddress(value);
  return address && familyOf(address) === 4 && address !== '0.0.0.0' ? decoded(address) : refused('it must have the form of an IPv4 address');
};

/** As BIRD's `log` has it. */
const logFile: Parse<string> = (value) => (/^(syslog|stderr)$/.test(value) ? decoded(value) : quoted(value));

/** Names, meanings and defaults: README.md. Names are understood in any case. */
const options = {
  EtcdEndpoints: option<readonly string[] | undefined>(endpoints, undefined),
  EtcdAddr: option(text, '127.0.0.1:2379'),
  EtcdScheme: option(text, 'http'),
  EtcdCaFile: option(optionalText, undefined),
  EtcdCertFile: option(optionalText, undefined),
  EtcdKeyFile: option(optionalText, undefined),
  EtcdUsername: option(optionalText, undefined),
  EtcdPassword: option(optionalText, undefined),
  Hostname: option(nodeName, hostname, ['FelixHostname']),
  IPv4Address: option<AddressWish>(addressWish(4), { kind: 'find' }),
  IPv6Address: option<AddressWish>(addressWish(6), { kind: 'find' }),
  AsNumber: option<number | undefined>(ownAsNumber, undefined),
  RouterId: option<IpAddress | undefined>(routerId, undefined),
  InterfacePrefix: option<readonly string[]>(each(interfacePrefix, "the beginning of an interface's name"), ['cali', 'tap']),
  DeviceRouteProtocol: option(number(0, 255), 3),
  ExportPrefixes: option<readonly Cidr[]>(each(exportPrefix, 'a prefix of length 2 or more'), []),
  WorkloadPrefixes: option<readonly Cidr[]>(each(exportPrefix, 'a prefix of length 2 or more'), []),
  MaxRoutesPerPeer: option(number(0, 2147483647), 0),
  GracefulRestartWaitSecs: option(number(1, 3600), 15),
  BgpHoldTimeSecs: option(number(3, 65535), 90),
  RemoveHostsGoneDays: option(number(0, 3650), 0),
  OpenstackRegion: option<string | undefined>(region, undefined),
  BgpPasswordFile: option(text, '/etc/calico/bgp-passwords.cfg'),
  BirdConfigFile: option(text, '/etc/bird/bird.conf'),
  BirdSocket: option(text, '/run/bird/bird.ctl', ['BirdControlSocket']),
  BirdExecutable: option(text, '/usr/sbin/bird'),
  BirdGroup: option(optionalText, 'bird'),
  BirdLogFile: option(logFile, 'syslog'),
  StartBird: option(truth, false),
  BirdPidFile: option(text, '/run/bird/bird.pid'),
  BirdUser: option(optionalText, undefined),
  LogFilePath: option(optionalText, '/var/log/calico/bird-agent.log'),
  LogSeverityFile: option<Severity | undefined>(severity, 'INFO'),
  LogSeverityScreen: option<Severity | undefined>(severity, 'INFO'),
  HealthEnabled: option(truth, false),
  HealthHost: option(text, 'localhost'),
  HealthPort: option(number(1, 65535), 9097),
  PrometheusMetricsEnabled: option(truth, false),
  PrometheusMetricsHost: option(text, 'localhost'),
  PrometheusMetricsPort: option(number(1, 65535), 9096),
} as const;

type Options = typeof options;
type Values = { readonly [name in keyof Options]: ReturnType<Options[name]['fallback']> };

export type Config = Omit<Values, 'EtcdEndpoints' | 'EtcdAddr' | 'EtcdScheme'> & {
  readonly EtcdEndpoints: readonly string[];
  /** Names in the files that mean nothing here. */
  readonly unknown: readonly string[];
};

/** libcalico's names for the connection to etcd, which operators of Calico have in their environment; files beat them. */
const libcalico: Readonly<Record<string, keyof Options>> = {
  ETCD_ENDPOINTS: 'EtcdEndpoints',
  ETCD_CA_CERT_FILE: 'EtcdCaFile',
  ETCD_CERT_FILE: 'EtcdCertFile',
  ETCD_KEY_FILE: 'EtcdKeyFile',
  ETCD_USERNAME: 'EtcdUsername',
  ETCD_PASSWORD: 'EtcdPassword',
};

type Found = { readonly value: string; readonly where: string };

/**
 * The options in force. Of several files the later wins; the environment beats them all.
 * @throws StartError naming option, place and value for a value that is not understood, or a file that cannot be read. A missing default file is an empty one.
 */
export function readConfig(files: readonly string[], environment: Readonly<Record<string, string | undefined>>): Config {
  const found = new Map<string, Found>();
  for (const [name, target] of Object.entries(libcalico)) {
    const value = environment[`CALICO_${name}`] ?? environment[name];
    if (value) found.set(target.toLowerCase(), { value, where: 'environment' });
  }
  const inFiles = files.flatMap(readFile);
  for (const [name, value] of inFiles) found.set(name, value);
  for (const [name, value] of Object.entries(environment))
    if (value !== undefined && name.toUpperCase().startsWith(environmentPrefix))
      found.set(name.slice(environmentPrefix.length).toLowerCase(), { value, where: 'environment' });

  const names = Object.entries(options).flatMap(([name, { aliases = [] }]) => [name, ...aliases].map((each) => each.toLowerCase()));
  const values = Object.fromEntries(Object.entries(options).map(([name, each]) => [name, readOption(name, each, found)])) as Values;
  const { EtcdAddr, EtcdScheme, EtcdEndpoints, ...rest } = values;
  return {
    ...rest,
    EtcdEndpoints: EtcdEndpoints ?? [`${EtcdScheme}://${EtcdAddr}`],
    unknown: [...new Set(inFiles.map(([name]) => name))].filter((name) => !names.includes(name)),
  };
}

function readOption(name: string, { parse, fallback, aliases = [] }: Option<unknown>, found: ReadonlyMap<string, Found>): unknown {
  for (const each of [name, ...aliases]) {
    const given = found.get(each.toLowerCase());
    if (!given) continue;
    const parsed = parse(given.value.trim());
    if (parsed.ok) return parsed.value;
    throw new StartError('CONFIG_INVALID', `${each} "${shownValue(name, given.value)}" (${given.where}): ${parsed.reason}`);
  }
  return fallback();
}

function readFile(path: string): readonly (readonly [string, Found])[] {
  const ini = readIni(path, { mayBeMissing: path === defaultConfigFile });
  return [...ini.values()].flatMap((section) => [...section].map(([name, values]) => [name.toLowerCase(), { value: values.at(-1)!, where: path }] as const));
}
