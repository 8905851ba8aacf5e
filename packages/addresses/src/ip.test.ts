import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, test } from 'vitest';
import {
  addressBytes,
  addressFromBytes,
  type Cidr,
  cidrContains,
  cidrFromBytes,
  cidrRange,
  familyOf,
  hostCidr,
  isHostCidr,
  parseAddress,
  parseCidr,
  prefixLength,
  splitCidr,
} from './ip.ts';

describe('a prefix has one canonical text', () => {
  test.each([
    ['10.65.0.4/32', '10.65.0.4/32'],
    ['10.65.0.4', '10.65.0.4/32'],
    ['10.65.0.5/24', '10.65.0.0/24'],
    ['255.255.255.255/1', '128.0.0.0/1'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['203.0.113.77/0', '0.0.0.0/0'],
    ['2001:DB8::4', '2001:db8::4/128'],
    ['2001:0db8:0:0::5/64', '2001:db8::/64'],
    ['2001:db8:0:0:1:0:0:1/128', '2001:db8::1:0:0:1/128'],
    ['::/0', '::/0'],
    ['fe80::ffff/9', 'fe80::/9'],
  ])('%s → %s', (text, canonical) => expect(parseCidr(text)).toBe(canonical));

  test.each([
    '',
    '/',
    '10.65.0',
    '10.65.0.4.5',
    '010.1.1.1',
    '10.65.0.256',
    '10.65.0.4/33',
    '10.65.0.4/-1',
    '10.65.0.4/ 8',
    '10.65.0.4/',
    '10.0.0.0/8/32',
    ' 10.0.0.1',
    '1e1.0.0.1',
    '0x10.0.0.1',
    '2001:db8::/129',
    '2001:db8:::1',
    'fe80::1%eth0',
    '::ffff:10.0.0.1',
    'g::1',
    ':',
    'tap0',
    '10.0.0.1\n',
  ])('%j is not one', (text) => expect(parseCidr(text)).toBeUndefined());

  test('an address is not a prefix, nor the other way round', () => {
    expect(parseAddress('10.0.0.1/32')).toBeUndefined();
    expect(parseAddress('2001:DB8:0::1')).toBe('2001:db8::1');
  });
});

const bytes = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).filter((b) => !(b.subarray(0, 10).every((x) => x === 0) && b[10] === 255 && b[11] === 255)),
);

/** Texts that are IPv6 addresses, or nearly. */
const nearlyIpv6 = fc.oneof(
  fc.array(fc.constantFrom('0', '1', 'a', 'F', 'ffff', ':', '::', ':1.2.3.4', '0db8'), { maxLength: 17 }).map((parts) => parts.join('')),
  fc.array(fc.constantFrom('0', '0', '1', 'fFff', '00'), { minLength: 1, maxLength: 9 }).map((parts) => parts.join(':')),
  fc.tuple(fc.ipV6(), fc.constantFrom('', ':', '0')).map(([text, end]) => text + end),
);

test('what another implementation accepts as an IPv6 address is one here, with the same canonical text', () => {
  fc.assert(
    fc.property(nearlyIpv6, (text) => {
      fc.pre(!/[0-9a-f]{5}|\.0[0-9]|:0[0-9]+\./i.test(text)); // the other implementation accepts groups of five digits and octets with leading zeros
      fc.pre(!/^::[0-9]+\./.test(text)); // the other implementation reads RFC 4291's IPv4-compatible form as the mapped form
      const other = text.includes(':') && ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined;
      expect(parseCidr(text)).toBe(other && !other.isIPv4MappedAddress() ? `${other.toRFC5952String()}/128` : undefined);
    }),
    { numRuns: 20_000 },
  );
});

test('text and bytes of an address are each other’s inverse', () => {
  fc.assert(
    fc.property(bytes, (given) => {
      const text = addressFromBytes(given);
      expect(parseAddress(text)).toBe(text);
      expect(addressBytes(text)).toEqual(given);
      expect(cidrFromBytes(given, given.length * 8)).toBe(hostCidr(text));
    }),
  );
});

describe('RFC 5952', () => {
  test.each([
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1', '4.2.1: as much as possible is shortened'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1', '4.2.2: one group is not shortened'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1', '4.2.3: the longest run'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1', '4.2.3: the first of equal runs'],
    ['::', '::', 'the unspecified address'],
    ['::1', '::1', 'the loopback address'],
    ['fe80::', 'fe80::', 'a run at the end'],
    ['::ffff:192.0.2.1', '::ffff:c000:201', 'an IPv4-mapped address'],
  ])('%s is written %s (%s)', (text, canonical) => {
    expect(addressFromBytes(addressBytes(text))).toBe(canonical);
  });
});

test('an IPv4-mapped address has bytes, for the kernel reports such addresses, but is none that may come from outside', () => {
  expect(addressBytes('::ffff:c000:201')).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1));
  expect(splitCidr('::ffff:c000:0/112')).toMatchObject({ family: 6, length: 112 });
  expect([parseAddress('::ffff:c000:201'), parseCidr('::ffff:c000:0/112'), parseCidr('::ffff:192.0.2.1')]).toEqual([undefined, undefined, undefined]);
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
  expect(parseAddress(text)).toBeUndefined();
  expect(() => addressBytes(text)).toThrow(RangeError);
});

test('only 4 or 16 bytes are an address', () => {
  for (const length of [0, 3, 5, 15, 17]) expect(() => addressFromBytes(new Uint8Array(length))).toThrow(RangeError);
});

/** Addresses whose groups are often zero, so that runs of zeros come in every place and length; IPv4-mapped ones among them. */
const anyBytes = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc
    .array(fc.oneof(fc.constant(0), fc.constant(0), fc.constant(0xffff), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
    .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]))),
);

test('a prefix is its masked address and its length', () => {
  expect(cidrFromBytes(addressBytes('10.65.3.9'), 22)).toBe('10.65.0.0/22');
  expect(cidrFromBytes(addressBytes('2001:db8::ffff'), 64)).toBe('2001:db8::/64');
  fc.assert(
    fc.property(anyBytes, fc.nat(128), (given, wish) => {
      const length = Math.min(wish, given.length * 8);
      const prefix = splitCidr(cidrFromBytes(given, length));
      expect(prefix.length).toBe(length);
      expect(prefix.family).toBe(given.length === 4 ? 4 : 6);
      const bits = (of: Uint8Array): string => [...of].map((byte) => byte.toString(2).padStart(8, '0')).join('');
      expect(bits(prefix.bytes)).toBe(
        bits(given)
          .slice(0, length)
          .padEnd(given.length * 8, '0'),
      );
    }),
  );
});

test.each([
  '10.0.0.1',
  '10.0.0.1/24',
  '10.0.0.0/33',
  '10.0.0.0/-1',
  '10.0.0.0/024',
  '10.0.0.0/',
  '/24',
  'tap0/24',
  '2001:DB8::/32',
  '2001:db8:0::/32',
  '2001:db8::/129',
])('%j is no prefix in canonical text', (text) => {
  expect(() => splitCidr(text)).toThrow(RangeError);
});

test('a prefix holds its first and last address, and is the canonical text of each with its length', () => {
  fc.assert(
    fc.property(bytes, fc.nat(128), (given, bits) => {
      const length = Math.min(bits, given.length * 8);
      const cidr = parseCidr(`${addressFromBytes(given)}/${length}`)!;
      expect(prefixLength(cidr)).toBe(length);
      expect(isHostCidr(cidr)).toBe(length === given.length * 8);
      const { first, last } = cidrRange(cidr);
      for (const end of [first, last, given]) {
        expect(parseCidr(`${addressFromBytes(end)}/${length}`)).toBe(cidr);
        expect(cidrContains(cidr, addressFromBytes(end))).toBe(true);
      }
      expect(Buffer.compare(first, last)).toBeLessThanOrEqual(0);
    }),
  );
});

test('a prefix contains the addresses and prefixes of its own family that lie in it', () => {
  const cidr = (text: string): Cidr => parseCidr(text)!;
  expect(cidrContains(cidr('10.0.0.0/8'), cidr('10.65.0.0/16'))).toBe(true);
  expect(cidrContains(cidr('10.65.0.0/16'), cidr('10.0.0.0/8'))).toBe(false);
  expect(cidrContains(cidr('0.0.0.0/0'), cidr('::/0'))).toBe(false);
  expect(hostCidr(parseAddress('2001:db8::1')!)).toBe('2001:db8::1/128');
  expect(familyOf(cidr('::/0'))).toBe(6);
});
