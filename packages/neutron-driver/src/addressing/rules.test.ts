import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import { describe, expect, test } from 'vitest';
import { infrastructureOf } from './infrastructure.ts';
import {
  type AddressRules,
  defaultAddressPolicy,
  fixedAddressObstacle,
  gatewayObstacle,
  pairObstacle,
  type SubnetAsked,
  subnetObstacles,
  unprotectedPrefixes,
  wholeSubnet,
} from './rules.ts';

const held = [
  { address: '172.16.0.2' as IpAddress, what: "an endpoint of this cloud's etcd", which: 'etcd ctl' },
  { address: '172.16.1.1' as IpAddress, what: 'a BGP peer of this cloud', which: 'BGPPeer tor' },
  { address: '2001:db8:16::2' as IpAddress, what: 'an address of a host of this cloud', which: 'Node h1' },
];
const rules: AddressRules = {
  policy: { ...defaultAddressPolicy, reservedPrefixes: ['10.250.0.0/16' as Cidr], addressPairPrefixes: ['10.251.0.0/16' as Cidr] },
  infrastructure: infrastructureOf(held),
};
const others = [
  { id: 'web', cidr: '10.65.0.0/16', gatewayIp: '10.65.0.1' },
  { id: 'far', cidr: '192.0.2.8/32', gatewayIp: '198.51.100.1' },
  { id: 'six', cidr: '2001:db8:65::/64', gatewayIp: 'fe80::1' },
];
const asked = (cidr: string, gatewayIp?: string | null, pools: SubnetAsked['pools'] = []): SubnetAsked => ({
  id: 'new',
  cidr,
  gatewayIp: gatewayIp ?? undefined,
  pools,
});
const texts = (subnet: SubnetAsked, mayShare = false, parts = wholeSubnet): string[] =>
  subnetObstacles(subnet, parts, others, rules, mayShare).map(({ kind, text }) => `${kind}: ${text}`);

describe('a subnet', () => {
  test.each([
    ['10.66.0.0/24', '10.66.0.1'],
    ['10.66.0.0/24', null],
    ['10.66.0.0/24', '10.67.0.1'], // the gateway lies outside of the subnet and belongs to nobody
    ['10.64.0.0/16', null], // adjacent to another subnet
    ['2001:db8:66::/64', 'fe80::1'],
    ['2001:db8:66::/64', 'febf::1'],
    ['2001:db8:66::/64', '2001:db8:66::1'],
    ['192.0.2.9/32', '198.51.100.1'], // two subnets may share a gateway: each host has it on its taps
    ['fd00::/8', null],
    ['100.64.0.0/10', null],
  ])('%s with gateway %s is allowed', (cidr, gateway) => expect(texts(asked(cidr, gateway))).toEqual([]));

  test.each([
    ['10.65.3.0/24', null, ["overlap: the subnet's prefix 10.65.3.0/24 overlaps 10.65.0.0/16, another subnet's prefix"]],
    [
      '10.0.0.0/8',
      null,
      ["forbidden: the subnet's prefix 10.0.0.0/8 overlaps 10.250.0.0/16, which is reserved", "overlap: the subnet's prefix 10.0.0.0/8 overlaps 10.65"],
    ],
    ['198.51.100.0/24', null, ["overlap: the subnet's prefix 198.51.100.0/24 overlaps 198.51.100.1, another subnet's gateway"]],
    ['10.250.3.0/24', null, ["forbidden: the subnet's prefix 10.250.3.0/24 overlaps 10.250.0.0/16, which is reserved for the cloud itself"]],
    ['172.16.0.0/24', null, ["forbidden: the subnet's prefix 172.16.0.0/24 holds 172.16.0.2, an endpoint of this cloud's etcd"]],
    [
      '2001:db8::/32',
      null,
      [
        "forbidden: the subnet's prefix 2001:db8::/32 holds 2001:db8:16::2, an address of a host",
        "overlap: the subnet's prefix 2001:db8::/32 overlaps 2001:db8:65::/64",
      ],
    ],
    ['10.66.0.0/24', '172.16.0.2', ["forbidden: the subnet's gateway 172.16.0.2 is an endpoint of this cloud's etcd"]],
    ['10.66.0.0/24', '10.250.0.1', ["forbidden: the subnet's gateway 10.250.0.1 overlaps 10.250.0.0/16, which is reserved"]],
    ['10.66.0.0/24', '10.65.9.9', ["overlap: the subnet's gateway 10.65.9.9 overlaps 10.65.0.0/16, another subnet's prefix"]],
    ['10.66.0.0/24', '169.254.169.254', ["forbidden: the subnet's gateway 169.254.169.254 overlaps 169.254.0.0/16"]],
    ['2001:db8:66::/64', 'ff02::1', ["forbidden: the subnet's gateway ff02::1 overlaps ff00::/8"]],
    ['2001:db8:66::/64', '2001:db8:16::2', ["forbidden: the subnet's gateway 2001:db8:16::2 is an address of a host"]],
    ['2001:db8:66::/64', '::ffff:172.16.0.2', ["forbidden: the subnet's gateway ::ffff:172.16.0.2 is no address"]],
    ['0.0.0.0/0', null, ["forbidden: the subnet's prefix 0.0.0.0/0 overlaps 0.0.0.0/8", "overlap: the subnet's prefix 0.0.0.0/0"]],
    ['::/64', null, ["forbidden: the subnet's prefix ::/64 overlaps ::/127"]], // the initial prefix of prefix delegation
    ['fe80::/64', null, ["forbidden: the subnet's prefix fe80::/64 overlaps fe80::/10"]],
  ])('%s with gateway %s is refused', (cidr, gateway, reasons) =>
    expect(texts(asked(cidr, gateway))).toEqual(reasons.map((reason) => expect.stringMatching(new RegExp(`^${reason.replaceAll('.', '\\.')}`)))),
  );

  test('of an administrator who may share the fabric must not use the single addresses in it', () => {
    const pool = (start: string, end: string) => [{ start, end }];
    expect(texts(asked('172.16.0.0/24', '172.16.0.254', pool('172.16.0.100', '172.16.0.200')), true)).toEqual([]);
    expect(texts(asked('10.250.0.0/24', '10.250.0.1'), true)).toEqual([]);
    expect(texts(asked('172.16.0.0/24', '172.16.0.2'), true)).toEqual(["forbidden: the subnet's gateway 172.16.0.2 is an endpoint of this cloud's etcd"]);
    expect(texts(asked('10.66.0.0/24', '172.16.0.2'), true)).toEqual(["forbidden: the subnet's gateway 172.16.0.2 is an endpoint of this cloud's etcd"]);
    expect(texts(asked('172.16.0.0/24', null, pool('172.16.0.1', '172.16.0.254')), true)).toEqual([
      "forbidden: the subnet's allocation pool 172.16.0.1-172.16.0.254 holds 172.16.0.2, an endpoint of this cloud's etcd",
    ]);
    expect(texts(asked('10.65.0.0/24'), true)).toHaveLength(1); // overlaps with tenants' subnets are refused to administrators too
    expect(texts(asked('224.0.0.0/24'), true)).toHaveLength(1);
  });

  test('is checked only for its new parts', () => {
    const parts = { prefix: false, gateway: true, pools: false };
    expect(texts(asked('10.65.3.0/24', '10.65.3.9'), false, parts)).toEqual([]);
    expect(texts(asked('10.65.3.0/24', '172.16.1.1'), false, parts)).toEqual([expect.stringMatching(/is a BGP peer/)]);
  });
});

describe('an address pair', () => {
  const network = [
    { cidr: '10.66.0.0/24', gatewayIp: '10.66.0.1' },
    { cidr: '10.67.0.0/24', gatewayIp: undefined },
    { cidr: '2001:db8:66::/64', gatewayIp: 'fe80::1' },
    { cidr: '172.16.0.0/24', gatewayIp: undefined }, // an administrator's subnet that contains the fabric
  ];
  test.each([
    '10.66.0.7',
    '10.66.0.7/32',
    '10.66.0.0/24',
    '10.66.0.128/25',
    '10.67.0.1',
    '2001:DB8:66::7',
    '2001:db8:66::/80',
    '10.251.3.3',
    '10.251.0.0/16',
    '172.16.0.9',
  ])('%s may be', (pair) => expect(pairObstacle(pair, network, rules)).toBeUndefined());
  test.each([
    ['ten', /neither an address nor a prefix/],
    ['10.66.0.1', /is the network's gateway/],
    ['10.66.0.0/23', /lies outside of the network's subnets \(10\.66\.0\.0\/24, 10\.67\.0\.0\/24, /],
    ['10.65.3.3', /lies outside/],
    ['10.251.0.0/15', /lies outside/],
    ['0.0.0.0/0', /0\.0\.0\.0\/8, the unspecified/],
    ['0.0.0.0/1', /overlaps/],
    ['128.0.0.0/1', /overlaps/],
    ['::/0', /overlaps/],
    ['255.255.255.255', /broadcast/],
    ['169.254.169.254', /link-local/],
    ['fe80::1', /link-local/],
    ['172.16.0.2', /is an endpoint of this cloud's etcd/],
    ['172.16.0.0/24', /holds 172\.16\.0\.2, an endpoint/],
    ['172.16.1.1', /is a BGP peer/],
    ['::ffff:10.66.0.7', /neither/],
  ])('%s is refused', (pair, reason) => expect(pairObstacle(pair, network, rules)).toMatch(reason));
  test('of a network without subnets lies nowhere', () => expect(pairObstacle('10.66.0.7', [], rules)).toMatch(/subnets: it has none$/));
  test('of a port without port security: its network, and where pairs may be, but nothing around the fabric', () => {
    expect(unprotectedPrefixes(network, rules)).toEqual({
      prefixes: ['10.251.0.0/16', '10.66.0.0/24', '10.67.0.0/24', '2001:db8:66::/64'],
      leftOut: ["the prefix 172.16.0.0/24 holds 172.16.0.2, an endpoint of this cloud's etcd"],
    });
  });
});

test.each([
  ['10.66.0.7', undefined],
  ['172.16.1.1', /is a BGP peer/],
  ['127.0.0.1', /loopback/],
  ['fe80::1', /link-local/],
  ['::ffff:10.66.0.7', /no address that a host can have/],
])('a fixed address %s', (address, reason) => {
  const obstacle = fixedAddressObstacle(address, rules);
  reason ? expect(obstacle).toMatch(reason) : expect(obstacle).toBeUndefined();
});

test.each([
  ['fe80::1', undefined],
  ['172.16.0.2', /^the gateway 172\.16\.0\.2 is/],
  ['::ffff:172.16.0.2', /^the gateway ::ffff:172\.16\.0\.2 is no address/],
  ['169.254.1.1', /^the gateway 169\.254\.1\.1 lies in/],
])('a stored gateway %s', (address, reason) => {
  const obstacle = gatewayObstacle(address, rules);
  reason ? expect(obstacle).toMatch(reason) : expect(obstacle).toBeUndefined();
});
