// Limits how often, and from which link-local addresses, a workload may send packets that the host has to answer or remember, so that a workload that floods the host does not affect others.
//
// Each interface has limits of its own, as elements of sets. A lookup finds the element only while the interface is beyond its limit. The elements are set by Felix, not by packets,
// so no set can run full, and a restart does not reset the limits. An interface without these elements is unknown, and its packets are dropped before.
import { addressFromBytes, type IpAddress, linkLocalBytes, parseCidr } from '@calico-openstack/addresses';
import type { LocalWorkload } from '@calico-openstack/datamodel';
import type { NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import { byte, concat, drop, equal, goBack, inCidr, inSet, l4proto, port, rule } from './statements.ts';

/**
 * Packets that Dnsmasq answers: DHCP and router solicitations. A guest that boots sends about ten in its first second, and then at most one a second in each family. Dnsmasq answers
 * about 2 000 a second on a host with 200 ports, so a hundred guests at their limit leave it nine tenths of its time.
 */
const dhcp: NftSet = { name: 'limit-dhcp', key: ['ifname'], limit: { rate: 2, unit: 'second', burst: 20 } };
/**
 * DNS queries, which the DHCP agent answers for guests whose subnet has no DNS server. The agent answers about 10 000 queries a second, and a guest that sends two for each name, one for each
 * family, can still look up 250 names a second.
 */
const dns: NftSet = { name: 'limit-dns', key: ['ifname'], limit: { rate: 500, unit: 'second', burst: 1000 } };
/** Neighbour discovery, multicast reports and ARP. A virtual router that takes over 50 addresses announces each of them five times at once. */
const neighbours: NftSet = { name: 'limit-neighbours', key: ['ifname'], limit: { rate: 50, unit: 'second', burst: 250 } };
const arp: NftSet = { ...neighbours, name: 'limit-arp' };
/**
 * Packets that make the host remember a neighbour that it does not know beforehand. Only ports with allowed prefixes or without port security can send them. When the kernel's table
 * (gc_thresh3, 1 024 entries) is full, it drops entries that are five seconds old, so one guest has at most 45 of them. The permanent entries for ports' addresses do not count.
 */
const strangers: NftSet = { name: 'limit-strangers', key: ['ifname'], limit: { rate: 5, unit: 'second', burst: 20 } };

/** Set of (interface, address): the link-local addresses that the MACs of the port and of its address pairs make. */
export const linkLocals = 'workload-link-locals';

/** The sets of this file, by table. */
export const limitSets: Readonly<Record<'inet' | 'arp', readonly NftSet[]>> = {
  inet: [dhcp, dns, neighbours, strangers, { name: linkLocals, key: ['ifname', 'ipv6_addr'] }],
  arp: [arp, strangers],
};

const [TCP, UDP, ICMPV6] = [6, 17, 58];
const iif = ['meta iifname'] as const;
const beyond = (set: NftSet): Statement => inSet(set.name, iif);
const isIcmpv6 = (first: number, last = first): Statement[] => [
  l4proto(ICMPV6),
  first === last ? equal('icmpv6 type', byte(first)) : { is: 'range', field: 'icmpv6 type', first: byte(first), last: byte(last) },
];
const toDhcp = (destination: number): Statement[] => [l4proto(UDP), equal('th dport', port(destination))];
const linkLocalSource = inCidr(parseCidr('fe80::/10')!, 'source');
const unspecified = equal('ip6 saddr', new Uint8Array(16));

/**
 * The first rules for packets to the host, so that forwarded packets cost nothing more. (Before conntrack the rules would cost every packet 0.15 µs, a fiftieth. Here a dropped packet
 * costs conntrack an entry that is not kept.) All neighbour discovery that the host handles passes here, also for addresses that it is a proxy for.
 */
export const loudness: readonly NftRule[] = [
  rule(...toDhcp(67), beyond(dhcp), drop),
  rule(...toDhcp(547), beyond(dhcp), drop),
  ...[UDP, TCP].map((protocol) => rule(l4proto(protocol!), equal('th dport', port(53)), beyond(dns), drop)),
  rule(...isIcmpv6(133), beyond(dhcp), drop),
  rule(...isIcmpv6(130, 137), beyond(neighbours), drop), // multicast listener discovery, neighbour discovery (RFC 2710, RFC 4861)
  rule(...isIcmpv6(143), beyond(neighbours), drop), // multicast reports of version 2 (RFC 3810)
];

/**
 * The rules before conntrack for packets that do not come from one of the workload's own addresses. A link-local source must be one that the workload's MACs make. A guest without an
 * address sends from ::, to check whether an address is taken, to find routers and to join groups (RFC 4862, RFC 4861, RFC 3590); such packets make the host remember nothing.
 * @param check whether link-local sources are checked; they are not on interfaces whose MAC is not checked
 * @param anyMac the set of interfaces whose MAC is not checked
 */
export const otherSources = (check: boolean, anyMac: string): readonly NftRule[] => [
  rule(inSet(linkLocals, [...iif, 'ip6 saddr']), goBack),
  rule(unspecified, ...isIcmpv6(131, 135), goBack),
  rule(unspecified, ...isIcmpv6(143), goBack),
  ...(check ? [rule(linkLocalSource, inSet(anyMac, iif, true), drop)] : []),
  rule(linkLocalSource, beyond(strangers), drop),
  rule(...isIcmpv6(133, 135), beyond(strangers), drop),
];

/**
 * A rule for packets to the host. On a DHCPv6 request Dnsmasq looks up the sender's MAC, and waits up to half a second for it, during which it serves nobody else. So the request must
 * come from the link-local address that has a permanent neighbour entry (devices.ts).
 */
export const dhcpv6FromItself: NftRule = rule(...toDhcp(547), inSet(linkLocals, [...iif, 'ip6 saddr'], true), drop);

/** The first rule in the table arp. */
export const arpLoudness: NftRule = rule(beyond(arp), drop);
/** A rule in the table arp, for packets that claim an address which is not the workload's own but allowed. */
export const arpStrangers: NftRule = rule(beyond(strangers), drop);

/** The link-local addresses that a workload may have, each with the MAC that it is derived from. */
export const linkLocalsOf = (workload: LocalWorkload): readonly { readonly address: IpAddress; readonly mac: string }[] =>
  macsOf(workload).map((mac) => ({ address: addressFromBytes(linkLocalBytes(mac)), mac }));

function macsOf({ mac, pairMacs = [] }: LocalWorkload): readonly string[] {
  if (pairMacs.length === 0) return mac === undefined ? [] : [mac];
  return [...new Set([...(mac === undefined ? [] : [mac]), ...pairMacs.map((pair) => pair.mac)])];
}

const limitedSets = (['inet', 'arp'] as const).flatMap((table) =>
  limitSets[table].filter(({ limit }) => limit !== undefined).map(({ name }) => ({ table, set: name })),
);

/** The elements that a workload adds to the sets of this file. @param name the name of its interface, as a key */
export function limitElements(
  workload: LocalWorkload,
  name: Uint8Array,
): readonly { readonly table: 'inet' | 'arp'; readonly set: string; readonly element: NftElement }[] {
  return [
    ...limitedSets.map(({ table, set }) => ({ table, set, element: { key: name } })),
    ...macsOf(workload).map((mac) => ({ table: 'inet', set: linkLocals, element: { key: concat(name, linkLocalBytes(mac)) } }) as const),
  ];
}
