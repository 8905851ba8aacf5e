// IP and MAC addresses and prefixes between the kernel's bytes and canonical text: one address, one string, so that text can be a key.

export type IpFamily = 4 | 6;

/** AF_INET, AF_INET6 as the kernel numbers them. */
export const addressFamily: { readonly [family in IpFamily]: number } = { 4: 2, 6: 10 };

/** The family that the kernel's number means; undefined for any other (bridge, MPLS …). */
export const familyOfNumber = (number: number): IpFamily | undefined => (number === 2 ? 4 : number === 10 ? 6 : undefined);

export const addressBits = (family: IpFamily): 32 | 128 => (family === 4 ? 32 : 128);

/** Family of an address or prefix in text. */
export const familyOf = (text: string): IpFamily => (text.includes(':') ? 6 : 4);

/** 4 or 16 bytes in network order as text: dotted decimal, or RFC 5952 (lower case, the longest run of zero groups shortened, the first of equals). */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(((bytes[at] as number) << 8) | (bytes[at + 1] as number));
  const { start, length } = longestZeroRun(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  return length < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

function longestZeroRun(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
    start += length;
  }
  return best;
}

const decimal = /^(?:0|[1-9][0-9]{0,2})$/;
const hexGroup = /^[0-9a-fA-F]{1,4}$/;

/** The bytes of an address in network order; undefined for what is no address (zones, leading zeros in IPv4 and prefixes included). */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const octets = text.split('.');
  if (octets.length !== 4 || !octets.every((octet) => decimal.test(octet) && Number(octet) <= 255)) return undefined;
  return Uint8Array.from(octets, Number);
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [front, back] = halves.map((half, index) => groupsOf(half, index === halves.length - 1));
  if (front === undefined || (halves.length === 2 && back === undefined)) return undefined;
  const missing = 8 - front.length - (back?.length ?? 0);
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...front, ...Array<number>(missing).fill(0), ...(back ?? [])];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The 16-bit groups of one side of `::`; a dotted IPv4 address at the very end counts as two. */
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    const embedded = last && index === parts.length - 1 && part.includes('.') ? parseIpv4(part) : undefined;
    if (embedded) groups.push(((embedded[0] as number) << 8) | (embedded[1] as number), ((embedded[2] as number) << 8) | (embedded[3] as number));
    else if (hexGroup.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** Like `parseIp`, for text that was checked before: RangeError when it was not. */
export function ipBytes(text: string): Uint8Array {
  const bytes = parseIp(text);
  if (bytes === undefined) throw new RangeError(`${JSON.stringify(text)} is no IP address`);
  return bytes;
}

/** The two parts of a canonical prefix (`10.65.0.4/32`). RangeError for what is none: a missing length, host bits that are set, another spelling. */
export function splitPrefix(text: string): { readonly family: IpFamily; readonly bytes: Uint8Array; readonly length: number } {
  const slash = text.indexOf('/');
  const bytes = slash < 0 ? undefined : parseIp(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  const length = decimal.test(lengthText) ? Number(lengthText) : Number.NaN;
  if (bytes === undefined || !(length <= bytes.length * 8) || formatPrefix(bytes, length) !== text) {
    throw new RangeError(`${JSON.stringify(text)} is no prefix in canonical text`);
  }
  return { family: bytes.length === 4 ? 4 : 6, bytes, length };
}

/** The canonical text of a prefix: bytes behind its length cleared. */
export function formatPrefix(bytes: Uint8Array, length: number): string {
  const masked = bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, length - index * 8))));
  return `${formatIp(masked)}/${length}`;
}

const macPattern = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** A MAC in lower case with colons. */
export const formatMac = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

/** The six bytes of a canonical MAC. RangeError for anything else. */
export function macBytes(text: string): Uint8Array {
  if (!macPattern.test(text)) throw new RangeError(`${JSON.stringify(text)} is no MAC in lower case with colons`);
  return Uint8Array.from(text.split(':'), (octet) => Number.parseInt(octet, 16));
}
