// etcd's keys are bytes, ours text. A byte that belongs to no UTF-8 becomes a lone surrogate, U+DC80 to U+DCFF (as in Python's PEP 383): so every key has a text of its own,
// which leads back to its bytes, and whether a key is text shows in it.
import { isUtf8 } from 'node:buffer';

/** Whether the key is text in etcd, too. What is not has been written by nobody whom we know: no name of ours, Calico's or Neutron's is like that. */
export const isReadable = (key: string): boolean => key.isWellFormed();

/** The key that stands from `start` to `end`. */
export function keyText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  if (!text.includes(replacement) || isUtf8(bytes.subarray(start, end))) return text;
  const parts: string[] = [];
  for (let at = start; at < end; ) {
    const length = lengthBy(bytes[at]!);
    if (at + length <= end && isUtf8(bytes.subarray(at, at + length))) {
      parts.push(bytes.toString('utf8', at, at + length));
      at += length;
    } else {
      parts.push(String.fromCharCode(escapeBase + bytes[at]!));
      at += 1;
    }
  }
  return parts.join('');
}
const replacement = '\ufffd';
const escapeBase = 0xdc00;

/** How many bytes a character has that begins with this one. */
function lengthBy(first: number): number {
  if (first < 0xc0) return 1;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/** The reverse of `keyText`. */
export function keyBytes(key: string): Buffer {
  if (isReadable(key)) return Buffer.from(key);
  const bytes = Buffer.allocUnsafe(key.length * 3);
  let length = 0;
  for (const character of key)
    length = isEscape(character) ? bytes.writeUInt8(character.charCodeAt(0) - escapeBase, length) : length + bytes.write(character, length);
  return bytes.subarray(0, length);
}
const isEscape = (character: string): boolean => character >= '\udc80' && character <= '\udcff';

/** A key as it may stand in a message: cut, and with `\xff` for what is no text. */
export function shownKey(key: string): string {
  const text = key.slice(0, shownMax).replaceAll(/[\udc80-\udcff]/gu, (byte) => `\\x${(byte.charCodeAt(0) - escapeBase).toString(16)}`);
  return key.length > shownMax ? `${text}…` : text;
}
const shownMax = 200;

/** Byte by byte, as etcd sorts. */
export const compareKeys = (one: string, other: string): number => Buffer.compare(keyBytes(one), keyBytes(other));
