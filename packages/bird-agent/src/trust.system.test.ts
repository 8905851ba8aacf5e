// Tests which routes are refused, whatever is announced: with real BIRDs, one of them a rogue member of the mesh, and one a router without filters.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { watchRoutes } from './testing/watch-routes.ts';
import { openWorld, routerAs, startBirdIn, type TestHost, until, type World } from './testing/world.ts';

let world: World;
let a: TestHost;
let b: TestHost;
let rogue: TestHost;

const established = (host: TestHost, symbol: string): Promise<unknown> =>
  until(`${host.name}: ${symbol}`, async () => ((await host.bird.session(symbol))?.detail === 'Established' ? true : undefined));
const hasRoute = (host: TestHost, prefix: string): Promise<unknown> =>
  until(`a route to ${prefix} on ${host.name}`, async () => ((await host.routesTo(prefix)).length > 0 ? true : undefined));
const wayTo = async (host: TestHost, address: string): Promise<string> =>
  (await host.ip(...(address.includes(':') ? ['-6'] : []), 'route', 'get', address)).split('\n')[0]!.replace(/ (uid|pref|metric) .*/, '');
const guardOn = (host: TestHost, entry: string): Promise<unknown> =>
  until(`${entry} on ${host.name}`, () => (readFileSync(host.bird.configFile, 'utf8').includes(entry) ? true : undefined));
const birdRoutes = async (host: TestHost): Promise<readonly string[]> =>
  `${await host.ip('route', 'show', 'proto', 'bird')}${await host.ip('-6', 'route', 'show', 'proto', 'bird')}`
    .split('\n')
    .map((line) => line.split(' ')[0]!)
    .filter((word) => word !== '')
    .sort();

const localVm = { 4: '10.65.0.4/32', 6: '2001:db8:a::4/128' };
const farVm = { 4: '10.65.0.8/32', 6: '2001:db8:a::8/128' };
/** The prefixes that the rogue may announce. */
const ownVm = { 4: '10.65.0.12/32', 6: '2001:db8:a::12/128' };
/** The address of a host that is added later. */
const newHost = '203.0.113.77';

/** Prefixes that nobody may announce. Loopback and multicast are not among them, because BIRD itself neither sends nor accepts them. */
const stolen4 = (): string[] => [
  '198.51.100.1/32', // etcd
  `${b.host4}/32`,
  `${a.host4}/32`,
  `${a.router4}/32`,
  localVm[4],
  '0.0.0.0/0',
  '0.0.0.0/1',
  '10.0.0.0/8',
  '10.65.0.0/24',
  '169.254.169.254/32',
];
const stolen6 = (): string[] => [`${b.host6}/128`, `${a.host6}/128`, `${a.router6}/128`, localVm[6], '::/0', '2001:db8::/32'];

const announcing = (name: string, routes4: readonly string[], routes6: readonly string[], sessions: string): string => `
log "${world.directory}/${name}.log" all;
router id ${name === 'router' ? '198.51.100.1' : rogue.host4};
protocol device {}
protocol static s4 { ipv4 { import filter { bgp_local_pref = 2147483135; accept; }; }; ${routes4.map((route) => `route ${route} blackhole;`).join(' ')} }
protocol static s6 { ipv6 { import filter { bgp_local_pref = 2147483135; accept; }; }; ${routes6.map((route) => `route ${route} blackhole;`).join(' ')} }
${sessions}
`;

const rogueSessions = (): string =>
  [a, b]
    .flatMap((host, number) =>
      ([4, 6] as const).map(
        (family) => `protocol bgp m${number}${family} {
  local ${rogue[`host${family}`]} as 64512; neighbor ${host[`host${family}`]} as 64512; multihop; connect delay time 1; graceful restart on;
  ipv${family} { next hop self; import all; export all; };
}`,
      ),
    )
    .join('\n');

const routerSessions = (): string =>
  ([4, 6] as const)
    .map(
      (family) => `protocol bgp t${family} {
  local as ${routerAs}; neighbor ${a[`host${family}`]} as 64512; passive; connect delay time 1;
  ipv${family} { import all; export all; };
}`,
    )
    .join('\n');

beforeAll(async () => {
  world = await openWorld(3);
  [a, b, rogue] = world.hosts as [TestHost, TestHost, TestHost];
  await startBirdIn(rogue.namespace, rogue.bird, announcing('rogue', [...stolen4(), ownVm[4], `${newHost}/32`], [...stolen6(), ownVm[6]], rogueSessions()));
  await startBirdIn(
    world.router.namespace,
    world.router.bird,
    announcing(
      'router',
      ['0.0.0.0/0', '203.0.113.0/24', '169.254.169.254/32', `${a.host4}/32`, `${a.router4}/32`, localVm[4]],
      ['2001:db8:5::/48', `${a.host6}/128`, localVm[6]],
      routerSessions(),
    ),
  );
  await world.put('nodes', rogue.name, { bgp: { ipv4Address: `${rogue.host4}/30`, ipv6Address: `${rogue.host6}/64` } });
  for (const host of [a, b]) host.startAgent();
  await Promise.all(['mesh4-host-1', 'mesh6-host-1', 'mesh4-host-2', 'mesh6-host-2'].map((symbol) => established(a, symbol)));
  for (const family of [4, 6] as const) {
    await a.workloadRoute('add', localVm[family]);
    await b.workloadRoute('add', farVm[family]);
  }
  await Promise.all(([4, 6] as const).flatMap((family) => [hasRoute(a, farVm[family]), hasRoute(a, ownVm[family])]));
});
afterAll(() => world?.close());

test('a member of the mesh can have single workloads, and nothing that is a host’s, etcd’s, a network, or nobody’s', async () => {
  await hasRoute(a, `${newHost}/32`); // the last route that the rogue announces; no host has the address yet
  expect(await birdRoutes(a)).toEqual(['10.65.0.8', '10.65.0.12', newHost, '2001:db8:a::8', '2001:db8:a::12'].sort());
  expect(await wayTo(a, '198.51.100.1')).toBe(`198.51.100.1 via ${a.router4} dev eth0 src ${a.host4}`);
});

test('a workload here is led to its tap, and announced, whatever LOCAL_PREF others claim for it', async () => {
  for (const family of [4, 6] as const) {
    const address = localVm[family].split('/')[0]!;
    expect(await wayTo(a, address)).toMatch(/dev tap0/);
    await until('the neighbour hears of it', async () =>
      (await b.bird.ask(`show route protocol 'mesh${family}-host-0'`)).includes(address) ? true : undefined,
    );
  }
});

test('the address of a host that registers later is taken from whoever had announced it; nothing else moves', async () => {
  const before = await Promise.all([a.bird.session('mesh4-host-2'), a.bird.session('mesh4-host-1'), b.bird.session('mesh4-host-0')]);
  const watched = await watchRoutes(a.namespace);
  await world.put('nodes', 'new', { bgp: { ipv4Address: `${newHost}/24` } });
  await until('no route to it', async () => ((await a.routesTo(`${newHost}/32`)).length === 0 ? true : undefined));
  expect(await Promise.all([a.bird.session('mesh4-host-2'), a.bird.session('mesh4-host-1'), b.bird.session('mesh4-host-0')])).toEqual(before);
  await world.remove('nodes', 'new');
  await hasRoute(a, `${newHost}/32`);
  expect(
    (await watched.events())
      .trim()
      .split('\n')
      .map((line) => line.replace(/via.*/, '').trim()),
  ).toEqual([`Deleted ${newHost}`, newHost]);
  watched.end();
});

test('the same holds for the address of a neighbour that is no host: who has it would have the session with this host', async () => {
  await hasRoute(b, `${newHost}/32`);
  const peer = { node: a.name, peerIP: newHost, asNumber: 64999 };
  await world.put('bgppeers', 'far', peer);
  await until('no route to it', async () => ((await a.routesTo(`${newHost}/32`)).length === 0 ? true : undefined));
  expect(await b.routesTo(`${newHost}/32`)).toHaveLength(1); // this BGPPeer is not for that host
  expect((await a.bird.session('mesh4-host-2'))?.detail).toBe('Established');
  await world.remove('bgppeers', 'far');
  await hasRoute(a, `${newHost}/32`);
});

test('it is told who announced what, in the log and as a metric', async () => {
  const line = await until('the refusal in the log', () =>
    a
      .agentLog()
      .split('\n')
      .find((each) => each.includes('mesh4-host-2') && each.includes('announces')),
  );
  expect(line).toContain('0.0.0.0/0');
  const refused = stolen4().length - 1; // all but the workload's, which is accepted with a lower preference
  await until('their number', async () => ((await a.metric('calico_bird_agent_refused_routes{session="mesh4-host-2"}')) === refused ? true : undefined));
});

test('a router next door may bring a default route and networks, and nothing of the host’s own', async () => {
  for (const family of [4, 6] as const) await world.put('bgppeers', `tor-${family}`, { node: a.name, peerIP: a[`router${family}`], asNumber: routerAs });
  await Promise.all([hasRoute(a, '203.0.113.0/24'), hasRoute(a, '2001:db8:5::/48')]);
  const routes = await birdRoutes(a);
  expect(routes).toEqual(['10.65.0.8', '10.65.0.12', '203.0.113.0/24', newHost, '2001:db8:a::8', '2001:db8:a::12', '2001:db8:5::/48'].sort());
  expect(await a.bird.ask('show route 0.0.0.0/0 table master4')).toContain('peer4-tor-4'); // the host’s own default route is preferred
  expect(await wayTo(a, localVm[4].split('/')[0]!)).toMatch(/dev tap0/);
});

test('what an operator gives to workloads may be announced whole, but never so that it covers a host', async () => {
  await world.put('ippools', 'vms', { cidr: '10.65.0.0/16' });
  await guardOn(a, 'route 10.65.0.0/16 max 32 as 6;');
  await hasRoute(a, '10.65.0.0/24');
  expect(await a.routesTo('10.0.0.0/8')).toEqual([]);
  await world.put('nodes', 'new', { bgp: { ipv4Address: '10.65.0.200/24' } });
  await until('no route that covers it', async () => ((await a.routesTo('10.65.0.0/24')).length === 0 ? true : undefined));
  await world.remove('nodes', 'new');
  await world.remove('ippools', 'vms');
});

test('an elevated route counts once a LiveMigration says that the workload leaves this host', async () => {
  await world.migrate(a.name, rogue.name, [localVm[4], localVm[6]]);
  // The route was accepted before the host was known. It is judged again now.
  await until('the way to the new host', async () => ((await wayTo(a, localVm[4].split('/')[0]!)).includes('dev eth0') ? true : undefined));
  await until('the same in IPv6', async () => ((await wayTo(a, localVm[6].split('/')[0]!)).includes('dev eth0') ? true : undefined));
});

test('ExportPrefixes that hold more than was meant give away no host, and not etcd', async () => {
  await b.ip('route', 'add', '198.51.100.1/32', 'via', b.router4, 'dev', 'eth0');
  await b.ip('route', 'add', `${a.host4}/32`, 'via', b.router4, 'dev', 'eth0');
  await b.ip('route', 'add', '198.51.100.64/26', 'via', b.router4, 'dev', 'eth0');
  expect(await b.endAgent()).toBe(0);
  b.startAgent({ ExportPrefixes: '192.0.0.0/8 198.51.100.0/24' });
  const heard = await until('the prefix that was meant', async () => {
    const routes = await a.bird.ask("show route filtered protocol 'mesh4-host-1'"); // no WorkloadPrefixes are configured on this host
    return routes.includes('198.51.100.64/26') ? routes : undefined;
  });
  expect(heard.match(/^\S+\/\d+/gm)).toEqual(['198.51.100.64/26']);
});

test('a neighbour is held to its number of routes: what it had stays, and that is told', async () => {
  const workloads = Array.from({ length: 12 }, (_, number) => `10.66.0.${number}/32`);
  expect(await a.endAgent()).toBe(0);
  a.startAgent({ MaxRoutesPerPeer: '5' });
  await a.ready();
  for (const workload of workloads) await b.workloadRoute('add', workload);
  await until('the limit in the log', () => /mesh4-host-1.*as many routes as MaxRoutesPerPeer lets it, 5/.test(a.agentLog()) || undefined);
  const held = await birdRoutes(a);
  expect(held).toContain('10.65.0.8'); // the route was learned before the limit was reached
  expect(held.filter((route) => route.startsWith('10.66.0.')).length).toBeLessThan(5);
  expect((await a.bird.session('mesh4-host-1'))?.detail).toBe('Established');
});
