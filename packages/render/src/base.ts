// The base chains, which exist whatever the datastore holds: hooks, anti-spoofing, dispatch, and the exceptions for packets to the host. While their sets are empty, nothing passes from or
// to a workload interface.
//
// A packet from a workload:  prerouting, before conntrack: known interface? own MAC? own source?   then NAT, then
//     to the host:  exceptions, egress policy, endpointToHostAction          forwarded:  egress policy, then, to a workload, ingress policy
// A packet to a workload from elsewhere: ingress policy. From the host itself: never policed.

import { addressBytes, familyOf, parseCidr } from '@calico-openstack/addresses';
import type { Hook, NftChain, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import { classMap, invalidRules as invalid } from './classes.ts';
import type { TableName } from './edits.ts';
import { type HostUse, hostEndpointChains, hostEndpointSets } from './host-endpoints.ts';
import { arpLoudness, arpStrangers, dhcpv6FromItself, limitSets, loudness, otherSources } from './limits.ts';
import type { Direction } from './names.ts';
import type { RenderOptions } from './options.ts';
import { isAnothers } from './others.ts';
import { outgoingNatRules, poolSets } from './outgoing-nat.ts';
import { addressCheck, claimMap, connectionMap, pairMacMap, reversePath, spoofMap } from './prefixes.ts';
import { connectionRules, noQos, packetRateRules, type QosUse, qosSets } from './qos.ts';
import { deny } from './rules.ts';
import { establishedRules, foretold, hostConnections, relatedRules, stamp, stampSet } from './stamps.ts';
import {
  accept,
  addressField,
  advertises,
  byte,
  clearMark,
  drop,
  equal,
  fieldInCidr,
  goBack,
  goTo,
  inCidr,
  inSet,
  jump,
  l4proto,
  markHas,
  nameBegins,
  nfproto,
  port,
  portRange,
  rule,
} from './statements.ts';
import { anyMac, bgpPeerings, fixedToFloating, floatingToFixed, interfaceClasses, knownInterfaces, ownAddresses, ownMacs, workloadSets } from './workloads.ts';

const hook = (type: Hook['type'], at: Hook['hook'], priority: number): Hook => ({ type, hook: at, priority, policy: 'accept' });

const RAW = -300;
const DSTNAT = -100;
const FILTER = 0;
const SRCNAT = 100;

const [TCP, UDP, ICMPV6, IPIP] = [6, 17, 58, 4];
const ROUTER_ADVERTISEMENT = 134;

/** The chain of each table that is at a hook and has rules whenever the table polices workloads. */
export const policingChains: Readonly<Record<TableName, string>> = { inet: 'filter-forward', arp: 'input' };

/** The sets that exist from the start, by table. */
export const baseSets: Readonly<Record<TableName, readonly NftSet[]>> = {
  inet: [
    ...workloadSets.inet,
    ...limitSets.inet,
    ...qosSets,
    ...poolSets,
    ...hostEndpointSets,
    { name: classMap('ingress'), key: ['mark'], data: 'verdict' },
    { name: classMap('egress'), key: ['mark'], data: 'verdict' },
    stampSet,
  ],
  arp: [...workloadSets.arp, ...limitSets.arp],
};

/** The optional features for which rules exist only while somebody uses them: QoS limits, pools with natOutgoing, policies of host endpoints, rules that log packets. */
export type Used = { readonly qos: QosUse; readonly natOutgoing: boolean; readonly host: HostUse; readonly log: boolean };
/** No feature is in use. */
export const unused: Used = { qos: noQos, natOutgoing: false, host: {}, log: false };

/** The base chains of both tables, for these options. */
export function baseChains(options: RenderOptions, { qos, natOutgoing, host, log }: Used = unused): Readonly<Record<TableName, readonly NftChain[]>> {
  return {
    inet: [
      ...antiSpoofing(options),
      ...natChains(options, natOutgoing),
      ...forwarding(options),
      ...policed(options, qos),
      ...toHost(options, log),
      ...hostEndpointChains(options, host),
    ],
    arp: arpChains(options),
  };
}

/** A rule with these statements for each prefix of workload interfaces, for packets that come in on such an interface. */
const fromWorkload = (options: RenderOptions, ...statements: readonly Statement[]): NftRule[] =>
  options.interfacePrefixes.map((prefix) => rule(nameBegins('meta iifname', prefix), ...statements));
const toWorkload = (options: RenderOptions, ...statements: readonly Statement[]): NftRule[] =>
  options.interfacePrefixes.map((prefix) => rule(nameBegins('meta oifname', prefix), ...statements));

const loopback = inCidr(parseCidr('127.0.0.0/8')!, 'destination');

/**
 * The source checks. They run before conntrack, so that a spoofed packet creates no entry. They always drop, even where policy rejects: a rejection would be sent to the forged source
 * without regard to that workload's policy. Packets to the host's loopback addresses are dropped too: `route_localnet`, which the metadata service needs, would let a workload reach
 * services that listen on loopback only.
 */
function antiSpoofing(options: RenderOptions): NftChain[] {
  const linkLayer = options.antiSpoofLinkLayer;
  // The port's own MAC is checked first: nearly all packets are decided by this one lookup.
  const otherMac = rule(inSet(ownMacs, ['meta iifname', 'ether saddr'], true), inSet(anyMac, ['meta iifname'], true), goTo('other-mac'));
  const dhcp = rule(equal('ip saddr', Uint8Array.of(0, 0, 0, 0)), l4proto(UDP), portRange('source', 68, 68), portRange('destination', 67, 67), goBack);
  return [
    { name: 'raw-prerouting', hook: hook('filter', 'prerouting', RAW), rules: fromWorkload(options, goTo('source-check')) },
    {
      name: 'source-check',
      rules: [
        rule(inSet(knownInterfaces, ['meta iifname'], true), drop),
        rule(loopback, drop),
        ...(options.ipv6 ? [] : [rule(nfproto(6), drop)]),
        ...(linkLayer ? [otherMac] : []),
        rule(goTo(addressCheck.inet)),
      ],
    },
    { name: 'other-mac', rules: [rule({ is: 'verdict-map', fields: ['meta iifname', 'ether saddr'], map: pairMacMap }), rule(drop)] },
    {
      name: addressCheck.inet,
      rules: [
        ...(linkLayer ? [rule(...advertises, jump('claims'))] : []),
        rule(inSet(ownAddresses(4), ['meta iifname', 'ip saddr']), goBack),
        rule(inSet(ownAddresses(6), ['meta iifname', 'ip6 saddr']), goBack),
        dhcp,
        ...otherSources(linkLayer, anyMac),
        ...isAnothers(4, 'ip saddr', goTo('way-back')),
        ...isAnothers(6, 'ip6 saddr', goTo('way-back')),
        rule({ is: 'verdict-map', fields: ['meta iifname'], map: spoofMap }),
        ...reversePath,
      ],
    },
    { name: 'way-back', rules: reversePath },
    ...(linkLayer ? [claims] : []),
  ];
}

/** A neighbour advertisement claims an address. It must be one of the workload's own, link-local, or in one of its prefixes and nobody else's. */
const claims: NftChain = {
  name: 'claims',
  rules: [
    rule(...advertises, inSet(ownAddresses(6), ['meta iifname', 'nd target']), goBack),
    rule(...advertises, fieldInCidr('nd target', parseCidr('fe80::/10')!), goBack),
    ...isAnothers(6, 'nd target', drop, advertises),
    rule({ is: 'verdict-map', fields: ['meta iifname'], map: claimMap }),
    rule(drop),
  ],
};

/** The chains that translate addresses. They are written again when the first pool gets natOutgoing, and when the last loses it. */
export function natChains(options: RenderOptions, natOutgoing: boolean): NftChain[] {
  const { metadata } = options;
  const toMetadata = (): NftRule[] => {
    if (!metadata || familyOf(metadata.address) !== 4) return [];
    const asked = [inCidr(parseCidr('169.254.169.254')!, 'destination'), l4proto(TCP), portRange('destination', 80, 80)];
    return fromWorkload(options, ...asked, { is: 'nat', kind: 'dnat', family: 4, address: addressBytes(metadata.address), port: metadata.port });
  };
  const floating = ([4, 6] as const).map((family) =>
    rule({ is: 'nat-map', kind: 'dnat', family, fields: [family === 4 ? 'ip daddr' : 'ip6 daddr'], map: floatingToFixed(family) }),
  );
  const toItself = ([4, 6] as const).map((family) =>
    rule({ is: 'nat-map', kind: 'snat', family, fields: family === 4 ? ['ip saddr', 'ip daddr'] : ['ip6 saddr', 'ip6 daddr'], map: fixedToFloating(family) }),
  );
  const outgoing = natOutgoing ? outgoingNatRules(options, (...statements) => fromWorkload(options, ...statements)) : [];
  return [
    { name: 'nat-prerouting', hook: hook('nat', 'prerouting', DSTNAT), rules: [...floating, ...toMetadata()] },
    { name: 'nat-output', hook: hook('nat', 'output', DSTNAT), rules: floating },
    { name: 'nat-postrouting', hook: hook('nat', 'postrouting', SRCNAT), rules: [...toItself, ...outgoing] },
  ];
}

const related = 'related';
const relatedToWorkload = 'related-to-workload';

/** Sends the packet to the class of its interface. A packet of an interface without a class is denied. */
function dispatch(direction: Direction, options: RenderOptions): NftRule[] {
  return [
    rule(clearMark(options.acceptMark | options.passMark)),
    rule({ is: 'verdict-map', fields: [direction === 'egress' ? 'meta iifname' : 'meta oifname'], via: interfaceClasses(direction), map: classMap(direction) }),
    rule(deny(options)),
  ];
}

/** The chains that judge forwarded packets, from a workload and to one. They are written again when the first endpoint gets QoS limits of a kind, and when the last loses them. */
export const policed = (options: RenderOptions, qos: QosUse): readonly NftChain[] =>
  policedChains.map(
    ({ name, direction, about }): NftChain => ({
      name,
      rules: [
        ...packetRateRules(direction, qos),
        ...establishedRules(direction, options, goBack, about, invalid(options), deny(options)),
        rule(jump(direction)),
        ...connectionRules(direction, qos, options.acceptMark),
        rule(markHas(options.acceptMark), stamp(direction, options), goBack),
        rule(deny(options)),
      ],
    }),
  );

const policedChains = [
  { name: 'from-workload', direction: 'egress', about: related },
  { name: 'to-workload', direction: 'ingress', about: relatedToWorkload },
] as const;

function forwarding(options: RenderOptions): NftChain[] {
  return [
    {
      name: policingChains.inet,
      hook: hook('filter', 'forward', FILTER),
      rules: [
        ...toWorkload(options, inSet(knownInterfaces, ['meta oifname'], true), deny(options)),
        ...(options.ipv6 ? [] : toWorkload(options, nfproto(6), drop)),
        ...fromWorkload(options, jump('from-workload')),
        ...toWorkload(options, jump('to-workload')),
      ],
    },
    relatedChain(options),
    { name: relatedToWorkload, rules: relatedRules('ingress', options) },
    foretold('egress', options, (verdict) => toWorkload(options, verdict)),
    foretold('ingress', options, (verdict) => fromWorkload(options, verdict)),
    { name: 'egress', rules: [...neverFromWorkload(options), ...dispatch('egress', options)] },
    { name: 'ingress', rules: dispatch('ingress', options) },
    hostConnections(options, hook('filter', 'postrouting', FILTER), (...statements) => toWorkload(options, ...statements)),
  ];
}

/**
 * A packet about a connection (usually an ICMP error) may pass when the workload takes part in that connection. Otherwise a workload could break connections of others, and of the host,
 * with forged errors that its policy does not prevent.
 */
const relatedChain = (options: RenderOptions): NftChain => ({
  name: related,
  rules: [
    ...relatedRules('egress', options),
    ...sourcesOfConnection.map(([family, field]) => rule(inSet(ownAddresses(family), ['meta iifname', field]), goBack)),
    // A prefix gives a workload no part in a connection that somebody else on this host takes part in.
    ...sourcesOfConnection.flatMap(([family, field]) => isAnothers(family, field, drop)),
    rule({ is: 'verdict-map', fields: ['meta iifname'], map: connectionMap }),
    rule(drop),
  ],
});

/** The two ends of a connection: the one that began it, and the one that answers. */
const sourcesOfConnection = [
  [4, 'ct original ip saddr'],
  [4, 'ct reply ip saddr'],
  [6, 'ct original ip6 saddr'],
  [6, 'ct reply ip6 saddr'],
] as const;

/** Packets that no policy lets a workload send: tunnels, which would carry packets around policy, and the answers of DHCP servers and routers. */
function neverFromWorkload(options: RenderOptions): NftRule[] {
  return [
    ...(options.allowVxlanFromWorkloads ? [] : [rule(l4proto(UDP), portRange('destination', options.vxlanPort, options.vxlanPort), deny(options))]),
    ...(options.allowIpipFromWorkloads ? [] : [rule(l4proto(IPIP), deny(options))]),
    rule(l4proto(UDP), portRange('source', 67, 67), portRange('destination', 68, 68), deny(options)),
    rule(l4proto(UDP), portRange('source', 547, 547), portRange('destination', 546, 546), deny(options)),
    rule(l4proto(ICMPV6), equal('icmpv6 type', byte(ROUTER_ADVERTISEMENT)), deny(options)),
  ];
}

/** ICMPv6 types that the host always accepts: multicast listener queries, reports and dones, router and neighbour solicitations, neighbour advertisements, and version 2 reports. */
const neighbourly = [130, 131, 132, 133, 135, 136, 143];

/** The chains that judge packets from workloads to the host. They are written again when the first policy gets a rule that logs packets, and when the last loses it. */
export function toHost(options: RenderOptions, log: boolean): NftChain[] {
  const { metadata } = options;
  /** Exceptions that OpenStack guests need: metadata, DHCP and DNS, as in upstream's Felix. */
  const openstack = [
    ...(metadata
      ? [rule(inCidr(parseCidr(metadata.address)!, 'destination'), l4proto(TCP), equal('th dport', port(metadata.port)), stamp('egress', options), accept)]
      : []),
    // The server sends its answer to the relay that is named in giaddr. That packet would be the host's own, and would reach a workload without regard to its policy.
    rule(nfproto(4), l4proto(UDP), portRange('destination', 67, 67), equal('dhcp giaddr', Uint8Array.of(0, 0, 0, 0), true), drop),
    rule(nfproto(4), l4proto(UDP), portRange('source', 68, 68), portRange('destination', 67, 67), accept),
    ...(options.antiSpoofLinkLayer ? [dhcpv6FromItself] : []),
    rule(nfproto(6), l4proto(UDP), portRange('source', 546, 546), portRange('destination', 547, 547), accept),
    ...[UDP, TCP].map((protocol) => rule(l4proto(protocol!), portRange('destination', 53, 53), stamp('egress', options), accept)),
  ];
  /** These rules come before policy, like the others about what a host needs from its workloads, because an operator has configured the session for these workloads. */
  const bgp = ([4, 6] as const).map((family) =>
    rule(l4proto(TCP), inSet(bgpPeerings(family), ['meta iifname', addressField(family, 'destination'), 'th dport']), stamp('egress', options), accept),
  );
  const allowed = { DROP: drop, RETURN: goBack, ACCEPT: accept }[options.endpointToHostAction];
  // Where a packet is dropped whatever policy says, policy need not be asked: the kernel checks fewer ways when rules change.
  const judged =
    allowed === drop && deny(options) === drop && !log
      ? [rule(drop)]
      : [rule(jump('egress')), rule(markHas(options.acceptMark), ...(allowed === drop ? [] : [stamp('egress', options)]), allowed), rule(deny(options))];
  return [
    { name: 'filter-input', hook: hook('filter', 'input', FILTER), rules: fromWorkload(options, goTo('workload-to-host')) },
    {
      name: 'workload-to-host',
      rules: [
        ...loudness,
        ...neighbourly.map((type) => rule(l4proto(ICMPV6), equal('icmpv6 type', byte(type)), accept)),
        ...openstack,
        ...bgp,
        ...establishedRules('egress', options, accept, related, invalid(options), deny(options)),
        ...judged,
      ],
    },
  ];
}

const ARP_REPLY = Uint8Array.of(0, 2);

function arpChains(options: RenderOptions): NftChain[] {
  const ownClaims = [
    rule(equal('arp saddr ip', Uint8Array.of(0, 0, 0, 0)), goBack), // a probe claims nothing yet
    rule(inSet(ownAddresses(4), ['meta iifname', 'arp saddr ip']), goBack),
  ];
  const claim = options.antiSpoofLinkLayer
    ? [rule(inSet(anyMac, ['meta iifname'], true), inSet(ownMacs, ['meta iifname', 'arp saddr ether'], true), goTo('other-mac')), rule(goTo(addressCheck.arp))]
    : [...ownClaims, arpStrangers];
  return [
    { name: policingChains.arp, hook: hook('filter', 'input', FILTER), rules: fromWorkload(options, goTo('from-workload')) },
    { name: 'from-workload', rules: [rule(inSet(knownInterfaces, ['meta iifname'], true), drop), arpLoudness, ...claim] },
    { name: 'other-mac', rules: [rule({ is: 'verdict-map', fields: ['meta iifname', 'arp saddr ether'], map: pairMacMap }), rule(drop)] },
    {
      name: addressCheck.arp,
      rules: [
        ...ownClaims,
        ...isAnothers(4, 'arp saddr ip', drop),
        arpStrangers,
        rule({ is: 'verdict-map', fields: ['meta iifname'], map: spoofMap }),
        rule(drop),
      ],
    },
    {
      name: 'output',
      hook: hook('filter', 'output', FILTER),
      // Proxy ARP must not answer a guest that asks whether its own address is taken.
      rules: toWorkload(options, equal('arp operation', ARP_REPLY), inSet(ownAddresses(4), ['meta oifname', 'arp saddr ip']), drop),
    },
  ];
}
