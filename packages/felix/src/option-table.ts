// Felix's parameters, with Calico's names and defaults.
import { type IpAddress, parseAddress, parseCidr } from '@calico-openstack/addresses';
import {
  bad,
  etcdRowsOfCfg,
  good,
  matching,
  named,
  oneOf,
  outputRows,
  type Parser,
  row,
  decimal as seconds,
  systemHostName,
  text,
  truth,
  type Values,
  whole,
} from '@calico-openstack/agent';
import { isRegion, type PortRange } from '@calico-openstack/datamodel';
import type { FailsafePort } from '@calico-openstack/render';

/** A rate of log lines. */
export type Rate = { readonly rate: number; readonly unit: 'second' | 'minute' | 'hour' | 'day' };

const address: Parser<IpAddress | undefined> = (value) => {
  const parsed = parseAddress(value);
  return parsed ? good(parsed) : bad('it must be an IP address (a host name has no effect on packets)');
};

/** Prefixes of interface names, separated by commas. `tap` is always added: the workloads of OpenStack are on taps, and no setting may leave them unpoliced. */
const interfacePrefixes: Parser<readonly string[]> = (value) => {
  const prefixes = value
    .split(',')
    .map((prefix) => prefix.trim())
    .filter((prefix) => prefix !== '');
  return prefixes.length > 0 && prefixes.every((prefix) => /^[A-Za-z0-9_-]{1,15}$/.test(prefix))
    ? good([...new Set([...prefixes, 'tap'])])
    : bad('it must be interface name beginnings of at most 15 letters, digits, _ and -, separated by commas');
};

/** A port, or `first:last`. */
const portRange: Parser<PortRange | undefined> = (value) => {
  const [, first, last = first] = /^([0-9]{1,5})(?::([0-9]{1,5}))?$/.exec(value) ?? [];
  const range = { first: Number(first), last: Number(last) };
  return first !== undefined && range.first >= 1 && range.first <= range.last && range.last <= 65535
    ? good(range)
    : bad('it must be a port, or two with a colon between them, such as 32768:65535');
};

/** `N/second`, `/minute`, `/hour` or `/day`. */
const rate: Parser<Rate | undefined> = (value) => {
  const [, number, unit] = /^([1-9][0-9]{0,3})\/(second|minute|hour|day)$/i.exec(value) ?? [];
  return number && unit
    ? good({ rate: Number(number), unit: unit.toLowerCase() as Rate['unit'] })
    : bad('it must be a number from 1 to 9999 and /second, /minute, /hour or /day');
};

/** Ports separated by commas: `tcp:22`, `udp:10.0.0.0/8:68`, `tcp:[2001:db8::/32]:22`; a number alone is a port of TCP. */
const failsafePorts: Parser<readonly FailsafePort[]> = (value) => {
  const ports: FailsafePort[] = [];
  for (const text of value.split(',')) {
    const [, protocol = 'tcp', net6, net4, digits = ''] = /^(?:(tcp|udp):)?(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?([0-9]{1,5})$/i.exec(text.trim()) ?? [];
    const net = net6 ?? net4;
    const cidr = net === undefined ? undefined : parseCidr(net);
    const number = Number(digits);
    if (digits === '' || number < 1 || number > 65535 || (net !== undefined && cidr === undefined))
      return bad('it must be ports such as `tcp:22`, `udp:68`, `tcp:10.0.0.0/8:22` or `tcp:[2001:db8::/32]:22`, separated by commas');
    ports.push({ protocol: protocol.toLowerCase() as FailsafePort['protocol'], ...(cidr && { net: cidr }), port: number });
  }
  return good(ports);
};

/** The failsafe ports of this list of TCP and UDP ports, and the list as the option writes it. */
const failsafesOf = (udp: readonly number[], tcp: readonly number[]): readonly FailsafePort[] => [
  ...udp.map((each): FailsafePort => ({ protocol: 'udp', port: each })),
  ...tcp.map((each): FailsafePort => ({ protocol: 'tcp', port: each })),
];
const printFailsafes = (ports: readonly FailsafePort[]): string => ports.map(({ protocol, port: number }) => `${protocol}:${number}`).join(',');
const fabric = [179, 2379, 2380, 5473, 6443, 6666, 6667];
const [failsafesIn, failsafesOut] = [failsafesOf([68], [22, ...fabric]), failsafesOf([53, 67], fabric)];

/** A mask with at least the four bits that Felix needs. */
const markMask: Parser<number> = (value, dialect) => {
  const number = whole(0, 0xffffffff)(value, dialect);
  if (!number.ok || bitsOf(number.value).length >= 4) return number;
  return bad('it must be a mask of 32 bits with at least 4 set: two for packets, two for connections');
};

/** The single bits of a mask of 32 bits, the lowest first. */
export function bitsOf(mask: number): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < 32; bit += 1) if ((mask >>> bit) & 1) bits.push((1 << bit) >>> 0);
  return bits;
}

const required = { required: true } as const;
const none = { value: undefined };
const zero = { none: { value: 0 } };
const priority = whole(1, 2147483646);
const port = whole(0, 65535);

/** The names of a parameter that only the environment and files can set. */
const local = (key: string) => ({ environment: [`FELIX_${key}`], cfg: [key] });

/** The names of a parameter that FelixConfiguration can set as well, while Felix runs. */
const live = (key: string) => ({ ...local(key), resource: [fields[key] ?? key] });

/** The fields of FelixConfiguration whose names differ from their parameters' names, by parameter. */
const fields: Readonly<Record<string, string>> = {
  ReportingIntervalSecs: 'reportingInterval',
  ReportingTTLSecs: 'reportingTTL',
};

const outputs = outputRows({ logFile: '/var/log/calico/felix.log', healthPort: 9099, metricsHost: '', metricsPort: 9091 });

/** All parameters of Felix. */
export const parameters = {
  ...named(local, {
    DatastoreType: row(oneOf('etcdv3'), 'etcdv3', 'the datastore; this Felix knows no other', { required: true, also: { libcalico: ['DATASTORE_TYPE'] } }),
    FelixHostname: row(matching(/^[a-zA-Z0-9_.-]+$/, 'letters, digits, _ . and -'), systemHostName(), 'what Neutron calls the host', {
      ...required,
      none: 'refused',
      shownDefault: "the system's host name in lower case",
    }),
    ...etcdRowsOfCfg,
    NftablesTableOwnership: row(
      oneOf('Owned', 'Shared'),
      'Owned',
      'not in upstream: whether the kernel prevents other programs from changing our tables (Linux 6.9)',
    ),
    BirdConfigFile: row<string | undefined>(
      text,
      '/etc/bird/bird.conf',
      "not in upstream: BIRD's configuration; no workload may have the address of a neighbour in it",
      {
        none,
      },
    ),
  }),
  ...named(live, {
    OpenstackRegion: row<string | undefined>(
      matching(isRegion, 'a lower-case DNS label of at most 46 characters'),
      undefined,
      'the region, if several clouds share one etcd; a change ends Felix with exit code 129, to be started again',
      { ...required, none },
    ),
    InterfacePrefix: row<readonly string[]>(interfacePrefixes, ['cali', 'tap'], "prefixes of the names of workloads' interfaces; always includes `tap`", {
      ...required,
      none: 'refused',
    }),
    Ipv6Support: row(truth, true, 'whether workloads have IPv6'),
    IPForwarding: row(oneOf('Enabled', 'Disabled'), 'Enabled', 'whether Felix switches forwarding on'),
    MetadataAddr: row<IpAddress | undefined>(address, parseAddress('127.0.0.1'), "the address of Nova's metadata service; `none` for no service", {
      ...required,
      none,
    }),
    MetadataPort: row(port, 8775, 'its port', { ...required, ...zero }),
    DefaultEndpointToHostAction: row(oneOf('DROP', 'RETURN', 'ACCEPT'), 'DROP', 'what happens to packets from workloads to the host itself', required),
    FailsafeInboundHostPorts: row<readonly FailsafePort[]>(
      failsafePorts,
      failsafesIn,
      "ports of the host that no host endpoint's policy closes; `none` for none",
      {
        ...required,
        none: { value: [] },
        shownDefault: printFailsafes(failsafesIn),
      },
    ),
    FailsafeOutboundHostPorts: row<readonly FailsafePort[]>(failsafePorts, failsafesOut, 'the same for ports that the host connects to', {
      ...required,
      none: { value: [] },
      shownDefault: printFailsafes(failsafesOut),
    }),
    NftablesFilterDenyAction: row(oneOf('DROP', 'REJECT'), 'DROP', 'what happens to packets that policy denies', required),
    NftablesMarkMask: row(markMask, 0xffff0000, "the bits of marks that Felix uses: the two lowest in the packet's mark, the next two in the connection's", {
      ...required,
      shownDefault: '0xffff0000',
    }),
    NftablesRefreshInterval: row(seconds(), 180, 'seconds between comparisons of all rules with the kernel; 0 for none', zero),
    RouteRefreshInterval: row(seconds(), 90, 'seconds between comparisons of all routes and neighbours with the kernel; 0 for none', zero),
    DisableConntrackInvalidCheck: row(truth, false, 'allows packets that connection tracking calls invalid'),
    WorkloadSourceSpoofing: row(oneOf('Disabled', 'Any'), 'Disabled', 'whether endpoints may have prefixes that they send from besides their addresses'),
    WorkloadLinkLayerCheck: row(
      oneOf('Enabled', 'Disabled'),
      'Enabled',
      "not in upstream: restricts source MACs, ARP and neighbour discovery to the port's addresses",
    ),
    SharedAddressPairs: row(
      oneOf('Follow', 'Oldest'),
      'Follow',
      'not in upstream: whether an address that several ports of a network have as a pair follows the guest that has it (VRRP), or belongs to the oldest port of each host for ever',
    ),
    EstablishedConnections: row(
      oneOf('Enforce', 'Keep'),
      'Enforce',
      "not in upstream: whether connections that policy no longer allows are cut; with `Keep` they go on, as with upstream's Felix",
    ),
    AllowVXLANPacketsFromWorkloads: row(truth, false, 'allows workloads to send VXLAN'),
    AllowIPIPPacketsFromWorkloads: row(truth, false, 'allows workloads to send IP in IP'),
    NATOutgoingAddress: row<IpAddress | undefined>(
      address,
      undefined,
      'the address that packets leave with by outgoing NAT of IP pools; without it, one of the interface that they leave by',
      { none },
    ),
    NATPortRange: row<PortRange | undefined>(
      portRange,
      undefined,
      "the ports, such as `32768:65535`, that TCP and UDP leave with by outgoing NAT; without it, the packet's own if it is free",
      {
        none,
      },
    ),
    IptablesNATOutgoingInterfaceFilter: row<string | undefined>(
      matching(/^(?:[A-Za-z0-9:._-]{0,14}\+|[A-Za-z0-9:._-]{1,15})$/, 'the name of an interface, or its beginning and `+`'),
      undefined,
      'the interface that packets have to leave by to be translated by outgoing NAT; `eth+` for all whose names begin with `eth`',
      { none },
    ),
    NATOutgoingExclusions: row(
      oneOf('IPPoolsOnly', 'IPPoolsAndHostIPs'),
      'IPPoolsOnly',
      'the destinations that outgoing NAT leaves alone: the addresses of all IP pools, with `IPPoolsAndHostIPs` those of Nodes too',
    ),
    VXLANPort: row(whole(1, 65535), 4789, 'the UDP port of VXLAN'),
    LogPrefix: row(text, 'calico-packet', 'the beginning of the lines of Log rules', { none: { value: '' } }),
    LogActionRateLimit: row<Rate | undefined>(
      rate,
      { rate: 20, unit: 'second' },
      "the most lines that each Log rule writes; with `none`, upstream's default, anybody who may send packets can fill the host's log",
      { none, shownDefault: '20/second' },
    ),
    LogActionRateLimitBurst: row(whole(0, 9999), 5, 'how many of these lines may be written at once'),
    DeviceRouteProtocol: row(whole(1, 255), 3, 'the protocol number of routes to workloads'),
    RemoveExternalRoutes: row(truth, true, "whether other programs' routes on workloads' interfaces are removed"),
    IPv4NormalRoutePriority: row(priority, 1024, 'the metric of IPv4 routes'),
    IPv6NormalRoutePriority: row(priority, 1024, 'the metric of IPv6 routes'),
    IPv4ElevatedRoutePriority: row(priority, 512, 'the metric of IPv4 routes to a workload that has just arrived by live migration; below the normal one'),
    IPv6ElevatedRoutePriority: row(priority, 512, 'the same for IPv6'),
    LiveMigrationRouteConvergenceTime: row(seconds(), 30, 'seconds for which these metrics stay after Neutron has activated the port on its new host'),
    ReportingIntervalSecs: row(seconds(), 30, 'seconds between reports that Felix is alive; 0 for none', zero),
    ReportingTTLSecs: row(seconds(), 90, 'seconds for which such a report is valid'),
    EndpointReportingEnabled: row(truth, false, 'whether the status of each endpoint is reported; the Neutron driver switches it on'),
    ...outputs,
  }),
};

/** The values of all parameters. */
export type FelixConfig = Values<typeof parameters>;
