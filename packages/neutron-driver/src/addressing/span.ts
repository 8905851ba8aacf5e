// Addresses, prefixes and pools as spans on a line where every address has its place. Two spans are compared by comparing texts.
import { addressBytes, type Cidr, cidrRange, type IpAddress } from '@calico-openstack/addresses';

/** A range of places, both ends included. */
export type Span = { readonly first: string; readonly last: string };

/** The place of an address: texts of equal length within a family, with the family's digit in front, which keeps the families apart. */
const placeOfBytes = (bytes: Uint8Array): string => `${bytes.length === 4 ? 4 : 6}${Buffer.from(bytes).toString('hex')}`;

/** The place of an address. */
export const placeOf = (address: IpAddress): string => placeOfBytes(addressBytes(address));

/** The span of a prefix. */
export function spanOf(cidr: Cidr): Span {
  const { first, last } = cidrRange(cidr);
  return { first: placeOfBytes(first), last: placeOfBytes(last) };
}

/** The span from one address to another, both included. */
export const rangeSpan = (first: IpAddress, last: IpAddress): Span => ({ first: placeOf(first), last: placeOf(last) });

/** Whether two spans overlap. */
export const meets = (a: Span, b: Span): boolean => a.first <= b.last && b.first <= a.last;

/** Whether `outer` contains all of `inner`. */
export const covers = (outer: Span, inner: Span): boolean => outer.first <= inner.first && inner.last <= outer.last;
