import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLineSplitter } from './lines.ts';

test('lines come out whole, however the bytes are cut', () => {
  const noNewline = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''));
  fc.assert(
    fc.property(fc.array(noNewline), fc.array(fc.nat(12)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
      const found: string[] = [];
      const split = createLineSplitter((line) => found.push(line));
      let start = 0;
      for (const size of cuts) {
        split(bytes.subarray(start, start + size));
        start += size;
      }
      split(bytes.subarray(start));
      expect(found).toEqual(lines);
    }),
  );
});

test('a line without end is refused before it fills the memory', () => {
  const split = createLineSplitter(() => {}, 100);
  split(Buffer.alloc(60, 'x'));
  expect(() => split(Buffer.alloc(60, 'x'))).toThrow(RangeError);
});
