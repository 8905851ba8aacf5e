import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareKeys, isReadable, keyBytes, keyText, shownKey } from './keys.ts';

const textOf = (bytes: Uint8Array): string => keyText(Buffer.from(bytes), 0, bytes.length);
/** Random bytes, many of them nearly UTF-8. */
const nearlyText = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 3 }).map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 3 }),
    ),
    { maxLength: 6 },
  )
  .map((parts) => Buffer.concat(parts));

describe('keys', () => {
  test('of any bytes have a text that converts back to them', () => {
    fc.assert(
      fc.property(nearlyText, (bytes) => {
        expect(keyBytes(textOf(bytes))).toEqual(bytes);
      }),
    );
  });
  test('that are UTF-8 keep their text, and are readable', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect([textOf(Buffer.from(text)), isReadable(text)]).toEqual([text, true]);
      }),
    );
  });
  test('are readable exactly when they are UTF-8', () => {
    fc.assert(
      fc.property(nearlyText, (bytes) => {
        expect(isReadable(textOf(bytes))).toBe(Buffer.from(bytes.toString()).equals(bytes));
      }),
    );
  });
  test('are ordered as their bytes are', () => {
    fc.assert(
      fc.property(nearlyText, nearlyText, (one, other) => {
        expect(compareKeys(textOf(one), textOf(other))).toBe(Buffer.compare(one, other));
      }),
    );
  });
  test('are shown shortened, with bytes that are not UTF-8 as numbers', () => {
    expect(shownKey(textOf(Buffer.from([0x2f, 0xff, 0x61, 0x80])))).toBe('/\\xffa\\x80');
    expect(shownKey('x'.repeat(1000))).toHaveLength(201);
  });
});
