// Short constructors for the statements of rules, and for the bytes in them.
import {
  addressBits,
  addressBytes,
  addressOf,
  type Cidr,
  cidrRange,
  familyOf,
  type IpAddress,
  type IpFamily,
  isHostCidr,
  prefixLength,
} from '@calico-openstack/addresses';
import type { Field, NftElement, NftRule, Statement, Verdict } from '@calico-openstack/kernel/nftables/objects';

const ascii = new TextEncoder();

/** An interface's name as a key: 16 bytes, padded with zeros. */
export function ifnameBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(ascii.encode(name));
  return bytes;
}

/** 32 bits in host byte order: marks, class numbers, connection states. */
export const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
/** 16 bits in network byte order: ports. */
export const port = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
/** One byte: protocols, ICMP types and codes. */
export const byte = (value: number): Uint8Array => Uint8Array.of(value);

/** The key of a set with several fields. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** A rule of these statements. */
export const rule = (...statements: readonly Statement[]): NftRule => ({ statements });
/** A rule with a comment, which `nft list` shows. */
export const commented = (comment: string, ...statements: readonly Statement[]): NftRule => ({ statements, comment });

/** Matches when the field has the value (or, negated, another one). */
export const equal = (field: Field, value: Uint8Array, negate = false): Statement => ({ is: 'match', field, value, ...(negate && { negate }) });
/** Matches when the set holds the fields' values (or, negated, does not). */
export const inSet = (set: string, fields: readonly Field[], negate = false): Statement => ({ is: 'in-set', set, fields, ...(negate && { negate }) });

/** Matches when the interface's name begins with `prefix`. */
export function nameBegins(field: 'meta iifname' | 'meta oifname', prefix: string): Statement {
  const mask = new Uint8Array(16).fill(255, 0, prefix.length);
  return { is: 'masked', field, mask, value: ifnameBytes(prefix) };
}

/** Matches the IP protocol number (or, negated, any other). */
export const l4proto = (protocol: number, negate = false): Statement => equal('meta l4proto', byte(protocol), negate);
/** Matches the packet's address family. */
export const nfproto = (family: IpFamily): Statement => equal('meta nfproto', byte(family === 4 ? 2 : 10));

/** The field with the packet's source or destination address. */
export const addressField = (family: IpFamily, side: 'source' | 'destination'): Field =>
  family === 4 ? (side === 'source' ? 'ip saddr' : 'ip daddr') : side === 'source' ? 'ip6 saddr' : 'ip6 daddr';

/** Matches when the packet's address lies in the prefix (or, negated, does not). */
export const inCidr = (cidr: Cidr, side: 'source' | 'destination', negate = false): Statement => fieldInCidr(addressField(familyOf(cidr), side), cidr, negate);

/** Matches when the address in the field lies in the prefix (or, negated, does not). */
export function fieldInCidr(field: Field, cidr: Cidr, negate = false): Statement {
  const family = familyOf(cidr);
  if (isHostCidr(cidr)) return equal(field, addressBytes(addressOf(cidr)), negate);
  const length = prefixLength(cidr);
  const mask = Uint8Array.from({ length: addressBits(family) / 8 }, (_, index) => (0xff00 >> Math.min(8, Math.max(0, length - index * 8))) & 0xff);
  return { is: 'masked', field, mask, value: addressBytes(addressOf(cidr)), ...(negate && { negate }) };
}

/** Matches when the port lies between two ports, both included (or, negated, does not). */
export function portRange(side: 'source' | 'destination', first: number, last: number, negate = false): Statement {
  const field: Field = side === 'source' ? 'th sport' : 'th dport';
  return first === last ? equal(field, port(first), negate) : { is: 'range', field, first: port(first), last: port(last), ...(negate && { negate }) };
}

const stateBits = { invalid: 1, established: 2, related: 4 } as const;

/** Matches when conntrack has the packet's connection in one of these states. */
export function connectionIs(...states: readonly (keyof typeof stateBits)[]): Statement {
  const mask = u32(states.reduce((bits, state) => bits | stateBits[state], 0));
  return { is: 'masked', field: 'ct state', mask, value: u32(0), negate: true };
}

/** Matches when all of these bits of the packet mark are set. */
export const markHas = (bits: number): Statement => ({ is: 'masked', field: 'meta mark', mask: u32(bits), value: u32(bits) });
/** Matches when at least one of these bits of the packet mark is set. */
export const markHasAny = (bits: number): Statement => ({ is: 'masked', field: 'meta mark', mask: u32(bits), value: u32(0), negate: true });
/** Sets these bits of the packet mark, and leaves the others alone. */
export const setMark = (bits: number): Statement => ({ is: 'set-mark', of: 'packet', and: ~bits >>> 0, xor: bits });
/** Clears these bits of the packet mark, and leaves the others alone. */
export const clearMark = (bits: number): Statement => ({ is: 'set-mark', of: 'packet', and: ~bits >>> 0, xor: 0 });

/** Matches when all of these bits of the connection mark are set (or, negated, not all are). */
export const connectionHas = (bits: number, negate = false): Statement => ({
  is: 'masked',
  field: 'ct mark',
  mask: u32(bits),
  value: u32(bits),
  ...(negate && { negate }),
});
/** Sets these bits of the connection mark, and leaves the others alone. */
export const stampConnection = (bits: number): Statement => ({ is: 'set-mark', of: 'connection', and: ~bits >>> 0, xor: bits });

const verdict = (value: Verdict): Statement => ({ is: 'verdict', ...value });
/** Ends all judging of the packet at this hook: it passes. */
export const accept = verdict({ verdict: 'accept' });
/** Drops the packet. */
export const drop = verdict({ verdict: 'drop' });
/** Returns to the calling chain. */
export const goBack = verdict({ verdict: 'return' });
/** Calls a chain, which may return here. */
export const jump = (chain: string): Statement => verdict({ verdict: 'jump', chain });
/** Continues in a chain, which returns to the caller of this one. */
export const goTo = (chain: string): Statement => verdict({ verdict: 'goto', chain });

/** An address as an element of a set of addresses. */
export const addressElement = (address: IpAddress): NftElement => ({ key: addressBytes(address) });

const [ICMPV6, NEIGHBOUR_ADVERTISEMENT] = [58, 136];
/** Match neighbour advertisements. */
export const advertises: readonly Statement[] = [l4proto(ICMPV6), equal('icmpv6 type', byte(NEIGHBOUR_ADVERTISEMENT))];

/** A prefix as an element of an interval set. */
export function rangeElement(cidr: Cidr): NftElement {
  const { first, last } = cidrRange(cidr);
  return { key: first, keyEnd: last };
}
