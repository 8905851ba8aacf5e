// What a workload may say how often, and from which link-local addresses, wherever the host has to answer or remember: so that one that is loud takes nothing from the others.
//
// Each interface has limits of its own, as elements of sets that are found only beyond them: what one uses up the others still have. The elements are this program's own,
// so no packet makes one, no set runs full, and a restart gives nothing back. An interface without them is unknown, and dropped before.
import { addressFromBytes, type IpAddress, type LocalWorkload, linkLocalBytes, parseCidr } from '@calico-openstack/datamodel';
import type { NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import { byte, concat, drop, equal, goBack, inCidr, inSet, l4proto, port, rule } from './statements.ts';

/**
 * What Dnsmasq answers: DHCP, and router solicitations. A guest that boots asks some ten times in its first second, and then once a second in each family at most; Dnsmasq answers
 * some 2 000 a second on a host of 200 ports, so that a hundred who do their worst leave it nine tenths of its time.
 */
const dhcp: NftSet = { name: 'limit-dhcp', key: ['ifname'], limit: { rate: 2, unit: 'second', burst: 20 } };
/** Solicitations, advertisements and multicast reports, and ARP: a virtual router that takes over 50 addresses says so five times for each at once. */
const neighbours: NftSet = { name: 'limit-neighbours', key: ['ifname'], limit: { rate: 50, unit: 'second', burst: 250 } };
const arp: NftSet = { ...neighbours, name: 'limit-arp' };
/**
 * What makes the host remember a neighbour that is not known beforehand: only ports that may speak for prefixes, or without port security, can. The kernel takes back an entry
 * that is five seconds old when its table (gc_thresh3, 1 024) is full: so one guest has 45 of them at most. Addresses of ports have permanent entries, which do not count.
 */
const strangers: NftSet = { name: 'limit-strangers', key: ['ifname'], limit: { rate: 5, unit: 'second', burst: 20 } };

/** (interface, address): what its port's MAC makes, and the MACs of its address pairs. */
export const linkLocals = 'workload-link-locals';

export const limitSets: Readonly<Record<'inet' | 'arp', readonly NftSet[]>> = {
  inet: [dhcp, neighbours, strangers, { name: linkLocals, key: ['ifname', 'ipv6_addr'] }],
  arp: [arp, strangers],
};

const [UDP, ICMPV6] = [17, 58];
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
 * On the way to the host, first of all: what is forwarded pays nothing. (Before conntrack it would be 0.15 µs, a fiftieth, for every packet of everybody; here, what is dropped
 * costs conntrack an entry that is not kept.) All that the host itself makes of neighbour discovery comes by here, also for addresses that it is a proxy for.
 */
export const loudness: readonly NftRule[] = [
  rule(...toDhcp(67), beyond(dhcp), drop),
  rule(...toDhcp(547), beyond(dhcp), drop),
  rule(...isIcmpv6(133), beyond(dhcp), drop),
  rule(...isIcmpv6(130, 137), beyond(neighbours), drop), // multicast listener discovery, neighbour discovery (RFC 2710, RFC 4861)
  rule(...isIcmpv6(143), beyond(neighbours), drop), // multicast reports of version 2 (RFC 3810)
];

/**
 * Before conntrack, for what does not come from an address of the workload's own: link-local sources must be what its MAC makes (`check`; any where the MAC is not checked). Before it has an
 * address a guest asks from :: whether it may have it, for routers, and says which groups it joins (RFC 4862, RFC 4861, RFC 3590); that makes the host remember nothing.
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
 * On the way to the host. A question by DHCPv6 makes Dnsmasq look for who asks, half a second long where nobody says so and nobody else is served: so it must come from the
 * address for which there is a permanent neighbour (devices.ts).
 */
export const dhcpv6FromItself: NftRule = rule(...toDhcp(547), inSet(linkLocals, [...iif, 'ip6 saddr'], true), drop);

/** In the table arp, first of all. */
export const arpLoudness: NftRule = rule(beyond(arp), drop);
/** In the table arp, for what claims an address that is not the workload's own, and may. */
export const arpStrangers: NftRule = rule(beyond(strangers), drop);

/** The link-local addresses that a workload may have, each with the MAC that makes it. */
export const linkLocalsOf = (workload: LocalWorkload): readonly { readonly address: IpAddress; readonly mac: string }[] =>
  macsOf(workload).map((mac) => ({ address: addressFromBytes(linkLocalBytes(mac)), mac }));

function macsOf({ mac, pairMacs = [] }: LocalWorkload): readonly string[] {
  if (pairMacs.length === 0) return mac === undefined ? [] : [mac];
  return [...new Set([...(mac === undefined ? [] : [mac]), ...pairMacs.map((pair) => pair.mac)])];
}

const limitedSets = (['inet', 'arp'] as const).flatMap((table) =>
  limitSets[table].filter(({ limit }) => limit !== undefined).map(({ name }) => ({ table, set: name })),
);

/** What a workload adds to the sets here. @param name its interface's, as a key */
export function limitElements(
  workload: LocalWorkload,
  name: Uint8Array,
): readonly { readonly table: 'inet' | 'arp'; readonly set: string; readonly element: NftElement }[] {
  return [
    ...limitedSets.map(({ table, set }) => ({ table, set, element: { key: name } })),
    ...macsOf(workload).map((mac) => ({ table: 'inet', set: linkLocals, element: { key: concat(name, linkLocalBytes(mac)) } }) as const),
  ];
}
