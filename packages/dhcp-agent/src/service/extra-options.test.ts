import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hostileText } from '../testing/hostile.ts';
import { extraOptions } from './extra-options.ts';

const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

test.each([
  ['mtu', '1400', { code: 26, value: { kind: 'number16', number: 1400 } }],
  ['default-ttl', '64', { code: 23, value: { kind: 'number8', number: 64 } }],
  ['time-offset', '-3600', { code: 2, value: { kind: 'number32', number: 0xffff_ffff - 3599 } }],
  ['ntp-server', '10.0.0.1, 10.0.0.2', { code: 42, value: { kind: 'addresses', addresses: ['10.0.0.1', '10.0.0.2'] } }],
  ['42', '10.0.0.1', { code: 42, value: { kind: 'addresses', addresses: ['10.0.0.1'] } }],
  ['server-ip-address', '10.0.0.1', { code: 255, value: { kind: 'addresses', addresses: ['10.0.0.1'] } }],
  ['tftp-server', '10.0.0.1', { code: 66, value: { kind: 'text', text: '10.0.0.1' } }],
  ['bootfile-name', 'http://10.0.0.1/a,b#c', { code: 67, value: { kind: 'text', text: 'http://10.0.0.1/a,b#c' } }],
  ['domain-search', 'a.example,b', { code: 119, value: { kind: 'bytes', hex: `01${hex('a')}07${hex('example')}0001${hex('b')}00` } }],
  ['43', '01:04:0A:00:00:01', { code: 43, value: { kind: 'bytes', hex: '01040a000001' } }],
  ['224', '7', { code: 224, value: { kind: 'bytes', hex: '07' } }],
  ['224', '300', { code: 224, value: { kind: 'bytes', hex: '012c' } }],
  ['224', '10.0.0.1,10.0.0.2', { code: 224, value: { kind: 'bytes', hex: '0a0000010a000002' } }],
  ['224', 'ignore,set:x', { code: 224, value: { kind: 'bytes', hex: hex('ignore,set:x') } }],
])('DHCPv4 option %s with %j is %j', (name, value, option) =>
  expect(extraOptions(4, [{ name, value, family: 4 }])).toEqual({ options: [option], problems: [] }),
);

test.each([
  ['ntp-server', '2001:db8::1', { code: 56, value: { kind: 'bytes', hex: '20010db8000000000000000000000001' } }],
  ['sntp-server', '[2001:db8::1]', { code: 31, value: { kind: 'bytes', hex: '20010db8000000000000000000000001' } }],
  ['information-refresh-time', '600', { code: 32, value: { kind: 'bytes', hex: '00000258' } }],
  ['bootfile-url', 'tftp://x', { code: 59, value: { kind: 'bytes', hex: hex('tftp://x') } }],
])('DHCPv6 option %s with %j is %j', (name, value, option) =>
  expect(extraOptions(6, [{ name, value, family: 6 }])).toEqual({ options: [option], problems: [] }),
);

test.each([
  ['mtu', '65536'],
  ['mtu', '1400 '.repeat(100)],
  ['mtu', '0x10'],
  ['ntp-server', '2001:db8::1'],
  ['ntp-server', 'ntp.example'],
  ['ntp-server', ''],
  ['bootfile-name', 'a\nb'],
  ['bootfile-name', 'a"b'],
  ['bootfile-name', 'a\\b'],
  ['bootfile-name', 'ä'],
  ['domain-search', 'a_b'],
  ['224', ''],
  ['lease-time', '60'],
  ['51', '60'],
  ['tag:tap99999999-99,67', 'x'],
])('DHCPv4 option %j with %j is not sent, and that is said', (name, value) => {
  const { options, problems } = extraOptions(4, [{ name, value, family: 4 }]);
  expect(options).toEqual([]);
  expect(problems).toHaveLength(1);
});

test('of two options with one code the last counts', () =>
  expect(
    extraOptions(4, [
      { name: 'mtu', value: '1400', family: 4 },
      { name: '26', value: '1300', family: 4 },
    ]).options,
  ).toEqual([{ code: 26, value: { kind: 'number16', number: 1300 } }]));

test('whatever a tenant writes, an option has a code of its family and at least one byte', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(4 as const, 6 as const),
      fc.oneof(hostileText, fc.integer({ min: 0, max: 70_000 }).map(String)),
      hostileText,
      (family, name, value) => {
        for (const { code, value: one } of extraOptions(family, [{ name, value, family }]).options) {
          expect(code).toBeLessThanOrEqual(family === 4 ? 255 : 65_535);
          if (one.kind === 'bytes') expect(one.hex).toMatch(/^([0-9a-f]{2}){1,1024}$/);
          else expect(family).toBe(4);
          if (one.kind === 'text') expect(one.text).toMatch(/^[ !#-[\]-~]+$/);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
