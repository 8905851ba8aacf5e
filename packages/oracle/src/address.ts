// Addresses and prefixes as big numbers. Plain and slow on purpose. The oracle does not use the addresses room, because a mistake there must not be repeated here.

/** An address; `bits` holds its value, the first octet highest. */
export type Address = { readonly family: 4 | 6; readonly bits: bigint };
/** A prefix; the bits behind `length` are zero. */
export type Prefix = Address & { readonly length: number };

const width = { 4: 32, 6: 128 } as const;

/** Reads dotted decimal without leading zeros, or IPv6 with at most one `::`. undefined for anything else, and for an IPv4-mapped address. */
export function readAddress(text: string): Address | undefined {
  if (!text.includes(':')) {
    const parts = text.split('.');
    if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && String(Number(part)) === part && Number(part) <= 255)) return undefined;
    return { family: 4, bits: parts.reduce((bits, part) => bits * 256n + BigInt(part), 0n) };
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const last = groups.at(-1)!;
  const dotted = last.at(-1);
  if (dotted?.includes('.')) {
    const v4 = readAddress(dotted);
    if (!v4) return undefined;
    last.splice(-1, 1, (v4.bits >> 16n).toString(16), (v4.bits & 0xffffn).toString(16));
  }
  const count = groups.flat().length;
  if (halves.length === 1 ? count !== 8 : count > 7) return undefined;
  if (!groups.flat().every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const all = [...groups[0]!, ...Array<string>(8 - count).fill('0'), ...(groups[1] ?? [])];
  const bits = all.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
  return bits >> 32n === 0xffffn ? undefined : { family: 6, bits }; // IPv4-mapped: its family is ambiguous
}

/** Reads `address/length`, or an address alone as the prefix of one address. Host bits are cleared. undefined for anything else. */
export function readPrefix(text: string): Prefix | undefined {
  const [addressText, lengthText, more] = text.split('/') as [string, string?, string?];
  const address = readAddress(addressText);
  if (!address || more !== undefined) return undefined;
  const all = width[address.family];
  if (lengthText !== undefined && !/^(0|[1-9]\d{0,2})$/.test(lengthText)) return undefined;
  const length = lengthText === undefined ? all : Number(lengthText);
  if (length > all) return undefined;
  const shift = BigInt(all - length);
  return { family: address.family, bits: (address.bits >> shift) << shift, length };
}

/** Whether the address lies in the prefix. */
export function within(prefix: Prefix, address: Address): boolean {
  if (prefix.family !== address.family) return false;
  const shift = BigInt(width[prefix.family] - prefix.length);
  return address.bits >> shift === prefix.bits >> shift;
}
