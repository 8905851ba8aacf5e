import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonical } from './canonical.ts';
import { matches } from './evaluate.ts';
import { and, type Expression, equals, has, isIn, not } from './expression.ts';
import { parseExpression } from './parse.ts';
import { covers } from './requirements.ts';

const canonicalText = (text: string): string => {
  const expression = parseExpression(text);
  if (!expression.ok) throw new Error(expression.reason);
  return canonical(expression.value).text;
};

test.each([
  ['', 'all()'],
  ['global()', 'all()'],
  ['!all()', '!all()'],
  ["a=='b'", 'a == "b"'],
  [`a == '"'`, `a == '"'`],
  ["a   in  {'c', \"b\",'c'}", 'a in {"b", "c"}'],
  ["a in {'b'}", 'a == "b"'],
  ["a not in {'b'}", 'a != "b"'],
  ["!a in {'b', 'a'}", 'a not in {"a", "b"}'],
  ['a in {}', '!all()'],
  ['a not in {}', 'all()'],
  ['!has(a)', '!has(a)'],
  ['!!has(a)', 'has(a)'],
  ["!a contains 'b'", '!a contains "b"'],
  ["b == '1' && a == '1'", '(a == "1" && b == "1")'],
  ["a == '1' && (c == '1' && b == '1') && a == '1'", '(a == "1" && b == "1" && c == "1")'],
  ["(a == '1' || b == '1') && has(c)", '((a == "1" || b == "1") && has(c))'],
  ["!(a == '1' || has(b))", '(!has(b) && a != "1")'],
  ['all() && has(a)', 'has(a)'],
  ['all() || has(a)', 'all()'],
  ['has(a) && !all()', '!all()'],
  ['has(a) || !global()', 'has(a)'],
  ['(has(a))', 'has(a)'],
])('%s is %s', (text, expected) => expect(canonicalText(text)).toBe(expected));

test('a value from outside the language never passes for other text', () => {
  const texts = [`' "`, `' && b == "`, `it's "x"`, `it's \\"x\\"`].map((value) => canonical(equals('a', value)).text);
  expect(new Set([...texts, canonical(and(equals('a', ' '), equals('b', ''))).text]).size).toBe(5);
});

const label = fc.constantFrom('a', 'b', 'c');
const value = fc.constantFrom('', 'x', 'xy', '"', "'");
const { expression: expressions } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.oneof(
      fc.constant<Expression>({ kind: 'all' }),
      label.map(has),
      fc.tuple(label, fc.array(value, { maxLength: 2 })).map(([name, values]) => isIn(name, values)),
      fc
        .tuple(fc.constantFrom('contains' as const, 'starts with' as const, 'ends with' as const), label, value)
        .map(([kind, name, text]): Expression => ({ kind, label: name, text })),
    ),
    tie('expression').map(not),
    fc
      .tuple(fc.constantFrom('and' as const, 'or' as const), fc.array(tie('expression'), { minLength: 1, maxLength: 3 }))
      .map(([kind, operands]): Expression => ({ kind, operands })),
  ),
}));
const labels = fc.dictionary(label, value).map((given) => new Map(Object.entries(given)));

describe('any selector', () => {
  test('means the same in its canonical form', () => {
    fc.assert(
      fc.property(expressions, labels, (expression, given) => {
        expect(matches(canonical(expression).expression, given)).toBe(matches(expression, given));
      }),
      { numRuns: 2000 },
    );
  });
  test('is its own canonical form once it is in it, and reads so', () => {
    fc.assert(
      fc.property(expressions, (expression) => {
        const { text, expression: normal } = canonical(expression);
        expect(canonical(normal).text).toBe(text);
        expect(canonicalText(text)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });
  test('matches nothing that lacks all keys of one of its covers', () => {
    fc.assert(
      fc.property(expressions, labels, (expression, given) => {
        const normal = canonical(expression).expression;
        fc.pre(matches(normal, given));
        for (const cover of covers(normal))
          expect(cover.some((key) => (key.value === undefined ? given.has(key.label) : given.get(key.label) === key.value))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

test.each<[string, unknown]>([
  ['all()', []],
  ['!has(a)', []],
  ["a != 'b'", []],
  ['has(a)', [[{ label: 'a' }]]],
  ["a starts with 'b'", [[{ label: 'a' }]]],
  [
    "a in {'b', 'c'}",
    [
      [
        { label: 'a', value: 'b' },
        { label: 'a', value: 'c' },
      ],
    ],
  ],
  ["has(a) && b == 'c' && !has(d)", [[{ label: 'b', value: 'c' }], [{ label: 'a' }]]],
  ["has(a) || b == 'c'", [[{ label: 'b', value: 'c' }, { label: 'a' }]]],
  ["has(a) || b != 'c'", []],
  ['!all()', [[]]],
])('%s demands %j', (text, expected) => {
  const expression = parseExpression(text);
  const found = expression.ok ? covers(canonical(expression.value).expression) : undefined;
  const keyed = (given: unknown): unknown => (given as object[][])?.map((cover) => new Set(cover.map((key) => JSON.stringify(key))));
  expect(keyed(found)).toEqual(keyed(expected));
});
