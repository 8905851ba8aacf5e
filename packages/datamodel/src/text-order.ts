// Order of names, as every reader of the datastore sees it: byte by byte.

/** UTF-8's order. JavaScript's own differs where a character takes two units. */
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

/** Stands for a character beyond all those that take one unit. */
const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;
