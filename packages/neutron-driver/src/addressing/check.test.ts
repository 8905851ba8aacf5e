import type { Cidr } from '@calico-openstack/addresses';
import { silentLog } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { announcement, database } from '../testing/database.ts';
import { networkId, subnetRow } from '../testing/rows.ts';
import { createAddressChecks } from './check.ts';
import { etcdAddresses, infrastructureOf } from './infrastructure.ts';
import { type AddressPolicy, defaultAddressPolicy } from './rules.ts';

type Fields = Record<string, unknown>;

function setUp(policy: Partial<AddressPolicy> = {}) {
  const db = database();
  const state = { asked: 0 };
  const infrastructure = infrastructureOf(etcdAddresses(['172.16.0.2'], 'ctl'));
  const known = { fresh: async () => infrastructure, recent: async () => infrastructure };
  const checks = createAddressChecks({ policy: { ...defaultAddressPolicy, ...policy }, infrastructure: known, log: silentLog() });
  const source = {
    ...db.source,
    subnets: (...args: Parameters<typeof db.source.subnets>) => {
      state.asked += 1;
      return db.source.subnets(...args);
    },
  };
  db.tables.subnets.set('web', subnetRow({ id: 'web', network_id: 'web-net', cidr: '10.65.0.0/16' }));
  const subnet = (fields: Fields = {}): Fields => ({
    id: 'new',
    network_id: networkId,
    ip_version: 4,
    cidr: '10.66.0.0/24',
    gateway_ip: null,
    allocation_pools: [],
    ...fields,
  });
  const before = (kind: string, original: Fields | null, current: Fields | null, with_: Fields = {}): Promise<void> =>
    checks.before({ ...announcement(kind, 'new', original, current), ...with_ }, source);
  return { checks, db, state, subnet, before, source, after: (current: Fields) => checks.after(announcement('subnet', 'new', null, current), source) };
}
const refusal = (message: RegExp) => ({ code: 'REFUSED', message: expect.stringMatching(message) });

test('a subnet that overlaps another is refused, or allowed when address_overlaps is warn; forbidden addresses are refused in either case', async () => {
  const { before, subnet } = setUp();
  await expect(before('subnet', null, subnet({ cidr: '10.65.1.0/24' }))).rejects.toMatchObject(
    refusal(/10\.65\.1\.0\/24 overlaps 10\.65\.0\.0\/16.*choose another$/),
  );
  const lenient = setUp({ addressOverlaps: 'warn' });
  await lenient.before('subnet', null, subnet({ cidr: '10.65.1.0/24' }));
  await lenient.after(subnet({ cidr: '10.65.1.0/24' }));
  await expect(lenient.before('subnet', null, subnet({ gateway_ip: '172.16.0.2' }))).rejects.toMatchObject(refusal(/etcd/));
});

test('only an administrator may share the fabric, and only where the operator says so', async () => {
  const reserved = { reservedPrefixes: ['172.16.0.0/12' as Cidr] };
  const fabric = { cidr: '172.16.0.0/24', gateway_ip: '172.16.0.254' };
  for (const [policy, admin, passes] of [
    [{ ...reserved, reservedPrefixSubnets: 'administrators' }, true, true],
    [{ ...reserved, reservedPrefixSubnets: 'administrators' }, false, false],
    [reserved, true, false],
  ] as const) {
    const { before, subnet } = setUp(policy);
    const answer = before('subnet', null, subnet(fabric), { admin });
    await (passes ? expect(answer).resolves.toBeUndefined() : expect(answer).rejects.toMatchObject(refusal(/172\.16\.0\.0\/12, which is reserved/)));
  }
});

test('overlays of other mechanism drivers may have any addresses, and do not conflict with others', async () => {
  const { before, subnet, db } = setUp();
  db.types.set('overlay', ['vxlan']);
  db.tables.subnets.set('new', subnetRow({ id: 'new', network_id: 'overlay', cidr: '10.65.0.0/24' }));
  await before('subnet', null, subnet({ network_id: 'overlay', cidr: '10.65.0.0/24' }));
  db.tables.subnets.set('theirs', subnetRow({ id: 'theirs', network_id: 'overlay', cidr: '10.66.0.0/24' }));
  db.tables.subnets.delete('new');
  await before('subnet', null, subnet());
  const pair = { network_id: 'overlay', fixed_ips: [], allowed_address_pairs: [{ ip_address: '0.0.0.0/0' }] };
  await before('port', null, pair);
});

test('no question is asked for a port without pairs, for one whose pairs do not change, or for other fields of a subnet', async () => {
  const { before, subnet, state, checks } = setUp();
  const port = { network_id: networkId, fixed_ips: [{ ip_address: '10.66.0.7' }], allowed_address_pairs: [] };
  const paired = { ...port, allowed_address_pairs: [{ ip_address: '192.0.2.1' }] };
  await before('port', null, port);
  await before('port', paired, { ...paired, name: 'b' });
  await before('port', paired, port);
  await before('port', paired, null);
  await before('subnet', subnet(), { ...subnet(), name: 'b' });
  await before('network', null, { name: 'n' });
  expect(state.asked).toBe(0);
  expect(checks.asks(announcement('port', 'new', null, port))).toBe(false);
  expect(checks.asks(announcement('port', 'new', null, paired))).toBe(true);
  await expect(before('port', port, paired)).rejects.toMatchObject(refusal(/it has none/));
  expect(state.asked).toBe(1);
});

test('a fixed address of the cloud itself is refused to any port, without asking Neutron', async () => {
  const { before, state } = setUp();
  const port = { network_id: networkId, fixed_ips: [{ ip_address: '172.16.0.2' }], allowed_address_pairs: [] };
  await expect(before('port', null, port)).rejects.toMatchObject(refusal(/the address 172\.16\.0\.2 is an endpoint/));
  await before('port', port, { ...port, name: 'b' }); // the port has had its addresses before
  expect(state.asked).toBe(0);
});

test('a rollback of Neutron’s is not checked', async () => {
  const { before, subnet } = setUp();
  await before('subnet', null, subnet({ cidr: '10.65.1.0/24' }), { rollback: true });
});

test('of two subnets that did not see each other before, the one that sees the other after its commit is refused', async () => {
  const { before, after, subnet, db } = setUp();
  const ours = subnet({ cidr: '10.67.0.0/24' });
  await before('subnet', null, ours);
  db.tables.subnets.set('new', subnetRow({ id: 'new', cidr: '10.67.0.0/24' }));
  await after(ours);
  db.tables.subnets.set('theirs', subnetRow({ id: 'theirs', network_id: 'other', cidr: '10.67.0.0/16' }));
  await expect(after(ours)).rejects.toMatchObject(refusal(/10\.67\.0\.0\/24 overlaps 10\.67\.0\.0\/16.*made at the same moment/));
});
