// IPv4 and IPv6 addresses and prefixes, as canonical text and as bytes. Two spellings of one prefix become one string, so that text can be a key.

/** The address family by its IP version. */
export type IpFamily = 4 | 6;
/** A prefix in canonical text, its host bits cleared: `10.65.0.0/24`, `2001:db8::4/128`. `parseCidr` makes one. */
export type Cidr = string & { readonly _: 'Cidr' };
/** An address in canonical text (RFC 5952 for IPv6), without a prefix length. `parseAddress` makes one. */
export type IpAddress = string & { readonly _: 'IpAddress' };

/** A prefix length: decimal digits without leading zeros. */
const decimalLength = /^(?:0|[1-9][0-9]{0,2})$/;

/** The value of an IPv4 address in dotted decimal as a number of 32 bits. undefined for any other text, and for leading zeros, which other programs read as octal. */
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
 * The eight groups of an IPv6 address without a zone; the last two may be written in dotted decimal. undefined for any other text.
 * Every address of every endpoint is read here, so it uses no regular expressions.
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
  return groups;
}
const zeros: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0];

/** Whether the groups hold an IPv4 address (::ffff:0:0/96). The readers of foreign text refuse those, because one address must not have two families. */
const isMapped = (groups: readonly number[]): boolean =>
  groups[5] === 0xffff && groups[0] === 0 && groups[1] === 0 && groups[2] === 0 && groups[3] === 0 && groups[4] === 0;

/** The text of eight groups as RFC 5952 wants it: lower case, no leading zeros, and `::` for the first of the longest runs of zero groups, if it is longer than one. */
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

/** `given` itself where the two are equal: most text is canonical already, and then memory holds one string instead of two. */
const canonicalText = (given: string, canonical: string): string => (given === canonical ? given : canonical);

/**
 * Reads an address.
 * @returns its canonical text; undefined for a prefix, a zone (`fe80::1%eth0`), an IPv4-mapped IPv6 address, leading zeros in IPv4, and whatever is no address
 */
export function parseAddress(text: string): IpAddress | undefined {
  if (ipv4Number(text) !== undefined) return text as IpAddress; // dotted decimal without leading zeros is canonical
  const groups = ipv6Groups(text);
  return groups && !isMapped(groups) ? (canonicalText(text, ipv6Text(groups)) as IpAddress) : undefined;
}

/**
 * Reads a prefix, or an address as the prefix that holds it alone (/32 or /128).
 * @returns its canonical text, with host bits cleared as Calico's own readers do (`10.0.0.5/24` is `10.0.0.0/24`); undefined for what `parseAddress` refuses and for a length beyond the family's
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const lengthText = slash < 0 ? undefined : text.slice(slash + 1);
  if (lengthText !== undefined && !decimalLength.test(lengthText)) return undefined;
  const number = ipv4Number(address);
  if (number !== undefined) {
    const length = lengthText === undefined ? 32 : Number(lengthText);
    if (length > 32) return undefined;
    const masked = length === 0 ? 0 : (number & (-1 << (32 - length))) >>> 0;
    return canonicalText(text, `${ipv4Text(masked)}/${length}`) as Cidr;
  }
  const groups = ipv6Groups(address);
  if (!groups || isMapped(groups)) return undefined;
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

/** The family of an address or prefix in canonical text. */
export const familyOf = (text: string): IpFamily => (text.includes(':') ? 6 : 4);

/** How many bits an address of the family has. */
export const addressBits = (family: IpFamily): 32 | 128 => (family === 4 ? 32 : 128);

/** The prefix length of a canonical prefix. */
export const prefixLength = (cidr: Cidr): number => Number(cidr.slice(cidr.lastIndexOf('/') + 1));

/** The address part of a canonical prefix: its first address. */
export const addressOf = (cidr: Cidr): IpAddress => cidr.slice(0, cidr.lastIndexOf('/')) as IpAddress;

/** The prefix that holds this one address. */
export const hostCidr = (address: IpAddress): Cidr => `${address}/${addressBits(familyOf(address))}` as Cidr;

/** Whether the prefix holds exactly one address. */
export const isHostCidr = (cidr: Cidr): boolean => cidr.endsWith(cidr.includes(':') ? '/128' : '/32');

/**
 * The bytes of an address in network order: 4 or 16. Unlike `parseAddress` it takes IPv4-mapped addresses, because the kernel reports them.
 * @throws RangeError when `text` is no address: text from outside goes through `parseAddress` first
 */
export function addressBytes(text: string): Uint8Array {
  const number = ipv4Number(text);
  if (number !== undefined) return Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number);
  const groups = ipv6Groups(text);
  if (!groups) throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  const bytes = new Uint8Array(16);
  for (let index = 0; index < 8; index += 1) {
    bytes[index * 2] = groups[index]! >> 8;
    bytes[index * 2 + 1] = groups[index]!;
  }
  return bytes;
}

/**
 * The canonical text of an address in network order.
 * @throws RangeError when there are not 4 or 16 bytes
 */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as IpAddress;
  if (bytes.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  const groups = zeros.slice();
  for (let index = 0; index < 8; index += 1) groups[index] = bytes[index * 2]! * 256 + bytes[index * 2 + 1]!;
  return ipv6Text(groups) as IpAddress;
}

/**
 * The canonical text of a prefix: the address's bits behind `length` are cleared.
 * @throws RangeError when there are not 4 or 16 bytes
 */
export function cidrFromBytes(bytes: Uint8Array, length: number): Cidr {
  const masked = bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, length - index * 8))));
  return `${addressFromBytes(masked)}/${length}` as Cidr;
}

/**
 * The parts of a prefix in canonical text. Like `addressBytes` it takes IPv4-mapped ones.
 * @throws RangeError for any other text: a missing length, host bits that are set, another spelling
 */
export function splitCidr(text: string): { readonly family: IpFamily; readonly bytes: Uint8Array; readonly length: number } {
  const slash = text.indexOf('/');
  const lengthText = text.slice(slash + 1);
  if (slash > 0 && decimalLength.test(lengthText)) {
    const bytes = addressBytes(text.slice(0, slash));
    const length = Number(lengthText);
    if (length <= bytes.length * 8 && cidrFromBytes(bytes, length) === text) return { family: bytes.length === 4 ? 4 : 6, bytes, length };
  }
  throw new RangeError(`${JSON.stringify(text)} is not a prefix in canonical text`);
}

/** The first and the last address of a prefix, as bytes in network order. */
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
