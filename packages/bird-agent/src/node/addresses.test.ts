import type { LinkAddress } from '@calico-openstack/kernel/links/link';
import { describe, expect, test } from 'vitest';
import { type HostInterface, isHostInterface, ownAddress, ownNetworks } from './addresses.ts';

const address = (text: string, change: Partial<LinkAddress> = {}): LinkAddress => {
  const [host, length] = text.split('/') as [string, string];
  return { family: host.includes(':') ? 6 : 4, address: host, prefixLength: Number(length), scope: 0, tentative: false, noPrefixRoute: false, ...change };
};
const on = (name: string, index: number, addresses: readonly LinkAddress[], up = true): HostInterface => ({
  link: { name, index, up, running: up },
  addresses,
});

describe('the host’s own address', () => {
  const interfaces = [
    on('mgmt', 5, [address('10.0.0.1/24')]),
    on('eth0', 2, [address('fe80::1/64', { scope: 253 }), address('192.0.2.5/30'), address('192.0.2.77/30'), address('2001:db8::5/64')]),
  ];
  test.each<readonly [4 | 6, string | undefined, string, string]>([
    [4, 'mgmt', '10.0.0.1/24', 'the default route’s interface'],
    [4, 'eth0', '192.0.2.5/30', 'the first of several'],
    [4, undefined, '192.0.2.5/30', 'the first interface, where there is no default route'],
    [6, 'mgmt', '2001:db8::5/64', 'another interface, where that of the default route has none'],
  ])('in family %s, default route by %s: %s (%s)', (family, device, expected) =>
    expect(ownAddress(family, interfaces, { interface: device, isSeveral: false })).toEqual({ address: expected, isGuess: device === undefined }),
  );
  test.each([
    ['an interface that is down', on('eth0', 1, [address('192.0.2.5/30')], false)],
    ['an address of the link only', on('eth0', 1, [address('169.254.1.1/16', { scope: 253 })])],
    ['an address under duplicate detection', on('eth0', 1, [address('192.0.2.5/30', { tentative: true })])],
  ])('is not on %s', (_, only) => expect(ownAddress(4, [only], { interface: 'eth0', isSeveral: false }).address).toBeUndefined());
});

describe('an address on loopback', () => {
  const loopback = on('lo', 1, [address('127.0.0.1/8', { scope: 254 }), address('198.51.100.9/32')]);
  const uplinks = [on('eth0', 2, [address('192.0.2.1/30')]), on('eth1', 3, [address('192.0.2.5/30')])];
  test.each<readonly [string, Parameters<typeof ownAddress>[2], readonly HostInterface[], string]>([
    ['is the host’s where the default route has two uplinks', { interface: undefined, isSeveral: true }, uplinks, '198.51.100.9/32'],
    ['and where BGP is to bring the default route', { interface: undefined, isSeveral: false }, uplinks, '198.51.100.9/32'],
    ['is a service’s where one interface has the default route', { interface: 'eth1', isSeveral: false }, uplinks, '192.0.2.5/30'],
    ['and where there is one uplink', { interface: undefined, isSeveral: false }, uplinks.slice(0, 1), '192.0.2.1/30'],
  ])('%s', (_, way, interfaces, expected) => expect(ownAddress(4, interfaces, way, loopback).address).toBe(expected));
  test('is not 127.0.0.1', () => {
    const only = on('lo', 1, [address('127.0.0.1/8', { scope: 254 })]);
    expect(ownAddress(4, uplinks, { interface: undefined, isSeveral: true }, only).address).toBe('192.0.2.1/30');
  });
});

test('networks are those that the kernel keeps a route to', () => {
  expect(
    ownNetworks([
      on('eth0', 2, [
        address('192.0.2.5/30'),
        address('2001:db8::5/64'),
        address('10.65.0.1/24', { noPrefixRoute: true }),
        address('fe80::1/64', { scope: 253 }),
      ]),
    ]),
  ).toEqual(['192.0.2.4/30', '2001:db8::/64']);
});

test.each([
  ['eth0', true],
  ['lo', false],
  ['tap01234567-89', false],
  ['cali1', false],
  ['ns-1234', false],
])('%s is the host’s own: %s', (name, expected) => expect(isHostInterface(name, ['cali', 'tap'])).toBe(expected));
