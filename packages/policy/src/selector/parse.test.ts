import { describe, expect, test } from 'vitest';
import { canonical } from './canonical.ts';
import { matches } from './evaluate.ts';
import { conditionsMax, nestingMax, parseExpression } from './parse.ts';

const parsed = (text: string) => {
  const expression = parseExpression(text);
  if (!expression.ok) throw new Error(expression.reason);
  return expression.value;
};
const match = (text: string, labels: Record<string, string>): boolean => matches(parsed(text), new Map(Object.entries(labels)));

const labelled: Record<string, string> = { a: 'xyz', b: '', in: 'v', contains: 'v', has: 'v', all: 'v', 'k8s.io/a-b_c.d': '1', n: '"' };

describe('matching, on labels that are there', () => {
  test.each<[string, boolean]>([
    ['', true],
    [' \t ', true],
    ['all()', true],
    ['all( )', true],
    ['global()', true],
    ['has(a)', true],
    ['has( a )', true],
    ['!has(a)', false],
    ["a == 'xyz'", true],
    ['a=="xyz"', true],
    ["a == 'XYZ'", false],
    ["a != 'xyz'", false],
    ["a != 'x'", true],
    ["a in {'xyz', 'q'}", true],
    ["a in{'xyz'}", true],
    ["a in {'xyz',}", true],
    ['a in {}', false],
    ["a not in {'xyz'}", false],
    ["a notin {'q'}", true],
    ['a not in {}', true],
    ["a contains 'y'", true],
    ["a contains ''", true],
    ["a starts with 'xy'", true],
    ["a startswith 'y'", false],
    ["a ends with 'yz'", true],
    ["a endswith 'y'", false],
    ["b == ''", true],
    ['has(b)', true],
    ["in == 'v'", true],
    ["in in {'v'}", true],
    ["contains contains 'v'", true],
    ["has == 'v'", true],
    ["all == 'v'", true],
    ["k8s.io/a-b_c.d == '1'", true],
    [`n == '"'`, true],
    ["!a == 'q' && b == 'q'", false],
    ["!a == 'q' && b == ''", true],
    ["!!a == 'xyz'", true],
    ["! ! !a == 'xyz'", false],
    ["a == 'q' && a == 'q' || b == ''", true],
    ["b == '' || a == 'q' && a == 'q'", true],
    ["(b == '' || a == 'q') && a == 'q'", false],
    ["!(a == 'xyz' && b == '')", false],
  ])('%s → %s', (text, expected) => expect(match(text, labelled)).toBe(expected));
});

describe('matching, on a label that is missing', () => {
  test.each<[string, boolean]>([
    ['has(k)', false],
    ["k == 'v'", false],
    ["k == ''", false],
    ["k in {'v'}", false],
    ["k contains ''", false],
    ["k starts with ''", false],
    ["k ends with ''", false],
    ['!has(k)', true],
    ["k != 'v'", true],
    ["k not in {'v'}", true],
    ["!k contains 'v'", true],
  ])('%s → %s', (text, expected) => expect(match(text, { a: 'v' })).toBe(expected));
});

test.each([
  'a',
  'a ==',
  'role == ',
  'has(',
  'has()',
  'has (a)',
  'has(a',
  'has(a) has(b)',
  'all',
  'all ()',
  'a = "b"',
  'a == b',
  'a == "b',
  `a == "b'`,
  "a inx {'b'}",
  "a in ('b')",
  "a in {'b' 'c'}",
  'a in {,}',
  "a in {'b',,}",
  "a not 'b'",
  "a startswithx 'b'",
  "a starts 'b'",
  '&&',
  'has(a) &&',
  'has(a) & has(b)',
  '|| has(a)',
  '(has(a)',
  'has(a))',
  '()',
  '!',
  'has(a)\n',
  'has(a)\r',
  'ä == "b"',
  'has(a b)',
  `has(${'k'.repeat(513)})`,
  'toString()',
])('%j is no selector', (text) => expect(parseExpression(text)).toMatchObject({ ok: false }));

test('a label name may have 512 characters', () => expect(match(`has(${'k'.repeat(512)})`, { ['k'.repeat(512)]: '' })).toBe(true));

test('a name that every object has is no label that is there', () => {
  expect(match('has(constructor)', {})).toBe(false);
  expect(match('has(__proto__)', {})).toBe(false);
});

test('what nests deeper than any stack is refused, and what is merely long is not', () => {
  expect(parseExpression('('.repeat(1_000_000))).toMatchObject({ ok: false });
  expect(parseExpression(`${'('.repeat(nestingMax + 1)}all()${')'.repeat(nestingMax + 1)}`)).toMatchObject({ ok: false });
  const deep = parsed(`${'!('.repeat(nestingMax)}has(a)${')'.repeat(nestingMax)}`);
  expect(canonical(deep).text).toBe('has(a)');
  expect(match(`${'!'.repeat(1_000_000)}has(a)`, { a: '' })).toBe(true);
  const wide = (conditions: number): string => Array.from({ length: conditions }, (_, index) => `k${index} == 'v'`).join(' || ');
  expect(matches(canonical(parsed(wide(conditionsMax))).expression, new Map([[`k${conditionsMax - 1}`, 'v']]))).toBe(true);
  expect(parseExpression(wide(conditionsMax + 1))).toEqual({ ok: false, reason: 'has more than 256 conditions' });
  expect(parseExpression(wide(100_000))).toMatchObject({ ok: false });
  const many = `k in {${Array.from({ length: 200_000 }, (_, index) => `'${index}'`).join(',')}}`;
  expect(match(many, { k: '199999' })).toBe(true);
  expect(match(`!(${many})`, { k: '199999' })).toBe(false);
  expect(match(many, { k: '200000' })).toBe(false);
});
