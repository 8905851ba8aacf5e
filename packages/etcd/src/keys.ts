// Keys are bytes in etcd and text here. A byte that is not part of valid UTF-8 becomes a lone surrogate, U+DC80 to U+DCFF (as in Python's PEP 383).
// So every key has a text of its own that converts back to its bytes, and the text shows whether the key is UTF-8.
import { isUtf8 } from 'node:buffer';

/** Whether the key is UTF-8 in etcd. Every key of Calico, Neutron and this project is; others were written by somebody else. */
export const isReadable = (key: string): boolean => key.isWellFormed();

/** The text of the key in `bytes` from `start` to `end`. */
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

/** The length in bytes of the UTF-8 character that starts with this byte. */
function lengthBy(first: number): number {
  if (first < 0xc0) return 1;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/** The bytes of a key's text: the inverse of `keyText`. */
export function keyBytes(key: string): Buffer {
  if (isReadable(key)) return Buffer.from(key);
  const bytes = Buffer.allocUnsafe(key.length * 3);
  let length = 0;
  for (const character of key)
    length = isEscape(character) ? bytes.writeUInt8(character.charCodeAt(0) - escapeBase, length) : length + bytes.write(character, length);
  return bytes.subarray(0, length);
}
const isEscape = (character: string): boolean => character >= '\udc80' && character <= '\udcff';

/** A key as it is shown in messages: shortened, and with `\xff` for bytes that are not UTF-8. */
export function shownKey(key: string): string {
  const text = key.slice(0, shownMax).replaceAll(/[\udc80-\udcff]/gu, (byte) => `\\x${(byte.charCodeAt(0) - escapeBase).toString(16)}`);
  return key.length > shownMax ? `${text}…` : text;
}
const shownMax = 200;

/** Compares keys byte by byte, which is etcd's order. For `sort`. */
export const compareKeys = (one: string, other: string): number => Buffer.compare(keyBytes(one), keyBytes(other));
