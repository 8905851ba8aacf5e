import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sameContent } from './same-content.ts';

/** Small values, so that two of them are often equal. */
const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, undefined, true, false, 0, 1, '', '0'),
    fc.array(tie('value'), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'length', 'toString'), tie('value'), { maxKeys: 2, noNullPrototype: true }),
  ),
})).value;

test('two plain values have the same content exactly when Node holds them for deeply equal', () => {
  fc.assert(
    fc.property(plain, plain, (one, other) => {
      expect(sameContent(one, other)).toBe(isDeepStrictEqual(one, other));
      expect(sameContent(one, structuredClone(one))).toBe(true);
    }),
    { numRuns: 5_000 },
  );
});

test.each([
  [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
  [{ a: undefined }, {}, false],
  [[], {}, false],
  [[1, [2]], [1, [2]], true],
  [{ toString: 1 }, { a: 1 }, false],
  ['1', 1, false],
])('%j and %j: %j', (one, other, same) => expect(sameContent(one, other)).toBe(same));
