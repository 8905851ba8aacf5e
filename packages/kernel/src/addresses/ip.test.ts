import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatIp, formatMac, formatPrefix, ipBytes, macBytes, parseIp, splitPrefix } from './ip.ts';

const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
/** Groups that are often zero, so that runs of zeros come in every place and length. */
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])));
const address = fc.oneof(ipv4, ipv6);

describe('RFC 5952', () => {
  test.each([
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1', '4.2.1: as much as possible is shortened'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1', '4.2.2: one group is not shortened'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1', '4.2.3: the longest run'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1', '4.2.3: the first of equal runs'],
    ['::', '::', 'the unspecified address'],
    ['::1', '::1', 'the loopback address'],
    ['fe80::', 'fe80::', 'a run at the end'],
    ['::ffff:192.0.2.1', '::ffff:c000:201', 'an IPv4 address inside'],
  ])('%s is written %s (%s)', (text, canonical) => {
    expect(formatIp(ipBytes(text))).toBe(canonical);
  });
});

test('an address in text is the same bytes again, and one address has one text', () => {
  fc.assert(
    fc.property(address, (bytes) => {
      expect(parseIp(formatIp(bytes))).toEqual(bytes);
      expect(formatIp(ipBytes(formatIp(bytes)))).toBe(formatIp(bytes));
    }),
  );
});

test.each([
  '',
  '1.2.3',
  '1.2.3.4.5',
  '01.2.3.4',
  '256.1.1.1',
  '1.2.3.4/32',
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '12345::',
  'fe80::1%eth0',
  '1.2.3.4::',
  '::1.2.3',
  'g::',
  '1:2:3:4:5:6:7::8:9',
  ' ::1',
])('%j is no address', (text) => {
  expect(parseIp(text)).toBeUndefined();
});

test('a prefix is its masked address and its length', () => {
  expect(formatPrefix(ipBytes('10.65.3.9'), 22)).toBe('10.65.0.0/22');
  expect(formatPrefix(ipBytes('2001:db8::ffff'), 64)).toBe('2001:db8::/64');
  fc.assert(
    fc.property(address, fc.nat(128), (bytes, wish) => {
      const length = Math.min(wish, bytes.length * 8);
      const prefix = splitPrefix(formatPrefix(bytes, length));
      expect(prefix.length).toBe(length);
      expect(prefix.family).toBe(bytes.length === 4 ? 4 : 6);
      const bits = (of: Uint8Array): string => [...of].map((byte) => byte.toString(2).padStart(8, '0')).join('');
      expect(bits(prefix.bytes)).toBe(
        bits(bytes)
          .slice(0, length)
          .padEnd(bytes.length * 8, '0'),
      );
    }),
  );
});

test.each(['10.0.0.1', '10.0.0.1/24', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/024', '10.0.0.0/', '2001:DB8::/32', '2001:db8:0::/32', '2001:db8::/129'])(
  '%j is no prefix in canonical text',
  (text) => {
    expect(() => splitPrefix(text)).toThrow(RangeError);
  },
);

test('a MAC is six bytes in lower case, and nothing else passes', () => {
  expect(formatMac(macBytes('fa:16:3e:00:0a:ff'))).toBe('fa:16:3e:00:0a:ff');
  for (const wrong of ['FA:16:3e:00:0a:ff', 'fa-16-3e-00-0a-ff', 'fa:16:3e:00:0a', 'fa:16:3e:00:0a:ff:00', ''])
    expect(() => macBytes(wrong)).toThrow(RangeError);
});
