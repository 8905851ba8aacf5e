// Addresses and prefixes as canonical text: two spellings of one prefix are one string, so that they can be keys.
import ipaddr from 'ipaddr.js';
import type { Cidr, IpAddress, IpFamily } from './desired.ts';

const decimalOctet = /^(?:0|[1-9][0-9]{0,2})$/;

/** The four bytes of an IPv4 address in dotted decimal as one number of 32 bits; undefined for anything else (leading zeros included: they read as octal elsewhere). */
function ipv4Number(text: string): number | undefined {
  const octets = text.split('.');
  if (octets.length !== 4) return undefined;
  let number = 0;
  for (const octet of octets) {
    if (!decimalOctet.test(octet)) return undefined;
    const value = Number(octet);
    if (value > 255) return undefined;
    number = number * 256 + value;
  }
  return number;
}

const ipv4Text = (number: number): string => `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;

/** An IPv6 address without zone. IPv4-mapped ones are refused: one address must not have two families. */
function ipv6Bytes(text: string): number[] | undefined {
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? undefined : address.toByteArray();
}

const ipv6Text = (bytes: readonly number[]): string => new ipaddr.IPv6([...bytes]).toRFC5952String();

/** Canonical text (RFC 5952 for IPv6) of an address without prefix length; undefined when `text` is not one. */
export function parseAddress(text: string): IpAddress | undefined {
  const number = ipv4Number(text);
  if (number !== undefined) return text as IpAddress; // dotted decimal without leading zeros is canonical
  const bytes = ipv6Bytes(text);
  return bytes && (ipv6Text(bytes) as IpAddress);
}

/**
 * Canonical text of a prefix, its host bits cleared; a bare address becomes /32 or /128. undefined when `text` is neither.
 * Masking is what Calico's readers do with `10.0.0.5/24` (peer/felix.md 1.5).
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const lengthText = slash < 0 ? undefined : text.slice(slash + 1);
  if (lengthText !== undefined && !decimalOctet.test(lengthText)) return undefined;
  const number = ipv4Number(address);
  if (number !== undefined) {
    const length = lengthText === undefined ? 32 : Number(lengthText);
    if (length > 32) return undefined;
    if (length === 32) return `${address}/32` as Cidr;
    const masked = length === 0 ? 0 : (number & (-1 << (32 - length))) >>> 0;
    return `${ipv4Text(masked)}/${length}` as Cidr;
  }
  const bytes = ipv6Bytes(address);
  if (!bytes) return undefined;
  const length = lengthText === undefined ? 128 : Number(lengthText);
  if (length > 128) return undefined;
  return `${ipv6Text(maskBytes(bytes, length))}/${length}` as Cidr;
}

function maskBytes(bytes: readonly number[], length: number): number[] {
  return bytes.map((byte, index) => {
    const bits = Math.min(8, Math.max(0, length - index * 8));
    return byte & (0xff00 >> bits) & 0xff;
  });
}

export const familyOf = (address: Cidr | IpAddress): IpFamily => (address.includes(':') ? 6 : 4);

export const addressBits = (family: IpFamily): 32 | 128 => (family === 4 ? 32 : 128);

/** The prefix length of a canonical prefix. */
export const prefixLength = (cidr: Cidr): number => Number(cidr.slice(cidr.lastIndexOf('/') + 1));

/** The address part of a canonical prefix: its first address. */
export const addressOf = (cidr: Cidr): IpAddress => cidr.slice(0, cidr.lastIndexOf('/')) as IpAddress;

/** The prefix that holds this one address. */
export const hostCidr = (address: IpAddress): Cidr => `${address}/${addressBits(familyOf(address))}` as Cidr;

/** Whether the prefix holds exactly one address. */
export const isHostCidr = (cidr: Cidr): boolean => cidr.endsWith(cidr.includes(':') ? '/128' : '/32');

/** The bytes of a canonical address, in network order: 4 or 16. */
export function addressBytes(address: IpAddress): Uint8Array {
  if (familyOf(address) === 6) return Uint8Array.from(ipaddr.IPv6.parse(address).toByteArray());
  return Uint8Array.from(address.split('.'), Number);
}

/** The canonical text of 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  return (bytes.length === 4 ? bytes.join('.') : ipv6Text([...bytes])) as IpAddress;
}

/** First and last address of a prefix, in network order. */
export function cidrRange(cidr: Cidr): { readonly first: Uint8Array; readonly last: Uint8Array } {
  const first = addressBytes(addressOf(cidr));
  const length = prefixLength(cidr);
  const last = first.map((byte, index) => byte | (0xff >> Math.min(8, Math.max(0, length - index * 8))));
  return { first, last };
}

/** Whether `inner` (an address or a prefix) lies wholly in `outer`. */
export function cidrContains(outer: Cidr, inner: Cidr | IpAddress): boolean {
  if (familyOf(outer) !== familyOf(inner)) return false;
  const innerCidr = inner.includes('/') ? (inner as Cidr) : hostCidr(inner as IpAddress);
  const length = prefixLength(outer);
  return prefixLength(innerCidr) >= length && parseCidr(`${addressOf(innerCidr)}/${length}`) === outer;
}

const macPattern = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** A MAC in canonical text (lower case, colons); undefined when `text` is not six bytes in hexadecimal. */
export function parseMac(text: string): string | undefined {
  const canonical = text.toLowerCase().replaceAll('-', ':');
  return macPattern.test(canonical) ? canonical : undefined;
}

/** The six bytes of a canonical MAC. */
export const macBytes = (mac: string): Uint8Array => Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
