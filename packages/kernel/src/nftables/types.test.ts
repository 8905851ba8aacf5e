import { expect, test } from 'vitest';
import { connectionState, hostNumber, hostOrder, interfaceName, networkNumber, networkOrder, printValue } from './types.ts';

const ipv6 = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

test.each([
  ['ipv4_addr', Uint8Array.of(10, 0, 255, 1), '10.0.255.1'],
  ['ipv6_addr', ipv6('fe80 0000 0000 0000 0000 0000 0000 0001'), 'fe80::1'],
  ['ipv6_addr', ipv6('2001 0db8 0000 0001 0000 0000 0000 0001'), '2001:db8:0:1::1'],
  ['ipv6_addr', ipv6('2001 0db8 0000 0001 0001 0001 0001 0001'), '2001:db8:0:1:1:1:1:1'],
  ['ipv6_addr', ipv6('0000 0000 0000 0000 0000 0000 0000 0000'), '::'],
  ['ipv6_addr', ipv6('0001 0000 0000 0000 0000 0000 0000 0000'), '1::'],
  ['ether_addr', Uint8Array.of(0xfa, 0x16, 0x3e, 0, 1, 2), 'fa:16:3e:00:01:02'],
  ['inet_service', Uint8Array.of(0x1f, 0x90), '8080'],
  ['mark', hostOrder(0x12), '0x00000012'],
  ['ifname', interfaceName('tap0'), '"tap0"'],
  ['ifname', interfaceName('tap*'), '"tap\\*"'],
  ['ifname', interfaceName('a"b'), '"a\'b"'],
  ['nf_proto', Uint8Array.of(10), 'ipv6'],
  ['nf_proto', Uint8Array.of(7), '7'],
  ['ct_state', hostOrder(connectionState.established | connectionState.related), 'established,related'],
  ['ct_state', hostOrder(0x400), '0x400'],
  ['ct_dir', Uint8Array.of(1), 'reply'],
  ['ether_type', Uint8Array.of(8, 6), '0x0806'],
] as const)('%s %j reads %s', (type, value, text) => {
  expect(printValue(type, value)).toBe(text);
});

test('numbers convert to values and back', () => {
  for (const number of [0, 1, 0x1234, 0x80000000, 0xffffffff]) {
    expect(hostNumber(hostOrder(number))).toBe(number);
    expect(networkNumber(networkOrder(number, 4))).toBe(number);
  }
  expect([...networkOrder(0x1234, 2)]).toEqual([0x12, 0x34]);
});

test('an interface name has at most 15 bytes', () => {
  expect(interfaceName('n'.repeat(15))).toHaveLength(16);
  expect(() => interfaceName('n'.repeat(16))).toThrow(RangeError);
  expect(() => interfaceName('ü'.repeat(8))).toThrow(RangeError);
  expect(() => interfaceName('a\0b')).toThrow(RangeError);
});
