// The table of the agent's options. Their sources, the first one first: the environment, bird-agent.cfg, the environment variables that every client of Calico's datastore reads.
import { type Cidr, familyOf, type IpAddress, parseAddress, parseCidr } from '@calico-openstack/addresses';
import {
  bad,
  cfgSource,
  complaintsOfPlainEtcd,
  environmentSource,
  etcdOfCfg,
  etcdRowsOfCfg,
  good,
  libcalicoSource,
  listOf,
  matching,
  named,
  outputRows,
  type Parser,
  type Resolution,
  resolveOptions,
  row,
  systemHostName,
  text,
  truth,
  type Values,
  whole,
} from '@calico-openstack/agent';
import { isInterfaceName, isRegion } from '@calico-openstack/datamodel';
import { quoted } from './bird/text.ts';
import { asNumber, interfaceAddress } from './resources/values.ts';

/** The configuration file that is read when the command line names none. It may be missing. */
export const defaultConfigFile = '/etc/calico/bird-agent.cfg';
/** The beginning of the environment variables: the option's name in capitals follows. */
const environmentPrefix = 'CALICO_BIRD_AGENT_';

/** An operator's wish for an address: a given one, with or without its prefix length; `find` when the agent determines it; `none` when there is to be none. */
export type AddressWish = { readonly kind: 'find' | 'none' } | { readonly kind: 'given'; readonly address: string };

const required = { required: true } as const;
const none = { value: undefined };

/** Parses the beginning of an interface's name, which becomes part of a pattern in BIRD's configuration. */
const interfacePrefix: Parser<string> = matching(
  (word) => /^[A-Za-z0-9_.-]{1,14}$/.test(word) && isInterfaceName(word),
  "the beginning of an interface's name",
);

/** Parses a prefix of at least two bits: the default route or half of all addresses would be a mistake. */
const exportPrefix: Parser<Cidr> = (word) => {
  const cidr = parseCidr(word);
  return cidr && Number(cidr.split('/')[1]) >= 2 ? good(cidr) : bad('it must be a prefix of length 2 or more');
};

const addressWish =
  (family: 4 | 6): Parser<AddressWish> =>
  (value) => {
    if (/^autodetect$/i.test(value)) return good({ kind: 'find' });
    const parsed = interfaceAddress(family)(value);
    return parsed.ok ? good({ kind: 'given', address: value }) : parsed;
  };

const routerId: Parser<IpAddress | undefined> = (value) => {
  const address = parseAddress(value);
  return address && familyOf(address) === 4 && address !== '0.0.0.0' ? good(address) : bad('it must have the form of an IPv4 address');
};

/** Parses a destination for BIRD's statement `log`; a path becomes a string of BIRD's language. */
const logFile: Parser<string> = (value) => {
  if (/^(syslog|stderr)$/.test(value)) return good(value);
  const path = quoted(value);
  return path.ok ? path : bad(`it ${path.reason}`);
};

const address = (family: 4 | 6) =>
  row<AddressWish>(addressWish(family), { kind: 'find' }, `this host's IPv${family} address, with its prefix length; \`none\` when it has none`, {
    ...required,
    none: { value: { kind: 'none' } },
    shownDefault: 'autodetect',
  });

const prefixes = (help: string) => row<readonly Cidr[]>(listOf(exportPrefix), [], help, required);

const inFile = (key: string) => ({ environment: [`${environmentPrefix}${key}`], cfg: [key] });

/** The names of an option in the environment and the file when it has several. */
const aliases = (...keys: readonly string[]) => ({
  environment: keys.flatMap((key) => inFile(key).environment),
  cfg: keys,
});

/** The table of options: each with its parser, its default, and a sentence for the README. */
export const options = named(inFile, {
  ...etcdRowsOfCfg,
  Hostname: row(matching(/^[^\s/]+$/, 'a name without blanks and slashes'), systemHostName(), "this host's name in Neutron, and the name of its Node", {
    ...required,
    none: 'refused',
    shownDefault: "the system's host name in lower case",
    also: aliases('Hostname', 'FelixHostname'),
  }),
  IPv4Address: address(4),
  IPv6Address: address(6),
  AsNumber: row<number | undefined>(asNumber, undefined, "this host's AS number, which is written to the Node", {
    ...required,
    shownDefault: "BGPConfiguration's, or 64512",
  }),
  RouterId: row<IpAddress | undefined>(routerId, undefined, "BIRD's router id", { ...required, shownDefault: "the Node's IPv4 address" }),
  InterfacePrefix: row<readonly string[]>(listOf(interfacePrefix), ['cali', 'tap'], "beginnings of the names of workloads' interfaces", required),
  DeviceRouteProtocol: row(whole(0, 255), 3, "routing protocol number of workloads' routes; must be the same as Felix's", required),
  ExportPrefixes: prefixes('prefixes whose routes are announced from any interface'),
  WorkloadPrefixes: prefixes('prefixes that other hosts may announce, with parts of them, in addition to single addresses'),
  MaxRoutesPerPeer: row(whole(0, 2147483647), 0, 'greatest number of routes that are accepted from each neighbour; 0 for any number', required),
  GracefulRestartWaitSecs: row(
    whole(1, 3600),
    15,
    'seconds that a BIRD started with `-R` waits at most for its neighbours before it removes routes that nobody has announced again; new workloads are announced after that. One neighbour that is down makes it wait for the whole time',
  ),
  BgpHoldTimeSecs: row(whole(3, 65535), 90, "hold time of BGP sessions; a BGPPeer's `holdTime` has priority"),
  RemoveHostsGoneDays: row(whole(0, 3650), 0, 'days without a report of a host’s Felix after which this agent removes its Node; 0 for never. See below'),
  OpenstackRegion: row<string | undefined>(
    matching(isRegion, 'a lower-case DNS label of at most 46 characters'),
    undefined,
    "the region, where several clouds share one etcd; must be the same as Felix's",
    { ...required, none },
  ),
  BgpPasswordFile: row(
    text,
    '/etc/calico/bgp-passwords.cfg',
    'file of BGP passwords, readable only by root. `secretKeyRef` `{name, key}` is the option `key` in section `[name]`',
  ),
  BirdConfigFile: row(text, '/etc/bird/bird.conf', 'BIRD’s configuration file (`-c`), with mode 0640 and group `BirdGroup`'),
  BirdSocket: row(text, '/run/bird/bird.ctl', "BIRD's control socket", { also: aliases('BirdSocket', 'BirdControlSocket') }),
  BirdExecutable: row(text, '/usr/sbin/bird', 'BIRD’s program, for `bird -p` and `StartBird`'),
  BirdGroup: row<string | undefined>(text, 'bird', 'group that may read `BirdConfigFile`, if the host has it', { none }),
  BirdLogFile: row(logFile, 'syslog', 'where BIRD logs; a path, `syslog` or `stderr`'),
  StartBird: row(truth, false, 'whether the agent starts a BIRD that does not run. BIRD stays when the agent ends. See below'),
  BirdPidFile: row(text, '/run/bird/bird.pid', 'BIRD’s pid file, for `StartBird`'),
  BirdUser: row<string | undefined>(text, undefined, 'user that BIRD runs as, for `StartBird`', { none, shownDefault: "the agent's own" }),
  ...outputRows({ logFile: '/var/log/calico/bird-agent.log', healthPort: 9097, metricsHost: 'localhost', metricsPort: 9096 }),
});

/** The options in force. */
export type Config = Values<typeof options>;

/**
 * Reads the options. When several files set an option, the last one counts. Only the default file may be missing.
 * @throws IniError for a file that cannot be read or parsed
 */
export function readOptions(files: readonly string[], environment: Readonly<Record<string, string | undefined>> = process.env): Resolution<typeof options> {
  const inFiles = files.map((path) => cfgSource(path, { mayBeMissing: path === defaultConfigFile }));
  const resolution = resolveOptions(options, [environmentSource(environment, environmentPrefix), ...inFiles.reverse(), libcalicoSource(environment)]);
  const strangers = resolution.unknown.map(({ name, source }) => ({
    option: name,
    source: source.name,
    value: '…',
    problem: 'the BIRD agent has no such option; it is ignored, so see that its name is right',
  }));
  const ofEtcd = complaintsOfPlainEtcd(resolution, etcdOfCfg(resolution.values));
  return { ...resolution, complaints: [...resolution.complaints, ...ofEtcd, ...strangers] };
}
