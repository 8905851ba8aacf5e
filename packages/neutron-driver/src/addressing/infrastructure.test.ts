import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { bgpPeerAddresses, etcdAddresses, type HeldAddress, infrastructureOf, nodeAddresses, workloadPeeringAddresses } from './infrastructure.ts';
import { knownInfrastructure } from './known-infrastructure.ts';
import { spanOf } from './span.ts';

const value = (text: unknown): Uint8Array => new TextEncoder().encode(typeof text === 'string' ? text : JSON.stringify(text));
const addresses = (held: readonly HeldAddress[]): string[] => held.map(({ address }) => address);
const root = '/calico/resources/v3/projectcalico.org';

test('every address of a Node counts, and other texts are skipped', () => {
  const spec = {
    bgp: { ipv4Address: '10.0.0.1/24', ipv6Address: '2001:DB8::1/64', ipv4IPIPTunnelAddr: '10.9.0.1' },
    ipv4VXLANTunnelAddr: '10.9.0.2',
    addresses: [{ address: '10.0.0.3' }, { address: 7 }, 'x', null],
  };
  expect(addresses(nodeAddresses({ name: 'h1', value: value({ spec }) }))).toEqual(['10.0.0.1', '2001:db8::1', '10.9.0.1', '10.9.0.2', '10.0.0.3']);
  for (const odd of ['', 'no JSON', '[]', '{}', '{"spec":7}', '{"spec":{"bgp":[],"addresses":{}}}', '{"spec":{"bgp":{"ipv4Address":{"toString":1}}}}'])
    expect(nodeAddresses({ name: 'h1', value: value(odd) })).toEqual([]);
});

test.each([
  ['10.0.0.254', '10.0.0.254'],
  ['10.0.0.254:1790', '10.0.0.254'],
  ['2001:db8::fe', '2001:db8::fe'],
  ['[2001:db8::fe]:1790', '2001:db8::fe'],
])('a BGPPeer at %s', (peerIP, address) => expect(addresses(bgpPeerAddresses({ name: 'tor', value: value({ spec: { peerIP } }) }))).toEqual([address]));

test('the addresses from which hosts speak BGP with workloads count, as BGPConfiguration default names them', () => {
  const of = (name: string, spec: unknown) => addresses(workloadPeeringAddresses({ name, value: value({ spec }) }));
  expect(of('default', { localWorkloadPeeringIPV4: '10.9.9.9', localWorkloadPeeringIPV6: '2001:DB8:9::9' })).toEqual(['10.9.9.9', '2001:db8:9::9']);
  expect(of('node.h1', { localWorkloadPeeringIPV4: '10.9.9.9' })).toEqual([]);
  expect(of('default', { localWorkloadPeeringIPV4: 7, localWorkloadPeeringIPV6: '10.9.9.9' })).toEqual([]);
});

test('an address is found anywhere within a span, and none outside', () => {
  const infrastructure = infrastructureOf(etcdAddresses(['10.0.0.9', '10.0.1.0', '9.255.255.255', '2001:db8::9', '10.0.0.9'], 'ctl'));
  const within = (cidr: string): string | undefined => infrastructure.within(spanOf(cidr as Cidr))?.address;
  expect(infrastructure.size).toBe(4);
  expect(
    [
      '10.0.0.0/24',
      '10.0.0.8/30',
      '10.0.0.9/32',
      '10.0.1.0/24',
      '9.0.0.0/8',
      '2001:db8::/64',
      '10.0.2.0/24',
      '10.0.0.0/29',
      '2001:db8:1::/64',
      '11.0.0.0/8',
    ].map(within),
  ).toEqual(['10.0.0.9', '10.0.0.9', '10.0.0.9', '10.0.1.0', '9.255.255.255', '2001:db8::9', undefined, undefined, undefined, undefined]);
  expect(infrastructure.at('10.0.0.9' as IpAddress)?.which).toBe('etcd ctl');
});

test('addresses are read once for many calls, again when they are old, and stay while etcd is away', async () => {
  const { etcd } = fakeEtcd();
  const state = { nowMs: 0, reads: 0, away: false, silent: false, named: ['10.0.0.5'] };
  const failures: string[] = [];
  const known = knownInfrastructure({
    etcd: {
      ...etcd,
      members: () =>
        state.silent ? Promise.reject(new Error('denied')) : Promise.resolve([{ name: 'm', clientUrls: ['http://10.0.0.6:2379', '10.0.0.7:23790', 'no url'] }]),
      range: (...args) => {
        state.reads += 1;
        return state.away ? Promise.reject(new Error('away')) : etcd.range(...args);
      },
    },
    endpoints: ['http://10.0.0.4:2379', 'https://[2001:db8::4]:2379', 'http://ctl:2379'],
    resolve: async () => (state.named.length === 0 ? Promise.reject(new Error('ENOTFOUND')) : state.named),
    clock: { nowMs: () => state.nowMs, pause: () => new Promise(() => undefined) },
    onFailure: (what) => failures.push(what),
  });
  await etcd.transact([], [{ put: `${root}/nodes/h1`, value: JSON.stringify({ spec: { bgp: { ipv4Address: '10.0.0.1/24' } } }) }]);
  const at = async (address: string, age: 'fresh' | 'recent' = 'fresh') => (await known[age]()).at(address as IpAddress)?.which;
  await Promise.all([known.fresh(), known.fresh(), known.recent()]);
  expect(state.reads).toBe(3); // one each for the Nodes, the BGP peers and the BGPConfigurations
  expect([await at('10.0.0.4'), await at('2001:db8::4'), await at('10.0.0.5'), await at('10.0.0.1')]).toEqual([
    'etcd 10.0.0.4',
    'etcd 2001:db8::4',
    'etcd ctl',
    'Node h1',
  ]);
  await etcd.transact([], [{ put: `${root}/bgpconfigurations/default`, value: JSON.stringify({ spec: { localWorkloadPeeringIPV4: '10.9.9.9' } }) }]);
  await etcd.transact([], [{ put: `${root}/bgppeers/tor`, value: JSON.stringify({ spec: { peerIP: '10.0.0.254' } }) }]);
  state.nowMs = 5000;
  expect(await at('10.0.0.254', 'recent')).toBeUndefined();
  expect([await at('10.0.0.254'), await at('10.9.9.9')]).toEqual(['BGPPeer tor', 'BGPConfiguration default']);
  state.named = [];
  state.nowMs = 65_000;
  expect(await at('10.0.0.5')).toBe('etcd ctl'); // its name does not resolve now, so its former address counts
  expect(failures).toEqual([expect.stringMatching(/host name ctl/)]);
  state.silent = true;
  state.nowMs = 70_000;
  expect([await at('10.0.0.6'), await at('10.0.0.7')]).toEqual(['etcd 10.0.0.6', 'etcd 10.0.0.7']); // the members as etcd last listed them
  state.away = true;
  state.nowMs = 100_000;
  expect(await at('10.0.0.254', 'recent')).toBe('BGPPeer tor');
  await expect(known.fresh()).rejects.toThrow('away');
});
