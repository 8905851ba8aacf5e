// Tests hosts' Nodes: a Node that a former host of the same address has left behind, an uplink that is down for a moment, and a Node that cannot be decoded.
import { rmSync } from 'node:fs';
import { agentStatusKey, resourceKey, workloadEndpointName } from '@calico-openstack/datamodel';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWorld, type TestHost, until, type World } from './testing/world.ts';

/** The hold time is long, so that on a busy machine no session ends because an outage takes longer than planned. */
const settings = { BgpHoldTimeSecs: '30' };

let world: World;
let a: TestHost;
let b: TestHost;

const established = (host: TestHost, symbol: string): Promise<unknown> =>
  until(`${host.name}: ${symbol}`, async () => ((await host.bird.session(symbol))?.detail === 'Established' ? true : undefined));
const told = (host: TestHost, words: string): Promise<unknown> =>
  until(`"${words}" in the log of ${host.name}`, () => host.agentLog().includes(words) || undefined);
/** The facts that must not change: both ends' sessions, and the Node. */
const condition = async (): Promise<unknown> => [
  await Promise.all([a.bird.session('mesh4-host-1'), a.bird.session('mesh6-host-1'), b.bird.session('mesh4-host-0'), b.bird.session('mesh6-host-0')]),
  await world.get('nodes', a.name),
];

beforeAll(async () => {
  world = await openWorld(2);
  [a, b] = world.hosts as [TestHost, TestHost];
  // Host a had another name and another AS before.
  const was = { bgp: { ipv4Address: `${a.host4}/30`, ipv6Address: `${a.host6}/64`, asNumber: 64999 } };
  await world.put('nodes', 'former', was, { creationTimestamp: '2020-01-01T00:00:00Z' });
  b.startAgent(settings);
  await until('the former host is believed while nobody else is there', () => b.bird.session('mesh4-former'));
  a.startAgent(settings);
  await Promise.all(['mesh4-host-1', 'mesh6-host-1'].map((symbol) => established(a, symbol)));
});
afterAll(() => world?.close());

test('each agent’s heartbeat is in etcd, under a lease, for Neutron’s list of agents', async () => {
  for (const { name } of [a, b]) {
    const leases = await until(`the heartbeat of ${name}`, async () => {
      const said = await world.etcdProcess.etcdctl('get', agentStatusKey(undefined, name, 'calico-bird-agent'), '-w', 'json');
      return (JSON.parse(said) as { kvs?: { lease?: number }[] }).kvs?.map(({ lease = 0 }) => lease);
    });
    expect(leases.map((lease) => lease !== 0)).toEqual([true]);
  }
});

test('the Node of a host’s former name loses its addresses to the host that is alive, and that is told on both', async () => {
  for (const [host, other] of [
    [a, 1],
    [b, 0],
  ] as const)
    await until(`the sessions of ${host.name}, and no others`, async () => {
      const names = (await host.bird.sessions()).map(({ name }) => name).sort();
      return names.join() === `mesh4-host-${other},mesh6-host-${other}` || undefined;
    });
  await told(a, `${a.host4} is the address of this host, ${a.name}`);
  await told(b, `${a.host4} is the address of another Node, ${a.name}`);
});

test('a Node that is added with a living host’s address moves nothing', async () => {
  const before = await condition();
  await world.put('nodes', 'added', { bgp: { ipv4Address: `${a.host4}/30` } }, { creationTimestamp: '2019-01-01T00:00:00Z' });
  await Promise.all([a, b].map((host) => told(host, '"Node added"')));
  expect(await condition()).toEqual(before);
  await world.remove('nodes', 'added');
});

test('an uplink that is down for two seconds changes no address and ends no session, though a management interface is up', async () => {
  await a.ip('link', 'add', 'mgmt', 'type', 'ifb');
  await a.ip('link', 'set', 'mgmt', 'up');
  await a.ip('addr', 'add', '10.99.0.1/24', 'dev', 'mgmt');
  await a.ip('route', 'add', 'default', 'via', '10.99.0.254', 'dev', 'mgmt', 'metric', '5000');
  const [sessions, node] = (await condition()) as [readonly unknown[], string];
  await a.ip('link', 'set', 'eth0', 'down');
  await new Promise((resolve) => setTimeout(resolve, 2000)); // the duration of the outage
  await a.ip('link', 'set', 'eth0', 'up');
  await a.ip('route', 'add', 'default', 'via', a.router4);
  await a.workloadRoute('add', '10.65.0.4/32');
  await until('b hears of a workload that came meanwhile', async () => ((await b.routesTo('10.65.0.4/32')).length > 0 ? true : undefined));
  const [sessionsAfter, nodeAfter] = (await condition()) as [readonly unknown[], string];
  expect(nodeAfter).toBe(node);
  expect([sessionsAfter[0], sessionsAfter[2]]).toEqual([sessions[0], sessions[2]]); // the kernel has taken the IPv6 address away
});

test('a Node that becomes unreadable keeps its sessions with all others, and that is told', async () => {
  await a.ip('-6', 'addr', 'add', `${a.host6}/64`, 'dev', 'eth0', 'nodad');
  await a.ip('-6', 'route', 'add', 'default', 'via', a.router6);
  // Only a route that comes by it shows that the session is not the one that the outage has cut.
  await a.workloadRoute('add', '2001:db8:a::4/128');
  await until('b hears of a workload by IPv6', async () => (await b.routesTo('2001:db8:a::4/128')).length > 0 || undefined);
  await Promise.all([established(a, 'mesh6-host-1'), established(b, 'mesh6-host-0')]);
  expect(await a.endAgent()).toBe(0); // the running agent would repair its Node
  const before = await Promise.all([b.bird.session('mesh4-host-0'), b.bird.session('mesh6-host-0')]);
  await world.put('nodes', a.name, { bgp: { ipv4Address: `${a.host4}/30`, asNumber: 'AS1' } });
  await told(b, 'AS1');
  await world.put('bgpconfigurations', 'default', { nodeToNodeMeshEnabled: true });
  await world.put('bgpconfigurations', 'default', { nodeToNodeMeshEnabled: 'off' });
  await told(b, 'nodeToNodeMeshEnabled');
  await world.put('nodes', 'joining', { bgp: { ipv4Address: '198.51.100.10' } });
  await until('a host that joins meanwhile', () => b.bird.session('mesh4-joining'));
  expect(await Promise.all([b.bird.session('mesh4-host-0'), b.bird.session('mesh6-host-0')])).toEqual(before);
  // A restart of the agent, for an upgrade for example, does not put the invalid value into effect.
  expect(await b.endAgent()).toBe(0);
  await world.put('bgpconfigurations', 'default', { nodeToNodeMeshEnabled: 'no' });
  b.startAgent(settings);
  await world.put('nodes', 'joining-later', { bgp: { ipv4Address: '198.51.100.11' } });
  await until('a host that joins after a restart', () => b.bird.session('mesh4-joining-later'));
  expect(await Promise.all([b.bird.session('mesh4-host-0'), b.bird.session('mesh6-host-0')])).toEqual(before);
  // Nor does a start on a new host, because etcd still has the former value in its history.
  rmSync(`${a.bird.configFile}.understood`);
  a.startAgent(settings);
  await until('the host that joined later, on one that knows nothing of former values', () => a.bird.session('mesh4-joining-later'));
});

test('endpoints of a host that is called so but for case are reported, with the option to set, to an agent that may read them', async () => {
  await a.endAgent();
  const name = workloadEndpointName({ host: a.name.toUpperCase(), orchestrator: 'openstack', workload: 'vm', endpoint: 'port' });
  await world.etcdProcess.etcdctl('put', resourceKey({ plural: 'workloadendpoints', namespace: 'openstack', name }), '{}');
  a.startAgent({ ...settings, EtcdUsername: 'root', EtcdPassword: 'root' });
  await told(a, `set Hostname in bird-agent.cfg to that name host=${a.name} other=${a.name.toUpperCase()}`);
});
