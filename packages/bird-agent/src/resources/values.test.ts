import { describe, expect, test } from 'vitest';
import type { Parse } from './fields.ts';
import { asNumber, clusterId, community, durationSeconds, interfaceAddress, interfacePattern, neighbor, password, speakerAddress } from './values.ts';

/** The parsed value; undefined when it is refused. */
const reading = (parse: Parse<unknown>, value: unknown): unknown => {
  const result = parse(value);
  return result.ok ? result.value : undefined;
};

describe('an AS number is 1 to 2^32-1, as number, decimal text or high.low (RFC 5396)', () => {
  test.each([
    [64512, 64512],
    ['64512', 64512],
    ['1.10', 65546],
    ['0.7', 7],
    [4294967295, 4294967295],
    ['65535.65535', 4294967295],
    [0, undefined],
    ['0', undefined],
    ['0.0', undefined],
    [4294967296, undefined],
    ['4294967296', undefined],
    ['65536.1', undefined],
    ['1.2.3', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    [' 1', undefined],
    [1.5, undefined],
    [true, undefined],
    [['1'], undefined],
  ])('%j → %j', (value, expected) => expect(reading(asNumber, value)).toBe(expected));
});

describe('a speaker has a unicast address that needs no interface beside it', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['0.0.0.0', undefined],
    ['0.1.2.3', undefined],
    ['127.0.0.1', undefined],
    ['169.254.1.1', undefined],
    ['224.0.0.1', undefined],
    ['255.255.255.255', undefined],
    ['::', undefined],
    ['::1', undefined],
    ['fe80::1', undefined],
    ['febf::1', undefined],
    ['ff02::1', undefined],
    ['::ffff:10.0.0.1', undefined],
    ['fe80::1%eth0', undefined],
    ['010.0.0.1', undefined],
    ['tor.example', undefined],
    [7, undefined],
  ])('%j → %j', (value, expected) => expect(reading(speakerAddress, value)).toBe(expected));
});

describe('peerIP is an address with an optional port', () => {
  test.each([
    ['192.0.2.1', { address: '192.0.2.1', port: undefined }],
    ['192.0.2.1:1790', { address: '192.0.2.1', port: 1790 }],
    ['2001:db8::1', { address: '2001:db8::1', port: undefined }],
    ['[2001:db8::1]:1790', { address: '2001:db8::1', port: 1790 }],
    ['192.0.2.1:', undefined],
    ['192.0.2.1:0', undefined],
    ['192.0.2.1:65536', undefined],
    ['192.0.2.1:179 as 1; #', undefined],
    ['[2001:db8::1]', undefined],
    ['192.0.2.1\n', undefined],
  ])('%j → %j', (value, expected) => expect(reading(neighbor, value)).toEqual(expected));
});

describe('a community is a:b of 16 bits or a:b:c of 32 bits', () => {
  test.each([
    ['65000:100', [65000, 100]],
    ['65535:65535', [65535, 65535]],
    ['1:2:4294967295', [1, 2, 4294967295]],
    ['65536:1', undefined],
    ['1:2:4294967296', undefined],
    ['1:2:3:4', undefined],
    ['1', undefined],
    ['1:', undefined],
    ['1:2)', undefined],
    ['01:2', undefined],
    [12, undefined],
  ])('%j → %j', (value, expected) => expect(reading(community, value)).toEqual(expected));
});

describe("a duration is Go's, in whole seconds", () => {
  test.each([
    ['120s', 120],
    ['2m0s', 120],
    ['1h', 3600],
    ['1.5s', 2],
    ['400ms', 0],
    ['0', 0],
    ['2h', undefined],
    ['2', undefined],
    ['s', undefined],
    ['-1s', undefined],
    ['1s1', undefined],
    ['1s; import all', undefined],
    [120, undefined],
  ])('%j → %j', (value, expected) => expect(reading(durationSeconds(0, 4095), value)).toBe(expected));
});

test.each([
  ['192.0.2.5/30', 4, { address: '192.0.2.5', network: '192.0.2.4/30' }],
  ['192.0.2.5', 4, { address: '192.0.2.5', network: '192.0.2.5/32' }],
  ['2001:db8::5/64', 6, { address: '2001:db8::5', network: '2001:db8::/64' }],
  ['2001:db8::5/64', 4, undefined],
  ['192.0.2.5/33', 4, undefined],
  ['127.0.0.1/8', 4, undefined],
  ['', 4, undefined],
] as const)("a Node's address %j in family %j → %j", (value, family, expected) => expect(reading(interfaceAddress(family), value)).toEqual(expected));

test.each([
  ['eth*', 'eth*'],
  ['br-mgmt.7_x', 'br-mgmt.7_x'],
  ['eth0"', undefined],
  ['eth 0', undefined],
  ['', undefined],
  ['abcdefghijklmnop', undefined],
])('the interface pattern %j → %j', (value, expected) => expect(reading(interfacePattern, value)).toBe(expected));

test.each([
  ['1.0.0.1', '1.0.0.1'],
  ['224.0.0.1', '224.0.0.1'],
  ['::1', undefined],
  [1, undefined],
])('the cluster id %j → %j', (value, expected) => expect(reading(clusterId, value)).toBe(expected));

test.each([
  [{ secretKeyRef: { name: 'bgp', key: 'tor' } }, { name: 'bgp', key: 'tor' }],
  [{ secretKeyRef: { name: 'bgp', key: 'tor', optional: true } }, { name: 'bgp', key: 'tor' }],
  [{ secretKeyRef: { name: 'bgp' } }, undefined],
  [{ secretKeyRef: { name: '', key: 'tor' } }, undefined],
  [{}, undefined],
  ['s3cret', undefined],
  [null, undefined],
])('the password reference %j → %j', (value, expected) => expect(reading(password, value)).toEqual(expected));
