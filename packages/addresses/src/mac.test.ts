import { expect, test } from 'vitest';
import { macBytes, macFromBytes, parseMac } from './mac.ts';

test.each([
  ['FA:16:3E:00:00:01', 'fa:16:3e:00:00:01'],
  ['fa-16-3e-00-00-01', 'fa:16:3e:00:00:01'],
  ['fa:16:3e:00:00', undefined],
  ['fa:16:3e:00:00:1', undefined],
  ['', undefined],
])('MAC %j → %j', (text, mac) => expect(parseMac(text)).toBe(mac));

test('canonical text and bytes of a MAC are each other’s inverse, and nothing but canonical text has bytes', () => {
  expect(macFromBytes(macBytes('fa:16:3e:00:0a:ff'))).toBe('fa:16:3e:00:0a:ff');
  for (const wrong of ['FA:16:3e:00:0a:ff', 'fa-16-3e-00-0a-ff', 'fa:16:3e:00:0a', 'fa:16:3e:00:0a:ff:00', '']) {
    expect(() => macBytes(wrong)).toThrow(RangeError);
  }
});
