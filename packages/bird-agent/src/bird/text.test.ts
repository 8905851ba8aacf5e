import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { quoted, quotedPassword, symbol } from './text.ts';

/** Whether a text is one string of BIRD's language: it neither ends early nor contains another line. */
const isOneString = (text: string): boolean => /^"[^"\p{Cc}]*"$/u.test(text);

test.each([
  ['compute-1.example.com', "'mesh4-compute-1.example.com'"],
  ['Compute1', "'mesh4-Compute1'"],
])('the name %s stands as it is', (name, expected) => expect(symbol('mesh4', name)).toBe(expected));

test.each(['', 'a_b', "a'b", 'a b', 'a;b', 'a\nb', 'ä', 'x'.repeat(200), 'a:b'])('the name %j is marked by a digest', (name) =>
  expect(symbol('mesh4', name)).toMatch(/^'mesh4-[A-Za-z0-9.-]*_[0-9a-v]{10}'$/),
);

describe('any names', () => {
  const name = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('a', 'B', '-', '_', '.', ':', "'", ' ') }), fc.string({ minLength: 50, maxLength: 80 }));
  test('make a symbol that BIRD takes', () => {
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 2 }), (names) => {
        expect(symbol('import6', ...names)).toMatch(/^'[A-Za-z0-9_:.-]{1,64}'$/);
      }),
    );
  });
  test('make different symbols when they differ', () => {
    const names = fc.array(name, { minLength: 1, maxLength: 2 });
    fc.assert(
      fc.property(names, names, (a, b) => {
        expect(symbol('x', ...a) === symbol('x', ...b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
    expect(symbol('x', 'a', 'b')).not.toBe(symbol('x', 'a:b'));
    expect(symbol('x', 'a_b')).not.toBe(symbol('x', 'a-b'));
  });
  test('text is one string, or refused', () => {
    const anyCharacters = fc.array(fc.integer({ min: 0, max: 0x10ffff })).map((points) => String.fromCodePoint(...points));
    const nasty = fc.string({ unit: fc.constantFrom('"', '\n', '\r', '\\', ';', '#', '}', '{', '\0', 'a', 'é', ' ') });
    fc.assert(
      fc.property(fc.oneof(nasty, anyCharacters), (text) => {
        const result = quoted(text);
        if (result.ok) expect(isOneString(result.value) && result.value.slice(1, -1) === text).toBe(true);
        else expect(/["\p{Cc}]/u.test(text)).toBe(true);
      }),
    );
  });
});

test.each([
  ['s3cret; #{}', '"s3cret; #{}"'],
  ['ä'.repeat(40), `"${'ä'.repeat(40)}"`],
  ['', undefined],
  ['a'.repeat(81), undefined],
  ['ä'.repeat(41), undefined],
  ['a"b', undefined],
  ['a\nb', undefined],
  ['\ud800', undefined],
])('the password %j becomes %s', (password, expected) => {
  const result = quotedPassword(password);
  expect(result.ok ? result.value : undefined).toBe(expected);
});
