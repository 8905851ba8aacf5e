// Addresses, prefixes and pools as spans of one line on which each address has its place: whether two meet is then a comparison of texts.
import { addressBytes, type Cidr, cidrRange, type IpAddress } from '@calico-openstack/addresses';

export type Span = { readonly first: string; readonly last: string };

/** Of one family, texts of one length; the family's digit in front keeps the families apart. */
const placeOfBytes = (bytes: Uint8Array): string => `${bytes.length === 4 ? 4 : 6}${Buffer.from(bytes).toString('hex')}`;

export const placeOf = (address: IpAddress): string => placeOfBytes(addressBytes(address));

export function spanOf(cidr: Cidr): Span {
  const { first, last } = cidrRange(cidr);
  return { first: placeOfBytes(first), last: placeOfBytes(last) };
}

/** From one address to another, both included. */
export const rangeSpan = (first: IpAddress, last: IpAddress): Span => ({ first: placeOf(first), last: placeOf(last) });

export const meets = (a: Span, b: Span): boolean => a.first <= b.last && b.first <= a.last;

export const covers = (outer: Span, inner: Span): boolean => outer.first <= inner.first && inner.last <= outer.last;
