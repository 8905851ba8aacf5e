// Tests hosts that speak BGP with their own workloads: guests that run FRR and GoBGP behind a real Felix, and announce what tenants may announce or not.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Foreign, startFrr, startGobgp } from './testing/foreign.ts';
import { type Felix, type Guest, plugGuest, startFelix } from './testing/guests.ts';
import { watchRoutes } from './testing/watch-routes.ts';
import { openWorld, routerAs, startBirdIn, type TestHost, until, type World } from './testing/world.ts';

const peering = { 4: '169.254.0.179', 6: 'fd12:3456::179' };
const mayHave = { 4: '10.99.0.0/24', 6: '2001:db8:99:1::/64' };
const farVm = '10.65.0.8/32';

let world: World;
let a: TestHost;
let b: TestHost;
let felix: Felix;
let frrGuest: Guest;
let gobgpGuest: Guest;
let stranger: Guest;
let frr: Foreign;
let gobgp: Foreign;
const closing: (() => unknown)[] = [];

const established = (host: TestHost, symbol: string): Promise<unknown> =>
  until(`${host.name}: ${symbol}`, async () => ((await host.bird.session(symbol))?.detail === 'Established' ? true : undefined));
const hasRoute = (host: TestHost, prefix: string): Promise<readonly string[]> =>
  until(`a route to ${prefix} on ${host.name}`, async () => {
    const routes = await host.routesTo(prefix);
    return routes.length > 0 ? routes : undefined;
  });
const hasNoRoute = (host: TestHost, prefix: string): Promise<unknown> =>
  until(`no route to ${prefix} on ${host.name}`, async () => ((await host.routesTo(prefix)).length === 0 ? true : undefined));
const wayTo = async (host: TestHost, address: string): Promise<string> => (await host.ip('route', 'get', address)).split('\n')[0]!;
const symbolOf = (family: 4 | 6, guest: Guest): string => `workload${family}-guests:${guest.tap}`;
const refusedCount = (guest: Guest): Promise<number> => a.metric(`calico_bird_agent_refused_routes{session="${symbolOf(4, guest)}"}`);
/** When the sessions of the mesh were established. */
const meshSince = async (): Promise<unknown> => Promise.all(['mesh4-host-1', 'mesh6-host-1'].map(async (symbol) => (await a.bird.session(symbol))?.since));

const accepted = (family: 4 | 6, cidr: string) => ({ [`importV${family}`]: [{ action: 'Accept', cidr, matchOperator: 'In' }] });
const filter = { ...accepted(4, '10.99.0.0/16'), ...accepted(6, '2001:db8:99::/48') };

/** A router that takes what this host announces, and does nothing with it. */
const listeningRouter = (): string => `
log "${world.directory}/router.log" all;
router id 198.51.100.1;
protocol device {}
protocol bgp tor { local as ${routerAs}; neighbor ${a.host4} as 64512; passive; connect delay time 1; ipv4 { import all; export none; }; }
`;

beforeAll(async () => {
  world = await openWorld(2);
  [a, b] = world.hosts as [TestHost, TestHost];
  felix = await startFelix(world, a, closing);
  [frrGuest, gobgpGuest, stranger] = [await plugGuest(world, a, 1, closing), await plugGuest(world, a, 2, closing), await plugGuest(world, a, 3, closing)];
  await world.put('bgpconfigurations', 'default', { localWorkloadPeeringIPV4: peering[4], localWorkloadPeeringIPV6: peering[6] });
  await world.put('ippools', 'guests-4', { cidr: '10.99.0.0/16' });
  await world.put('ippools', 'guests-6', { cidr: '2001:db8:99::/48' });
  await world.put('bgpfilters', 'guests', filter);
  await world.put('bgppeers', 'guests', { localWorkloadSelector: 'has(router)', asNumber: 65001, filters: ['guests'] });
  await world.etcdProcess.etcdctl(
    'put',
    '/calico/resources/v3/projectcalico.org/globalnetworkpolicies/default.open',
    JSON.stringify({
      metadata: { name: 'default.open' },
      spec: { types: ['Ingress', 'Egress'], ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
    }),
  );
  await Promise.all([frrGuest.put({ router: 'frr' }), gobgpGuest.put({ router: 'gobgp' }), stranger.put({})]);
  for (const host of [a, b]) host.startAgent();
  const neighbors = [
    { address: peering[4], asNumber: 64512 },
    { address: peering[6], asNumber: 64512 },
  ];
  const options = (guest: Guest) => ({
    namespace: guest.namespace,
    directory: join(world.directory, guest.portId),
    asNumber: 65001,
    routerId: guest.address4,
    neighbors,
  });
  frr = await startFrr(options(frrGuest));
  closing.push(() => frr.kill());
  gobgp = await startGobgp(options(gobgpGuest));
  closing.push(() => gobgp.kill());
  await Promise.all(['mesh4-host-1', 'mesh6-host-1'].map((symbol) => established(a, symbol)));
  await b.workloadRoute('add', farVm);
  await hasRoute(a, farVm);
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await world?.close();
});

test('guests that a BGPPeer selects have sessions, in both families', async () => {
  for (const family of [4, 6] as const) {
    await Promise.all([frr.established(peering[family]), gobgp.established(peering[family])]);
    for (const guest of [frrGuest, gobgpGuest]) await established(a, symbolOf(family, guest));
  }
  expect(await a.bird.session(symbolOf(4, stranger))).toBeUndefined();
});

test('nobody else reaches BIRD, and they reach nothing but BIRD', async () => {
  for (const address of Object.values(peering)) await until(`the guest reaches ${address}`, async () => (await frrGuest.connects(address, 179)) || undefined);
  expect(await frrGuest.connects(a.host4, 179)).toBe(false);
  expect(await stranger.connects(peering[4], 179)).toBe(false);
  expect(await stranger.connects(peering[6], 179)).toBe(false);
});

test('a prefix that the operator lets a guest have leads to the guest from everywhere, in packets, and from it', async () => {
  for (const family of [4, 6] as const) {
    await frr.announce(mayHave[family]);
    const [own] = await hasRoute(a, mayHave[family]);
    expect(own).toContain(`via ${family === 4 ? frrGuest.address4 : frrGuest.address6} dev ${frrGuest.tap} proto bird metric 768`);
    const [far] = await hasRoute(b, mayHave[family]);
    expect(far).toContain(`via ${family === 4 ? b.router4 : b.router6} dev eth0 proto bird`);
  }
  // Several guests may announce one prefix. BIRD must recognise its own routes when it scans the kernel's, every ten seconds.
  for (const [foreign, guest] of [
    [frr, frrGuest],
    [gobgp, gobgpGuest],
  ] as const)
    await foreign.announce('10.99.2.0/24', { nextHop: guest.address4 });
  const both = [frrGuest, gobgpGuest].map(({ address4, tap }) => `nexthop via ${address4} dev ${tap}`);
  await until('both ways', async () => {
    const shown = await a.ip('route', 'show', '10.99.2.0/24');
    return both.every((way) => shown.includes(way)) || undefined;
  });
  await new Promise((resolve) => setTimeout(resolve, 11_000));
  expect(readFileSync(join(world.directory, 'host-0.bird.log'), 'utf8')).not.toContain('strange next-hop');
  expect(await a.bird.ask('show route where net ~ [ 10.99.0.0/16+ ]')).not.toContain('!');
  await gobgp.withdraw('10.99.2.0/24');
  await until('one way', async () => ((await a.routesTo('10.99.2.0/24')).join().includes('nexthop') ? undefined : true));
  await frr.withdraw('10.99.2.0/24');
  await frrGuest.ip('addr', 'add', '10.99.0.1/32', 'dev', 'lo');
  await world.router.ip('route', 'add', '10.99.0.0/24', 'via', a.host4);
  await world.router.ip('route', 'add', '10.65.0.0/24', 'via', a.host4);
  await until('an answer from behind the guest', () =>
    b.exec('ping', '-c1', '-W1', '10.99.0.1').then(
      () => true,
      () => undefined,
    ),
  );
});

test('a guest hears of no route unless a filter says so', async () => {
  expect(await frr.learnt(farVm)).toBeUndefined();
  await world.put('bgpfilters', 'guests', { ...filter, exportV4: [{ action: 'Accept', cidr: farVm, matchOperator: 'In' }] });
  const heard = await until('the far VM’s route at the guest', () => frr.learnt(farVm));
  expect(heard).toContain(`"ip":"${peering[4]}"`);
  expect(await frr.learnt(`${gobgpGuest.address4}/32`)).toBeUndefined();
  await world.put('bgpfilters', 'guests', filter);
  await until('no route at the guest', async () => ((await frr.learnt(farVm)) === undefined ? true : undefined));
});

test('what a guest may not have is not taken, whoever it names as the next hop, and is told', async () => {
  const stolen = ['0.0.0.0/0', '198.51.100.1/32', `${b.host4}/32`, `${a.host4}/32`, farVm, `${frrGuest.address4}/32`, '8.8.8.0/24', '10.65.0.0/24'];
  const routes = await watchRoutes(a.namespace);
  const before = await meshSince();
  for (const prefix of stolen) await gobgp.announce(prefix, { nextHop: gobgpGuest.address4 });
  await gobgp.announce('10.99.7.0/24', { nextHop: frrGuest.address4 }); // an allowed prefix, with another guest as next hop
  await until('all of it refused', async () => ((await refusedCount(gobgpGuest)) === stolen.length + 1 ? true : undefined));
  expect(await routes.events()).toBe('');
  routes.end();
  expect(await meshSince()).toEqual(before);
  for (const prefix of ['198.51.100.1/32', `${frrGuest.address4}/32`, '8.8.8.0/24', '10.99.7.0/24']) {
    expect(await b.bird.ask(`show route where net = ${prefix}`)).not.toContain(gobgpGuest.address4);
    expect((await a.bird.ask(`show route where net = ${prefix}`)).includes('workload4-guests')).toBe(false);
  }
  const shown = await a.show();
  expect(shown).toContain(`${symbolOf(4, gobgpGuest)}: ${stolen.length + 1} of its neighbour's routes are refused`);
  await until('a word in the log', () => (a.agentLog().includes('the guest announces') ? true : undefined));
  for (const prefix of [...stolen, '10.99.7.0/24']) await gobgp.withdraw(prefix);
});

test('with a filter that accepts everything a guest still takes neither hosts, nor etcd, nor other workloads', async () => {
  await world.put('bgpfilters', 'guests', { importV4: [{ action: 'Accept' }], importV6: [{ action: 'Accept' }] });
  for (const prefix of ['0.0.0.0/0', '198.51.100.1/32', `${b.host4}/32`, '10.0.0.0/8', farVm, `${frrGuest.address4}/32`, '203.0.113.7/32'])
    await gobgp.announce(prefix, { nextHop: gobgpGuest.address4, community: '65535:666' });
  await hasRoute(a, '203.0.113.7/32');
  expect(await wayTo(a, farVm.slice(0, -3))).toContain(`via ${a.router4}`);
  expect(await wayTo(b, farVm.slice(0, -3))).toContain('dev tap0');
  expect(await wayTo(a, frrGuest.address4)).toContain(`dev ${frrGuest.tap}`);
  expect(await wayTo(a, '198.51.100.1')).toContain(`via ${a.router4}`);
  expect(await a.bird.ask('show route where net = 10.0.0.0/8')).not.toContain('workload4-guests');
  const heard = await until('the route on the other host', async () => {
    const text = await b.bird.ask('show route all for 203.0.113.7/32');
    return text.includes('next_hop: ') ? text : undefined;
  });
  expect(heard).toContain(`next_hop: ${a.host4}`);
  expect(heard).toContain('local_pref: 100');
  expect(heard).not.toContain('community');
  // A router gets no LOCAL_PREF. There the longer path keeps the guest from the address of a workload of another rack; a prefix can be no workload's own address.
  await startBirdIn(world.router.namespace, world.router.bird, listeningRouter());
  await world.put('bgppeers', 'tor', { node: a.name, peerIP: a.router4, asNumber: routerAs });
  const pathAtRouter = (prefix: string): Promise<string> =>
    until(`${prefix} at the router`, async () => /as_path: (.*)/.exec(await world.router.bird.ask(`show route all for ${prefix}`))?.[1]?.trim());
  expect(await pathAtRouter('203.0.113.7/32')).toBe(`${'64512 '.repeat(11)}65001`);
  expect(await pathAtRouter(mayHave[4])).toBe('64512 65001');
  expect(await pathAtRouter(`${gobgpGuest.address4}/32`)).toBe('64512'); // its own address is its port's
  await world.remove('bgppeers', 'tor');
  await world.put('bgpfilters', 'guests', filter);
  await hasNoRoute(a, '203.0.113.7/32');
});

test('BIRD’s routes on the tap stand whatever happens to Felix', async () => {
  const routes = await watchRoutes(a.namespace);
  const programmed = (): number => felix.log().match(/the kernel is as the datastore wants it/g)?.length ?? 0;
  await felix.kill();
  const before = programmed();
  felix.start();
  await until('Felix to have programmed again', () => programmed() > before || undefined);
  await new Promise((resolve) => setTimeout(resolve, 500)); // Felix removes routes that it takes for strangers' at its first comparison
  expect(await routes.events()).not.toContain('10.99.0.0/24');
  routes.end();
  expect(await a.routesTo(mayHave[4])).toHaveLength(1);
});

test('a guest that is no longer selected has no session, no route and no address to speak to; others do not move', async () => {
  const before = [await meshSince(), (await a.bird.session(symbolOf(4, gobgpGuest)))?.since];
  await frrGuest.put({});
  await hasNoRoute(a, mayHave[4]);
  await hasNoRoute(b, mayHave[4]);
  await until('no session', async () => ((await a.bird.session(symbolOf(4, frrGuest))) === undefined ? true : undefined));
  await until('no address on the tap', async () => ((await a.ip('addr', 'show', 'dev', frrGuest.tap)).includes(peering[4]) ? undefined : true));
  expect(await frrGuest.connects(peering[4], 179)).toBe(false);
  expect([await meshSince(), (await a.bird.session(symbolOf(4, gobgpGuest)))?.since]).toEqual(before);
  await world.remove('bgppeers', 'guests');
  await until('no session', async () => ((await a.bird.session(symbolOf(4, gobgpGuest))) === undefined ? true : undefined));
  expect(await meshSince()).toEqual(before[0]);
});
