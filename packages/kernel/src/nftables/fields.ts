// The properties of each field: its type, the expression that loads it, and what a packet must be for the field to have a meaning.
import type { Expression } from './expressions.ts';
import type { DataType, Field } from './objects.ts';
import { widthOf } from './types.ts';

/** What must be true of a packet before the field is read. */
export type Dependency = { readonly network?: 4 | 6 | 'arp'; readonly transport?: number; readonly ether?: true };

/** The properties of a field. */
export type FieldFacts = {
  /** The field's type; undefined for a plain number, which no set can hold. */
  readonly type: DataType | undefined;
  readonly widthBytes: number;
  readonly load: (register: number) => Expression;
  readonly needs: Dependency;
  /** The field's name in nft text, where it differs from the name here. */
  readonly text?: string;
};

const linkLayer = 0;
const networkLayer = 1;
const transportLayer = 2;
const icmp: Dependency = { network: 4, transport: 1 };
const icmpv6: Dependency = { network: 6, transport: 58 };
const arp: Dependency = { network: 'arp' };

const fields: { readonly [Name in Field]: FieldFacts } = {
  'meta iifname': meta(6, 'ifname'),
  'meta oifname': meta(7, 'ifname'),
  'meta iif': meta(4, 'iface_index'),
  'meta iiftype': meta(8, 'iface_type'),
  'meta l4proto': meta(16, 'inet_proto'),
  'meta nfproto': meta(15, 'nf_proto'),
  'meta protocol': meta(1, 'ether_type'),
  'meta mark': meta(3, 'mark'),
  'ct state': ct(0, 'ct_state'),
  'ct mark': ct(3, 'mark'),
  'ct status': ct(2, 'ct_status'),
  'ct direction': ct(1, 'ct_dir'),
  'ct original ip saddr': ct(19, 'ipv4_addr', 0),
  'ct original ip daddr': ct(20, 'ipv4_addr', 0),
  'ct original ip6 saddr': ct(21, 'ipv6_addr', 0),
  'ct original ip6 daddr': ct(22, 'ipv6_addr', 0),
  'ct reply ip saddr': ct(19, 'ipv4_addr', 1),
  'ct reply ip6 saddr': ct(21, 'ipv6_addr', 1),
  'ether saddr': payload(linkLayer, 6, 'ether_addr', { ether: true }),
  'ether daddr': payload(linkLayer, 0, 'ether_addr', { ether: true }),
  'ether type': payload(linkLayer, 12, 'ether_type', { ether: true }),
  'ip saddr': payload(networkLayer, 12, 'ipv4_addr', { network: 4 }),
  'ip daddr': payload(networkLayer, 16, 'ipv4_addr', { network: 4 }),
  'ip protocol': payload(networkLayer, 9, 'inet_proto', { network: 4 }),
  'ip6 saddr': payload(networkLayer, 8, 'ipv6_addr', { network: 6 }),
  'ip6 daddr': payload(networkLayer, 24, 'ipv6_addr', { network: 6 }),
  'ip6 hoplimit': { ...payload(networkLayer, 7, 'inet_proto', { network: 6 }), type: undefined },
  'th sport': payload(transportLayer, 0, 'inet_service', {}),
  'th dport': payload(transportLayer, 2, 'inet_service', {}),
  'icmp type': payload(transportLayer, 0, 'icmp_type', icmp),
  'icmp code': payload(transportLayer, 1, 'icmp_code', icmp),
  'icmpv6 type': payload(transportLayer, 0, 'icmpv6_type', icmpv6),
  'icmpv6 code': payload(transportLayer, 1, 'icmpv6_code', icmpv6),
  // nft 1.0.6 has no name for this field.
  'nd target': { ...payload(transportLayer, 8, 'ipv6_addr', icmpv6), text: '@th,64,128' },
  'dhcp giaddr': { ...payload(transportLayer, 32, 'ipv4_addr', {}), text: '@th,256,32' },
  'dhcp chaddr': { ...payload(transportLayer, 36, 'ether_addr', {}), text: '@th,288,48' },
  'dhcp first option': transportBytes(248, 3),
  'dhcp first option head': transportBytes(248, 2),
  'dhcp second option': transportBytes(254, 3),
  'dhcp6 type': { ...payload(transportLayer, 8, 'inet_proto', {}), text: '@th,64,8' },
  'arp operation': payload(networkLayer, 6, 'arp_op', arp),
  'arp saddr ether': payload(networkLayer, 8, 'ether_addr', arp),
  'arp saddr ip': payload(networkLayer, 14, 'ipv4_addr', arp),
  'arp daddr ether': payload(networkLayer, 18, 'ether_addr', arp),
  'arp daddr ip': payload(networkLayer, 24, 'ipv4_addr', arp),
  'fib saddr . iif oif': fib(1, 0b01001, 'iface_index'),
  'fib saddr . mark . iif oif': fib(1, 0b01101, 'iface_index'),
  'fib daddr type': fib(3, 0b00010, 'fib_addrtype'),
};

/** The properties of a field. */
export const fieldFacts = (field: Field): FieldFacts => fields[field];
/** All fields. */
export const fieldNames = Object.keys(fields) as readonly Field[];

/** The transport protocols whose header begins with two ports: TCP, UDP, DCCP, SCTP, UDPlite. */
export const protocolsWithPorts: readonly number[] = [6, 17, 33, 132, 136];

function meta(key: number, type: DataType): FieldFacts {
  return { type, widthBytes: widthOf(type), needs: {}, load: (dreg) => ({ name: 'meta', values: { dreg, key } }) };
}

function ct(key: number, type: DataType, direction?: number): FieldFacts {
  const given = direction === undefined ? {} : { direction };
  return { type, widthBytes: widthOf(type), needs: {}, load: (dreg) => ({ name: 'ct', values: { dreg, key, ...given } }) };
}

function payload(base: number, offset: number, type: DataType, needs: Dependency): FieldFacts {
  const length = widthOf(type);
  return { type, widthBytes: length, needs, load: (dreg) => ({ name: 'payload', values: { dreg, base, offset, length } }) };
}

/** Bytes of the transport header or of what follows it, for which nft has no type. */
function transportBytes(offset: number, widthBytes: number): FieldFacts {
  const load: FieldFacts['load'] = (dreg) => ({ name: 'payload', values: { dreg, base: transportLayer, offset, length: widthBytes } });
  return { type: undefined, widthBytes, needs: {}, load, text: `@th,${offset * 8},${widthBytes * 8}` };
}

function fib(result: number, flags: number, type: DataType): FieldFacts {
  return { type, widthBytes: widthOf(type), needs: {}, load: (dreg) => ({ name: 'fib', values: { dreg, result, flags } }) };
}
