// The order of names: byte by byte in UTF-8, on which all readers of the datastore agree.

/** Compares texts in the order of their UTF-8, for `sort`. JavaScript's own order differs for characters that take two UTF-16 units. */
export function compareText(first: string, second: string): number {
  if (first === second) return 0;
  const length = Math.min(first.length, second.length);
  for (let index = 0; index < length; index += 1) {
    const [one, other] = [first.charCodeAt(index), second.charCodeAt(index)];
    if (one === other) continue;
    const surrogates = isSurrogate(one) !== isSurrogate(other);
    return one < other !== (surrogates && one >= 0xd800 && other >= 0xd800) ? -1 : 1;
  }
  return first.length - second.length;
}

/** Whether a UTF-16 unit is half of a character that sorts behind all characters of one unit. */
const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;
