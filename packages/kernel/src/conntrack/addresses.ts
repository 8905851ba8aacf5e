// Finds addresses in the kernel's messages about flows without decoding each of them: there may be 100 000.
import { hostIsLittleEndian } from '../netlink/attributes.ts';

/** A set of IPv4 and IPv6 addresses that is queried with bytes of a buffer. */
export type AddressSet = { has(bytes: Uint8Array, offset: number, length: number): boolean; readonly families: ReadonlySet<4 | 6> };

/** A set of these addresses, each of 4 or 16 bytes. */
export function addressSet(addresses: Iterable<Uint8Array>): AddressSet {
  /** The addresses by their last four bytes, in which addresses of one network differ. */
  const byEnd = new Map<number, Uint8Array[]>();
  const families = new Set<4 | 6>();
  for (const address of addresses) {
    families.add(address.length === 4 ? 4 : 6);
    const end = lastFour(address, 0, address.length);
    const others = byEnd.get(end);
    if (others) others.push(address);
    else byEnd.set(end, [address]);
  }
  return {
    families,
    has(bytes, offset, length) {
      const candidates = byEnd.get(lastFour(bytes, offset, length));
      if (candidates === undefined) return false;
      return candidates.some((address) => address.length === length && address.every((byte, index) => bytes[offset + index] === byte));
    },
  };
}

function lastFour(bytes: Uint8Array, offset: number, length: number): number {
  const end = offset + length;
  return ((bytes[end - 4] as number) << 24) | ((bytes[end - 3] as number) << 16) | ((bytes[end - 2] as number) << 8) | (bytes[end - 1] as number);
}

/** CTA_TUPLE_ORIG and CTA_TUPLE_REPLY; each contains CTA_TUPLE_IP with source and destination. */
const [original, reply, addressesOfTuple] = [1, 2, 1];

/** Whether one of a flow's four addresses is in the set. The flow's attributes are `bytes` from `offset` to `end`. */
export function hasAddress(bytes: Uint8Array, offset: number, end: number, set: AddressSet): boolean {
  for (let at = offset; at + 4 <= end; at = next(bytes, at)) {
    const type = typeAt(bytes, at);
    if (type !== original && type !== reply) continue;
    const tupleEnd = at + lengthAt(bytes, at);
    for (let inTuple = at + 4; inTuple + 4 <= tupleEnd; inTuple = next(bytes, inTuple)) {
      if (typeAt(bytes, inTuple) !== addressesOfTuple) continue;
      const addressesEnd = inTuple + lengthAt(bytes, inTuple);
      for (let address = inTuple + 4; address + 4 <= addressesEnd; address = next(bytes, address)) {
        if (set.has(bytes, address + 4, lengthAt(bytes, address) - 4)) return true;
      }
    }
    if (type === reply) return false;
  }
  return false;
}

const u16 = (bytes: Uint8Array, at: number): number => {
  const [first, second] = [bytes[at] as number, bytes[at + 1] as number];
  return hostIsLittleEndian ? first | (second << 8) : (first << 8) | second;
};
const lengthAt = (bytes: Uint8Array, at: number): number => u16(bytes, at);
/** An attribute's type without the flags "nested" and "network order". */
const typeAt = (bytes: Uint8Array, at: number): number => u16(bytes, at + 2) & 0x3fff;
/** The offset of the next attribute. At least 4 bytes are skipped, so that a wrong length cannot cause an endless loop. */
const next = (bytes: Uint8Array, at: number): number => at + Math.max(4, (lengthAt(bytes, at) + 3) & ~3);
