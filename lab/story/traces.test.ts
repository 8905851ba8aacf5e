import { expect, test } from 'vitest';
import { hasWord } from './traces.ts';

test.each([
  ['10.65.0.2', '"ipNetworks":["10.65.0.2/32"]', true],
  ['10.65.0.2', 'elements = { 10.65.0.2, 10.65.0.3 }', true],
  ['10.65.0.2', 'elements = { 10.65.0.22, 110.65.0.2 }', false],
  ['2001:db8::2', 'tap1 . 2001:db8::2, ', true],
  ['2001:db8::2', '2001:db8::22 2001:db8::2:1 12001:db8::2', false],
  ['844fa81c-bcd6', 'chain policy-ingress-ossg.default.844fa81c-bcd6-hbd87n {', true],
])('whether %s is named in %j: %j', (word, text, named) => {
  expect(hasWord(text, [word])).toBe(named);
});
