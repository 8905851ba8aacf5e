// Addresses and prefixes as canonical text: two spellings of one prefix are one string, so that they can be keys.
import type { Cidr, IpAddress, IpFamily } from './desired.ts';

const decimalOctet = /^(?:0|[1-9][0-9]{0,2})$/;

/** The four bytes of an IPv4 address in dotted decimal as one number of 32 bits; undefined for anything else (leading zeros included: they read as octal elsewhere). */
function ipv4Number(text: string): number | undefined {
  if (text.length > 15) return undefined;
  let number = 0;
  let [octet, digits, dots] = [0, 0, 0];
  for (let index = 0; index <= text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code >= 0x30 && code <= 0x39) {
      if (digits > 0 && octet === 0) return undefined;
      octet = octet * 10 + code - 0x30;
      digits += 1;
    } else if (code === 0x2e || index === text.length) {
      if (digits === 0 || octet > 255) return undefined;
      number = number * 256 + octet;
      if (index < text.length) dots += 1;
      [octet, digits] = [0, 0];
    } else return undefined;
  }
  return dots === 3 ? number : undefined;
}

const ipv4Text = (number: number): string => `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;

const colon = 0x3a;

/** The value of a hexadecimal digit's character code; -1 for any other. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/**
 * The eight groups of an IPv6 address without zone, its last two perhaps in dotted decimal; undefined for anything else.
 * IPv4-mapped ones are refused: one address must not have two families. Every endpoint's addresses come through here, hence no regular expressions.
 */
function ipv6Groups(text: string): number[] | undefined {
  const groups: number[] = [];
  let gap = -1;
  let at = 0;
  if (text.charCodeAt(0) === colon) {
    if (text.charCodeAt(1) !== colon) return undefined;
    [gap, at] = [0, 2];
  }
  while (at < text.length) {
    if (groups.length === 8) return undefined;
    const start = at;
    let group = 0;
    for (let digit = hexDigit(text.charCodeAt(at)); digit >= 0; digit = hexDigit(text.charCodeAt(at))) {
      group = group * 16 + digit;
      at += 1;
      if (at - start > 4) return undefined;
    }
    if (at === start) return undefined;
    if (text[at] === '.') {
      const number = ipv4Number(text.slice(start));
      if (number === undefined || groups.length > 6) return undefined;
      groups.push(number >>> 16, number & 0xffff);
      break;
    }
    groups.push(group);
    if (at === text.length) break;
    if (text.charCodeAt(at) !== colon) return undefined;
    at += 1;
    if (text.charCodeAt(at) === colon) {
      if (gap >= 0) return undefined;
      gap = groups.length;
      at += 1;
    } else if (at === text.length) return undefined;
  }
  if (gap < 0 ? groups.length !== 8 : groups.length > 7) return undefined;
  if (gap >= 0) groups.splice(gap, 0, ...zeros.slice(0, 8 - groups.length));
  const mapped = groups[5] === 0xffff && groups[0] === 0 && groups[1] === 0 && groups[2] === 0 && groups[3] === 0 && groups[4] === 0;
  return mapped ? undefined : groups;
}
const zeros: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0];

/** RFC 5952: lower case, no leading zeros, the first of the longest runs of zero groups shortened, if it is longer than one. */
function ipv6Text(groups: readonly number[]): string {
  let [longest, length] = [-1, 1];
  for (let start = 0; start < 8; start += 1) {
    let end = start;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - start > length) [longest, length] = [start, end - start];
    if (end > start) start = end;
  }
  let text = '';
  for (let index = 0; index < 8; index += 1) {
    if (index === longest) {
      text += '::';
      index += length - 1;
    } else text += `${text === '' || text.endsWith(':') ? '' : ':'}${groups[index]!.toString(16)}`;
  }
  return text;
}

/** Returns the string that was read when it is canonical already, so that the same text is not held twice. */
const canonicalText = (given: string, canonical: string): string => (given === canonical ? given : canonical);

/** Canonical text (RFC 5952 for IPv6) of an address without prefix length; undefined when `text` is not one. */
export function parseAddress(text: string): IpAddress | undefined {
  if (ipv4Number(text) !== undefined) return text as IpAddress; // dotted decimal without leading zeros is canonical
  const groups = ipv6Groups(text);
  return groups && (canonicalText(text, ipv6Text(groups)) as IpAddress);
}

/**
 * Canonical text of a prefix, its host bits cleared; a bare address becomes /32 or /128. undefined when `text` is neither.
 * Calico's readers mask `10.0.0.5/24` in the same way.
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
    const masked = length === 0 ? 0 : (number & (-1 << (32 - length))) >>> 0;
    return canonicalText(text, `${ipv4Text(masked)}/${length}`) as Cidr;
  }
  const groups = ipv6Groups(address);
  if (!groups) return undefined;
  const length = lengthText === undefined ? 128 : Number(lengthText);
  if (length > 128) return undefined;
  if (length < 128) maskGroups(groups, length);
  return canonicalText(text, `${ipv6Text(groups)}/${length}`) as Cidr;
}

function maskGroups(groups: number[], length: number): void {
  for (let index = length >> 4; index < 8; index += 1) {
    const bits = Math.max(0, length - index * 16);
    groups[index] = groups[index]! & (0xffff0000 >> bits) & 0xffff;
  }
}

/** The family of a canonical address or prefix. */
export const familyOf = (address: Cidr | IpAddress): IpFamily => (address.includes(':') ? 6 : 4);

/** The length of the family's addresses in bits. */
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
  if (familyOf(address) === 6) return Uint8Array.from(ipv6Groups(address)!.flatMap((group) => [group >> 8, group & 255]));
  const number = ipv4Number(address)!;
  return Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number);
}

/** The canonical text of 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join('.') as IpAddress;
  return ipv6Text(zeros.map((_, index) => bytes[index * 2]! * 256 + bytes[index * 2 + 1]!)) as IpAddress;
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
