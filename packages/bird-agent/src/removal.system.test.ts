// Tests with a real etcd with users and real sessions that the agent with RemoveHostsGoneDays removes the Nodes of hosts that have been gone for long.
import type { IpAddress } from '@calico-openstack/addresses';
import {
  birdAgentRights,
  encodeAgentStatus,
  felixLastStatusKey,
  felixStatusKey,
  hostRemovalRights,
  resourceKey,
  rfc3339Seconds,
} from '@calico-openstack/datamodel';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectBird } from './bird/control.ts';
import { reachableOf } from './bird/reachable.ts';
import { countRoutes } from './bird/routes.ts';
import { registerInNode } from './node/registration.ts';
import { openWorld, type TestHost, until, type World } from './testing/world.ts';

let world: World;
let remover: TestHost;
let connected: TestHost;

const dayMs = 86_400_000;
const report = async (host: string, daysAgo: number): Promise<void> => {
  const value = encodeAgentStatus({ time: rfc3339Seconds(new Date(Date.now() - daysAgo * dayMs)), uptimeSeconds: 1, firstUpdate: false });
  await world.etcdProcess.etcdctl('put', felixLastStatusKey(undefined, host), value);
  if (daysAgo === 0) await world.etcdProcess.etcdctl('put', felixStatusKey(undefined, host), value);
};
/** Writes a Node as an agent registered it a year ago. */
const register = async (name: string, address: string, change: (node: { metadata: object }) => object = (node) => node): Promise<unknown> => {
  const birth = () => ({ uid: name, creationTimestamp: rfc3339Seconds(new Date(Date.now() - 365 * dayMs)) });
  const made = registerInNode(undefined, name, { ipv4Address: address, ipv6Address: undefined, asNumber: undefined }, birth);
  if (!made.ok || made.value === undefined) throw new Error('no Node');
  return world.putText('nodes', name, JSON.stringify(change(JSON.parse(made.value))));
};
const names = async (): Promise<readonly string[]> =>
  (await world.etcdProcess.etcdctl('get', '--prefix', '--keys-only', resourceKey({ plural: 'nodes', name: 'h' }).slice(0, -1)))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('/').at(-1)!);

beforeAll(async () => {
  world = await openWorld(2);
  [remover, connected] = world.hosts as [TestHost, TestHost];
  await world.etcdProcess.addUser('remover', 'agent', [...birdAgentRights(undefined, remover.name), ...hostRemovalRights(undefined)]);
  for (const { name, host4 } of [remover, connected]) await register(name, `${host4}/30`);
  await register('gone', '203.0.113.1');
  await register('back-soon', '203.0.113.2');
  await register('never-reported', '203.0.113.3');
  await register('labelled', '203.0.113.4', (node) => ({ ...node, metadata: { ...node.metadata, labels: { rack: '1' } } }));
  for (const [host, daysAgo] of [
    [remover.name, 0],
    [connected.name, 60],
    ['gone', 60],
    ['back-soon', 10],
    ['labelled', 60],
  ] as const)
    await report(host, daysAgo);
});
afterAll(() => world?.close());

test('an agent without the rights removes nothing, and tells; one with them removes what is gone, and no host that has a session, has been gone for less, or holds what an operator has set', async () => {
  connected.startAgent({ RemoveHostsGoneDays: '30' });
  remover.startAgent({ RemoveHostsGoneDays: '30', EtcdUsername: 'remover' });
  await until('a session', async () => (await remover.bird.session('mesh4-host-1'))?.detail === 'Established');
  // Only its routes show that a host behind a route reflector is alive.
  await connected.workloadRoute('add', '10.65.0.8/32');
  const isThere = async () => {
    const control = await connectBird(remover.bird.socket, 5000);
    const found = await reachableOf(control, [connected.host4, '203.0.113.1'] as IpAddress[]);
    const routes = await countRoutes(control, 4, { where: `source = RTS_BGP && bgp_next_hop = ${connected.host4}` });
    control.close();
    return routes === 1 && [...found].join() === connected.host4;
  };
  await until('the remover knows that its neighbour is there', isThere);
  await until('one Node is removed', async () => !(await names()).includes('gone'));
  await until('one is told of', () => /"Node labelled"[^\n]*left alone/.test(remover.agentLog()));
  expect(await names()).toEqual(['back-soon', 'host-0', 'host-1', 'labelled', 'never-reported']);
  await until('the session that never came up is no more', async () => (await remover.bird.session('mesh4-gone')) === undefined);
  await until('no rights', () => connected.agentLog().includes('ETCD_DENIED'));
  await until('that is logged', () => remover.agentLog().includes('a Node was removed'));
});
