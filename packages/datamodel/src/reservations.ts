// Derives reservations from their sources: the host's kernel, BIRD's configuration, etcd's endpoints, Nodes and BGPPeers. The callers read the sources; these functions only parse.
import { type Cidr, hostCidr, type IpAddress, parseAddress, parseCidr } from '@calico-openstack/addresses';
import type { Holder, Reservations } from './reserved-addresses.ts';
import { decodeResource, isFields } from './resource.ts';

/** A fact that the kernel room's `HostAddresses` reports: an address of the host, or the next hop of a route. */
export type HostAddressFact = { readonly is: 'own' | 'next-hop'; readonly prefix: string; readonly device: string | undefined };

/**
 * The addresses that the host itself uses. Addresses on workload interfaces do not count: the DHCP agent puts gateways there, and an operator may route through a workload.
 * @param isWorkloadInterface whether an interface of this name is a workload's: `tap…`, and whatever else the operator has declared
 */
export function reservationsOfHost(facts: Iterable<HostAddressFact>, isWorkloadInterface: (name: string) => boolean): Reservations {
  const reserved = new Map<Cidr, Holder>();
  for (const { is, prefix, device } of facts) {
    // This test comes first because a host has thousands of addresses on taps.
    if (device !== undefined && isWorkloadInterface(device)) continue;
    const cidr = parseCidr(prefix);
    if (!cidr) continue;
    // The link has just been deleted, and its addresses will be missing from the next reading. Until then, a tap's gateway must not count as the host's own address.
    if (is === 'own' && device === undefined) continue;
    const where = device === undefined ? '' : ` (${device})`;
    if (is === 'own') reserved.set(cidr, { whose: `an address of this host${where}`, isThisHosts: true });
    else if (!reserved.has(cidr)) reserved.set(cidr, { whose: `the next hop of a route of this host${where}` });
  }
  return reserved;
}

/** The addresses of etcd's endpoints. */
export function reservationsOfEtcd(endpoints: Iterable<IpAddress>): Reservations {
  return new Map([...endpoints].map((address) => [hostCidr(address), { whose: 'an etcd endpoint' }]));
}

/**
 * The peers that BIRD's configuration names: `neighbor 10.0.0.1 as 65000;`, `neighbor fe80::1%eth0 as …`. A range (`neighbor range 10.0.0.0/24`) is reserved as a whole.
 * A session with a workload of this host, which the BIRD agent names `'workload4-…'`, reserves nothing: the workload is to have that address.
 * Comments and strings are skipped. Text that is not a configuration reserves nothing.
 */
export function reservationsOfBird(configuration: string): Reservations {
  const reserved = new Map<Cidr, Holder>();
  const code = configuration.replace(/"[^"\n]*"/g, '""').replace(/\/\*[\s\S]*?\*\/|#[^\n]*/g, ' ');
  let isWorkloads = false;
  for (const [, protocol, range, text] of code.matchAll(/\b(?:protocol|template)\s+bgp\b\s*('[^'\n]*')?|\bneighbor\s+(range\s+)?([0-9a-fA-F:./]{2,50})/g)) {
    if (text === undefined) {
      isWorkloads = protocol !== undefined && workloadSession.test(protocol);
      continue;
    }
    if (isWorkloads) continue;
    const cidr = range ? parseCidr(text) : hostCidrOf(text);
    if (cidr) reserved.set(cidr, { whose: "a BGP peer in BIRD's configuration" });
  }
  return reserved;
}

const workloadSession = /^'workload[46]-/;

/** The addresses of a Node in etcd: `spec.bgp.ipv4Address`, `spec.bgp.ipv6Address` and `spec.addresses`. A value that cannot be read reserves nothing. */
export function reservationsOfNode(name: string, bytes: Uint8Array): Reservations {
  const resource = decodeResource(bytes);
  const reserved = new Map<Cidr, Holder>();
  if (!resource.ok) return reserved;
  const { bgp, addresses } = resource.value.spec;
  const texts: unknown[] = isFields(bgp) ? [bgp['ipv4Address'], bgp['ipv6Address']] : [];
  if (Array.isArray(addresses)) for (const entry of addresses as unknown[]) if (isFields(entry)) texts.push(entry['address']);
  for (const text of texts) {
    const cidr = typeof text === 'string' ? hostCidrOf(text.split('/', 1)[0]!) : undefined;
    if (cidr) reserved.set(cidr, { whose: `an address of the node ${name}` });
  }
  return reserved;
}

/** The address of a BGPPeer in etcd (`spec.peerIP`): `10.0.0.1`, `10.0.0.1:1790` or `[2001:db8::1]:1790`. A value that cannot be read reserves nothing. */
export function reservationsOfBgpPeer(name: string, bytes: Uint8Array): Reservations {
  const resource = decodeResource(bytes);
  const text = resource.ok ? resource.value.spec['peerIP'] : undefined;
  if (typeof text !== 'string') return new Map();
  const cidr = hostCidrOf(/^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? text.replace(/^([\d.]+):\d+$/, '$1'));
  return cidr ? new Map([[cidr, { whose: `the BGP peer ${name}` }]]) : new Map();
}

function hostCidrOf(text: string): Cidr | undefined {
  const address = parseAddress(text);
  return address && hostCidr(address);
}
