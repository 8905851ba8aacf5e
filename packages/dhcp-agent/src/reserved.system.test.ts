// Tests gateways and addresses that others have: a host on a link with its router, etcd and a BGP peer behind the router, and subnets that name these addresses.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { dhclient6, leaseOnce } from './testing/clients.ts';
import type { TestPort } from './testing/etcd-values.ts';
import { subnet } from './testing/facts.ts';
import { openWorld, type World } from './testing/world.ts';

const router = { own: '172.16.9.2', nextHop: '172.16.9.1', own6: '2001:db8:9::2', nextHop6: '2001:db8:9::1' };
const etcdElsewhere = '203.0.113.1';
const bgpPeer = '203.0.113.9';

let world: World;
let birdConfig: string;
beforeEach(async () => {
  world = await openWorld();
  birdConfig = join(world.directory, 'bird.conf');
  writeFileSync(birdConfig, '');
  const fabric = world.guest('tapfabric', { mac: 'fa:16:3e:ff:00:01' });
  world.host('ip', 'link', 'set', 'tapfabric', 'down');
  world.host('ip', 'link', 'set', 'tapfabric', 'name', 'eth0', 'up');
  world.host('ip', 'addr', 'add', `${router.own}/24`, 'dev', 'eth0');
  world.host('ip', 'addr', 'add', `${router.own6}/64`, 'dev', 'eth0', 'nodad');
  fabric.run('ip', 'addr', 'add', `${router.nextHop}/24`, 'dev', 'eth0');
  fabric.run('ip', 'addr', 'add', `${router.nextHop6}/64`, 'dev', 'eth0', 'nodad');
  for (const address of [etcdElsewhere, bgpPeer, '203.0.113.20']) fabric.run('ip', 'addr', 'add', `${address}/32`, 'dev', 'lo');
  world.host('ip', 'route', 'add', 'default', 'via', router.nextHop);
  world.host('ip', '-6', 'route', 'add', 'default', 'via', router.nextHop6);
  await startAgent();
});
afterEach(() => world.close());

const startAgent = (more = {}): Promise<void> =>
  world.startAgent('', {
    calico: `bird_config_file = ${birdConfig}\netcd_endpoints = http://127.0.0.1:${world.etcd.clientPort},http://${etcdElsewhere}:2379`,
    ...more,
  });

const port = (number: number, addresses: readonly string[]): TestPort => ({
  id: `port-${number}`,
  tap: `tap0000000${number}-aa`,
  mac: `fa:16:3e:00:00:0${number}`,
  networkId: 'net-a',
  addresses,
});
const onTap = (tap: string): string[] => [...world.host('ip', 'addr', 'show', 'dev', tap).matchAll(/inet6? (\S+)\//g)].map(([, address]) => address!);
const reaches = (address: string): string => world.host('ping', '-c', '1', '-W', '5', address);

test.each([
  {
    what: 'its router',
    cidr: '172.16.9.0/24',
    gatewayIp: router.nextHop,
    address: '172.16.9.77',
    says: 'is the next hop of a route of this host (eth0)',
    checked: [router.nextHop],
  },
  { what: 'itself', cidr: '172.16.9.0/24', gatewayIp: router.own, address: '172.16.9.77', says: 'is an address of this host (eth0)', checked: [] },
  { what: 'its etcd', cidr: '203.0.113.0/24', gatewayIp: etcdElsewhere, address: '203.0.113.77', says: 'is an etcd endpoint', checked: [etcdElsewhere] },
  {
    what: 'a loopback address',
    cidr: '10.65.0.0/24',
    gatewayIp: '127.0.0.53',
    address: '10.65.0.11',
    says: 'lies in 127.0.0.0/8, the loopback addresses',
    checked: [],
  },
  {
    what: 'its IPv6 router',
    cidr: '2001:db8:9::/64',
    gatewayIp: router.nextHop6,
    address: '2001:db8:9::77',
    says: 'is the next hop of a route of this host (eth0)',
    checked: [router.nextHop6],
  },
])(
  'a subnet whose gateway is $what: it does not come to the tap, the host reaches it, and guests get their addresses',
  async ({ cidr, gatewayIp, address, says, checked }) => {
    await world.putSubnet('s', subnet(cidr, { gatewayIp }));
    const one = port(1, [address]);
    const guest = await world.guestOf(one);
    if (address.includes(':')) expect((await dhclient6(guest))?.['new_ip6_address']).toBe(address);
    else expect(await leaseOnce(guest)).toMatchObject({ event: 'bound', ip: address });
    expect(onTap(one.tap)).not.toContain(gatewayIp);
    await world.until('the log says why', () => world.logged(`the host does not take ${gatewayIp}, the gateway of ${cidr}, on the tap: it ${says}`));
    for (const other of checked) reaches(other);
  },
);

test('a gateway is removed from the tap as soon as BIRD names it as a peer, and comes back when no route leads through it and BIRD names no peer', async () => {
  world.host('ip', 'route', 'add', '198.51.100.0/24', 'via', bgpPeer, 'dev', 'eth0', 'onlink');
  await world.putSubnet('s', subnet('203.0.113.0/24', { gatewayIp: bgpPeer }));
  const one = port(1, ['203.0.113.77']);
  await world.guestOf(one);
  await world.until('the tap has another', () => onTap(one.tap).includes('203.0.113.0'));
  world.host('ip', 'route', 'del', '198.51.100.0/24');
  await world.until('the tap has the gateway', () => onTap(one.tap).includes(bgpPeer));
  writeFileSync(birdConfig, `protocol bgp tor {\n  neighbor ${bgpPeer} as 65000;\n}\n`);
  await world.until('it is off', () => !onTap(one.tap).includes(bgpPeer));
  reaches(bgpPeer);
  writeFileSync(birdConfig, '');
  await world.until('it is back', () => onTap(one.tap).includes(bgpPeer));
});

test('an address that an earlier agent left on a tap, and that cuts this host off from etcd, is removed before etcd has been read', async () => {
  await world.putSubnet('s', subnet('203.0.113.0/24', { gatewayIp: '203.0.113.20' }));
  const one = port(1, ['203.0.113.77']);
  await world.guestOf(one);
  await world.until('the tap has the gateway', () => onTap(one.tap).includes('203.0.113.20'));
  await world.killAgent();
  await world.etcd.kill();
  world.host('ip', 'addr', 'add', `${etcdElsewhere}/32`, 'dev', one.tap, 'scope', 'link', 'noprefixroute');
  expect(world.host('ip', 'route', 'get', etcdElsewhere)).toContain('local');
  await startAgent({ etcdIsAway: true });
  await world.until('it is off', () => !onTap(one.tap).includes(etcdElsewhere));
  reaches(etcdElsewhere);
  expect(onTap(one.tap)).toContain('203.0.113.20'); // the allowed address is still served
});

test('addresses that are the host’s, its router’s or etcd’s are leased to nobody, and the port’s others are', async () => {
  await world.putSubnet('s', subnet('172.16.9.0/24', { gatewayIp: '172.16.9.5' }));
  await world.putSubnet('t', subnet('203.0.113.0/24', { gatewayIp: '203.0.113.20' }));
  const one = port(1, [etcdElsewhere, router.own, router.nextHop, '172.16.9.77']);
  await world.putPort(one);
  const guest = world.guest(one.tap, { mac: one.mac, addresses: ['172.16.9.77'] });
  expect(await leaseOnce(guest)).toMatchObject({ event: 'bound', ip: '172.16.9.77' });
  for (const address of [etcdElsewhere, router.own, router.nextHop])
    await world.until(`${address} is named in the log`, () => world.logged(`${address} is not handed out: it is`));
});
