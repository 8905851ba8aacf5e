import { expect, test } from 'vitest';
import { cidr, ip } from '../testing/facts.ts';
import { port6 } from '../testing/port6.ts';
import { routerAdvertisement } from './advertisement.ts';

const mac = Uint8Array.of(0xfe, 0x16, 0x3e, 0, 0, 1);
const text = (some: Parameters<typeof port6>[0]): string => Buffer.from(routerAdvertisement(port6(some), mac)).toString('hex');
const head = (flags: string): string => `8600000040${flags}23280000000000000000`;
const common = '0101fe163e00000105010000000005a2';

test.each([
  { dhcp: 'none', flags: '00' },
  { dhcp: 'stateless', flags: '40' },
  { dhcp: 'stateful', flags: 'c0' },
] as const)('DHCPv6 $dhcp is said by the flags $flags; the MAC and MTU are told', ({ dhcp, flags }) => {
  expect(text({ dhcp, mtuBytes: 1442, dnsServers: [], domain: undefined })).toBe(head(flags) + common);
});

test('a prefix of which guests make addresses is autonomous, and not on-link', () => {
  expect(text({ dhcp: 'none', mtuBytes: 1442, dnsServers: [], domain: undefined, autonomous: [cidr('2001:db8:a::/64')] })).toBe(
    `${head('00')}${common}0304404000015180000038400000000020010db8000a00000000000000000000`,
  );
});

test('name servers and domain are told, padded to eight bytes', () => {
  expect(text({ dhcp: 'none', mtuBytes: 1442, dnsServers: [ip('2001:db8::53')], domain: 'cloud.example' })).toBe(
    `${head('00')}${common}190300000000232820010db80000000000000000000000531f0300000000232805636c6f7564076578616d706c650000`,
  );
});
