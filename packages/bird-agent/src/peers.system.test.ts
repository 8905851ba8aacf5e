// Tests BGPPeers: a top-of-rack router that knows nothing of Calico, a route reflector, and passwords.
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openWorld, routerAs, routerConfiguration, startBirdIn, type TestHost, until, type World } from './testing/world.ts';

let world: World;
let a: TestHost;
let b: TestHost;
let c: TestHost;
let passwords: string;

const established = (host: TestHost, symbol: string): Promise<unknown> =>
  until(`${host.name}: ${symbol}`, async () => ((await host.bird.session(symbol))?.detail === 'Established' ? true : undefined));
const gone = (host: TestHost, symbol: string): Promise<unknown> =>
  until(`${host.name} without ${symbol}`, async () => ((await host.bird.session(symbol)) === undefined ? true : undefined));
const hasRoute = (host: Pick<TestHost, 'ip'>, prefix: string): Promise<unknown> =>
  until(`a route to ${prefix}`, async () => ((await host.ip(...(prefix.includes(':') ? ['-6'] : []), 'route', 'show', prefix)) !== '' ? true : undefined));
const hasNoRoute = (host: TestHost, prefix: string): Promise<unknown> =>
  until(`no route to ${prefix}`, async () => ((await host.routesTo(prefix)).length === 0 ? true : undefined));

beforeAll(async () => {
  world = await openWorld(3);
  [a, b, c] = world.hosts as [TestHost, TestHost, TestHost];
  passwords = join(world.directory, 'passwords.cfg');
  writeFileSync(passwords, '[bgp]\nmesh = s3cret; #{}\n');
  chmodSync(passwords, 0o600);
  await startBirdIn(
    world.router.namespace,
    world.router.bird,
    routerConfiguration(world, 'protocol static { ipv4; route 203.0.113.0/24 blackhole; route 0.0.0.0/0 blackhole; }'),
  );
  // The operator writes only the reflector's cluster id and label. The agent fills in its addresses.
  await world.put('nodes', c.name, { bgp: { routeReflectorClusterID: '1.0.0.1' } }, { labels: { reflector: 'yes' } });
  // One BIRD runs as the distribution starts it, with its own configuration. The agents start the others.
  await startBirdIn(a.namespace, a.bird, 'log syslog all;\nrouter id 9.9.9.9;\nprotocol device {}\n');
  a.startAgent({ BgpPasswordFile: passwords, StartBird: 'false' });
  for (const host of [b, c]) host.startAgent({ BgpPasswordFile: passwords });
  await Promise.all(['mesh4-host-1', 'mesh6-host-1'].map((symbol) => established(a, symbol)));
  await Promise.all([a.workloadRoute('add', '10.65.0.4/32'), a.workloadRoute('add', '2001:db8:a::4/128'), b.workloadRoute('add', '10.65.0.8/32')]);
  await hasRoute(b, '10.65.0.4/32');
});
afterAll(() => world?.close());

test('what an operator said of a Node stays, and what is missing is filled in', async () => {
  expect(JSON.parse(await world.get('nodes', c.name))).toMatchObject({
    metadata: { labels: { reflector: 'yes' } },
    spec: { bgp: { routeReflectorClusterID: '1.0.0.1', ipv4Address: `${c.host4}/30` } },
  });
});

test('a router next door hears of workloads and of nothing else; its routes are programmed, and the mesh is not touched', async () => {
  const before = await Promise.all([a.bird.session('mesh4-host-1'), a.bird.session('mesh6-host-1')]);
  await Promise.all([
    world.put('bgppeers', 'tor-4', { node: a.name, peerIP: a.router4, asNumber: routerAs }),
    world.put('bgppeers', 'tor-6', { node: a.name, peerIP: a.router6, asNumber: routerAs }),
  ]);
  await Promise.all(['peer4-tor-4', 'peer6-tor-6'].map((symbol) => established(a, symbol)));
  await Promise.all([hasRoute(world.router, '10.65.0.4/32'), hasRoute(world.router, '2001:db8:a::4/128'), hasRoute(a, '203.0.113.0/24')]);
  expect(await a.routesTo('203.0.113.0/24')).toEqual([`203.0.113.0/24 via ${a.router4} dev eth0 proto bird metric 768`]);
  const heard = (await world.router.bird.ask('show route protocol tor00')).match(/^\S+\/\d+/gm);
  expect(heard).toEqual(['10.65.0.4/32']); // routes learned in the mesh are not announced either
  expect(await a.bird.ask("show protocols all 'peer4-tor-4'")).toMatch(/Session: +external AS4/); // the session is direct, not multihop
  expect(await Promise.all([a.bird.session('mesh4-host-1'), a.bird.session('mesh6-host-1')])).toEqual(before);
  await until('the session in the metrics', async () => (await a.metric('calico_bird_agent_session_established{session="peer4-tor-4"}')) === 1 || undefined);
  await until('its routes', async () => (await a.metric('calico_bird_agent_session_routes{session="peer4-tor-4",routes="imported"}')) > 0 || undefined);
});

test('--show tells people and programs of the sessions', async () => {
  const shown = JSON.parse(await a.show('--json')) as { sessions: { name: string }[] };
  expect(shown.sessions.find(({ name }) => name === 'peer4-tor-4')).toMatchObject({
    neighbor: a.router4,
    asNumber: routerAs,
    state: 'Established',
    routes: { exported: 1 },
  });
  expect(await a.show()).toMatch(/^\d+ sessions, \d+ established\n[\s\S]*peer4-tor-4 +192\.0\.2\.2 AS 64500 +Established/);
  await expect(a.show('--bad')).rejects.toMatchObject({ code: 2 });
});

test('a later BGPPeer takes no session from an earlier one, and what cannot come up is told; each problem ends by itself', async () => {
  const symbols = ['peer4-tor-4', 'peer6-tor-6', 'mesh4-host-1', 'mesh6-host-1'];
  const before = await Promise.all(symbols.map((symbol) => a.bird.session(symbol)));
  const told = (what: string, name: string): number =>
    a
      .agentLog()
      .split('\n')
      .filter((line) => line.includes(what) && line.includes(`resource="${name}"`)).length;
  const [begun, over] = ['is not applied as written', 'a problem with a resource or setting is over'];
  const created = (month: number) => ({ creationTimestamp: `2026-0${month}-01T00:00:00Z` });
  const standing = ['BGPPeer a-later-one', 'BGPConfiguration node.host-0', 'BGPPeer other-uplink'];

  await world.put('bgppeers', 'tor-4', { node: a.name, peerIP: a.router4, asNumber: routerAs }, created(1));
  await world.put('bgppeers', 'a-later-one', { node: a.name, peerIP: a.router4, asNumber: 64999 }, created(2));
  await world.put('bgpconfigurations', 'node.host-0', { nodeToNodeMeshEnabled: false });
  await a.ip('address', 'add', '198.18.0.1/30', 'dev', 'eth0'); // a second uplink, whose network the Node's address is not in
  await world.put('bgppeers', 'other-uplink', { node: a.name, peerIP: '198.18.0.2', asNumber: routerAs });
  for (const name of standing) await until(`a word on ${name}`, () => told(begun, name) > 0 || undefined);
  await until('what helps', () => a.agentLog().includes('sourceAddress: None lets the host choose its address there') || undefined);

  await world.put('bgpconfigurations', 'default', { nodeToNodeMeshEnabled: 'off' });
  await until('a word on BGPConfiguration default', () => told(begun, 'BGPConfiguration default') > 0 || undefined);
  await world.remove('bgpconfigurations', 'default');
  await until('the end of that', () => told(over, 'BGPConfiguration default') > 0 || undefined);
  expect(standing.map((name) => told(over, name))).toEqual([0, 0, 0]);
  expect(await Promise.all(symbols.map((symbol) => a.bird.session(symbol)))).toEqual(before);

  for (const name of ['a-later-one', 'other-uplink']) await world.remove('bgppeers', name);
  await world.remove('bgpconfigurations', 'node.host-0');
  await a.ip('address', 'del', '198.18.0.1/30', 'dev', 'eth0');
  for (const name of standing) await until(`the end of ${name}`, () => told(over, name) > 0 || undefined);
});

test('a missing filter stops everything, the session stays; the filter then decides, without a flap', async () => {
  const before = await a.bird.session('peer4-tor-4');
  await world.put('bgppeers', 'tor-4', { node: a.name, peerIP: a.router4, asNumber: routerAs, filters: ['no-quarter'] });
  await hasNoRoute(a, '203.0.113.0/24');
  await until('nothing heard', async () => ((await world.router.bird.ask('show route protocol tor00')).includes('10.65.0.4') ? undefined : true));
  await world.put('bgpfilters', 'no-quarter', {
    importV4: [{ action: 'Reject', cidr: '203.0.113.0/24', matchOperator: 'In' }],
    exportV4: [
      {
        action: 'Accept',
        cidr: '0.0.0.0/0',
        matchOperator: 'In',
        operations: [{ addCommunity: { value: '65000:7' } }, { prependASPath: { prefix: [64999] } }],
      },
    ],
  });
  const heard = await until('the router to hear again', async () => {
    const shown = await world.router.bird.ask('show route all protocol tor00');
    return shown.includes('10.65.0.4') ? shown : undefined;
  });
  expect(heard).toContain('(65000,7)');
  expect(heard).toMatch(/as_path: 64512 64999/);
  expect(heard).not.toContain('0.0.0.0/0'); // the default route is rejected even if a filter accepts it
  expect(await a.routesTo('203.0.113.0/24')).toEqual([]);
  expect(await a.bird.session('peer4-tor-4')).toEqual(before);
  await world.put('bgppeers', 'tor-4', { node: a.name, peerIP: a.router4, asNumber: routerAs });
  await hasRoute(a, '203.0.113.0/24');
});

test('communities go with the prefixes that they are for', async () => {
  await world.put('bgpconfigurations', 'default', {
    communities: [{ name: 'vms', value: '64512:1:2' }],
    prefixAdvertisements: [{ cidr: '10.65.0.0/24', communities: ['vms'] }],
  });
  await until('the community', async () => ((await world.router.bird.ask('show route all protocol tor00')).includes('(64512, 1, 2)') ? true : undefined));
  await world.remove('bgpconfigurations', 'default');
  await until('no community', async () => ((await world.router.bird.ask('show route all protocol tor00')).includes('(64512, 1, 2)') ? undefined : true));
});

test('a mesh with a password comes up where both have it; where one lacks it there is none', async () => {
  const before = await a.bird.session('mesh4-host-1');
  await world.put('bgpconfigurations', 'default', { nodeMeshPassword: { secretKeyRef: { name: 'bgp', key: 'mesh' } } });
  await until('the password in force on both', () =>
    [a, b].every(({ bird }) => readFileSync(bird.configFile, 'utf8').includes('password "s3cret; #{}";')) ? true : undefined,
  );
  expect(statSync(a.bird.configFile).mode & 0o777).toBe(0o640);
  await until('a new session', async () => ((await a.bird.session('mesh4-host-1'))?.since === before?.since ? undefined : true));
  await Promise.all(['mesh4-host-1', 'mesh6-host-1'].map((symbol) => established(a, symbol)));
  await hasRoute(b, '10.65.0.4/32');
  await world.put('bgpconfigurations', 'default', { nodeMeshPassword: { secretKeyRef: { name: 'bgp', key: 'absent' } } });
  await gone(a, 'mesh4-host-1');
  await until('the trouble in the log', () => (a.agentLog().includes('has no \\"absent\\"') ? true : undefined));
  expect(a.agentLog()).not.toContain('s3cret');
  await world.remove('bgpconfigurations', 'default');
  await established(a, 'mesh4-host-1');
});

test('instead of a mesh, a route reflector that a selector finds passes routes on', async () => {
  await world.put('bgpconfigurations', 'default', { nodeToNodeMeshEnabled: false });
  await world.put('bgppeers', 'reflectors', { nodeSelector: '!has(reflector)', peerSelector: 'has(reflector)' });
  await Promise.all([
    established(a, 'peer4-reflectors:host-2'),
    established(c, 'peer4-reflectors:host-0'),
    established(c, 'peer4-reflectors:host-1'),
    gone(a, 'mesh4-host-1'),
  ]);
  await Promise.all([hasRoute(b, '10.65.0.4/32'), hasRoute(b, '2001:db8:a::4/128'), hasRoute(a, '10.65.0.8/32')]);
  // The kernel may still have the routes that came by the mesh.
  await until('the reflected route', async () =>
    /next_hop: 192\.0\.2\.1\n[\s\S]*cluster_list: 1\.0\.0\.1/.test(await b.bird.ask('show route all for 10.65.0.4/32')) ? true : undefined,
  );
});

test('an address of the Node that its host does not have is told, with what helps', async () => {
  const node = JSON.parse(await world.get('nodes', c.name)) as { readonly metadata: object; readonly spec: { readonly bgp: object } };
  await world.put('nodes', c.name, { ...node.spec, bgp: { ...node.spec.bgp, ipv4Address: '198.51.100.9/24' } }, node.metadata);
  await until('a word in the log', () => c.agentLog().includes('198.51.100.9 is on no interface of this host') || undefined);
  await until('what helps', () => c.agentLog().includes('set IPv4Address in bird-agent.cfg') || undefined);
});
