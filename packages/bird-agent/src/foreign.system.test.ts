// The BIRD agent's host among others' speakers: FRR and GoBGP, each as a router next door and as a member of the mesh that goes astray.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Foreign, startFrr, startGobgp } from './testing/foreign.ts';
import { type Watched, watchRoutes } from './testing/watch-routes.ts';
import { openWorld, routerAs, type TestHost, until, type World } from './testing/world.ts';

const families = [4, 6] as const;
const localVm = { 4: '10.65.0.4/32', 6: '2001:db8:a::4/128' };
const farVm = { 4: '10.65.0.12/32', 6: '2001:db8:a::12/128' };
const fromRouter = { 4: '203.0.113.0/24', 6: '2001:db8:5::/48' };
const password = 's3cret-of-both';

const established = (host: TestHost, symbol: string): Promise<unknown> =>
  until(`${host.name}: ${symbol}`, async () => ((await host.bird.session(symbol))?.detail === 'Established' ? true : undefined));
const hasRoute = (host: TestHost, prefix: string): Promise<unknown> =>
  until(`a route to ${prefix} on ${host.name}`, async () => ((await host.routesTo(prefix)).length > 0 ? true : undefined));
const hasNoRoute = (host: TestHost, prefix: string): Promise<unknown> =>
  until(`no route to ${prefix} on ${host.name}`, async () => ((await host.routesTo(prefix)).length === 0 ? true : undefined));

describe.each([
  // FRR 8.4 sends End-of-RIB before the routes that it announces, so BIRD removes them until they come.
  { name: 'FRR', start: startFrr, sendsRoutesFirst: false },
  { name: 'GoBGP', start: startGobgp, sendsRoutesFirst: true },
])('$name', ({ name, start, sendsRoutesFirst }) => {
  let world: World;
  let a: TestHost;
  let member: TestHost;
  let router: Foreign;
  let rogue: Foreign;
  let watched: Watched;
  const sessionsOfRouter = families.map((family) => `peer${family}-tor-${family}`);
  const since = async (...symbols: readonly string[]): Promise<unknown> => Promise.all(symbols.map(async (symbol) => (await a.bird.session(symbol))?.since));
  const tor = (family: 4 | 6, more: object = {}) =>
    world.put('bgppeers', `tor-${family}`, { node: a.name, peerIP: a[`router${family}`], asNumber: routerAs, ...more });

  beforeAll(async () => {
    world = await openWorld(2);
    [a, member] = world.hosts as [TestHost, TestHost];
    const passwords = join(world.directory, 'passwords.cfg');
    writeFileSync(passwords, `[bgp]\ntor = ${password}\n`);
    chmodSync(passwords, 0o600);
    await world.put('nodes', member.name, { bgp: { ipv4Address: `${member.host4}/30`, ipv6Address: `${member.host6}/64` } });
    for (const family of families) await tor(family);
    a.startAgent({ BgpPasswordFile: passwords });
    const at = (where: string) => ({ directory: join(world.directory, `${name}-${where}`) });
    router = await start({
      ...at('router'),
      namespace: world.router.namespace,
      asNumber: routerAs,
      routerId: '198.51.100.1',
      neighbors: [a.host4, a.host6].map((address) => ({ address, asNumber: 64512 })),
    });
    rogue = await start({
      ...at('member'),
      namespace: member.namespace,
      asNumber: 64512,
      routerId: member.host4,
      neighbors: [a.host4, a.host6].map((address) => ({ address, asNumber: 64512 })),
    });
    for (const family of families) await a.workloadRoute('add', localVm[family]);
    await Promise.all([...sessionsOfRouter, 'mesh4-host-1', 'mesh6-host-1'].map((symbol) => established(a, symbol)));
  });
  afterAll(async () => {
    await router?.kill();
    await rogue?.kill();
    await world?.close();
  });

  test('as a router next door it hears of workloads and of nothing else, and its routes are programmed', async () => {
    for (const family of families) {
      await until('the workload at the router', () => router.learnt(localVm[family]));
      await router.announce(fromRouter[family], { nextHop: a[`router${family}`] });
      await hasRoute(a, fromRouter[family]);
      expect((await a.routesTo(fromRouter[family]))[0]).toContain(`via ${a[`router${family}`]} dev eth0 proto bird metric 768`);
    }
    expect(await router.learnt('192.0.2.0/30')).toBeUndefined();
    expect(await router.learnt('0.0.0.0/0')).toBeUndefined();
  });

  test('as a member of the mesh it hears of workloads, and its own are taken', async () => {
    for (const family of families) {
      await until('the workload at the member', () => rogue.learnt(localVm[family]));
      await rogue.announce(farVm[family], { nextHop: member[`host${family}`], localPref: 2 ** 31 - 1 - 1024 });
      await hasRoute(a, farVm[family]);
      expect((await a.routesTo(farVm[family]))[0]).toContain(`via ${a[`router${family}`]} dev eth0 proto bird`);
    }
  });

  test('what neither may have is not taken, no route and no session moves by it, and it is told', async () => {
    const before = await since(...sessionsOfRouter, 'mesh4-host-1', 'mesh6-host-1');
    watched = watchRoutes(a.namespace);
    const stolen = {
      4: ['198.51.100.1/32', `${a.host4}/32`, `${a.router4}/32`, localVm[4], '0.0.0.0/0', '10.0.0.0/8', '169.254.169.254/32'],
      6: [`${a.host6}/128`, `${a.router6}/128`, localVm[6], '::/0', '2001:db8::/32'],
    };
    for (const family of families)
      for (const prefix of stolen[family]) await rogue.announce(prefix, { nextHop: member[`host${family}`], localPref: 2147483135 });
    const fromRouterToo = { 4: ['169.254.169.254/32', `${a.host4}/32`, `${a.router4}/32`, localVm[4]], 6: [`${a.host6}/128`, localVm[6]] };
    for (const family of families) for (const prefix of fromRouterToo[family]) await router.announce(prefix, { nextHop: a[`router${family}`] });
    // The last that each announces, which it may, come after the others have been judged.
    await rogue.announce('10.65.0.13/32', { nextHop: member.host4 });
    await router.announce('203.0.113.128/25', { nextHop: a.router4 });
    await Promise.all([hasRoute(a, '10.65.0.13/32'), hasRoute(a, '203.0.113.128/25')]);
    const moved = watched
      .events()
      .split('\n')
      .flatMap((line) => line.split(' ')[line.startsWith('Deleted ') ? 1 : 0] || []);
    watched.end();
    expect(moved.sort()).toEqual(['10.65.0.13', '203.0.113.128/25']);
    expect(await since(...sessionsOfRouter, 'mesh4-host-1', 'mesh6-host-1')).toEqual(before);
    await until('the refusal in the metric', async () =>
      (await a.metric('calico_bird_agent_refused_routes{session="mesh4-host-1"}')) >= 6 ? true : undefined,
    );
    expect(await a.show()).toMatch(/mesh4-host-1: \d+ of its neighbour's routes are refused/);
  });

  test('a changed Node, an added BGPPeer and an added workload move no other session and no other route, here or at the neighbour', async () => {
    const before = await since(...sessionsOfRouter, 'mesh4-host-1', 'mesh6-host-1');
    watched = watchRoutes(a.namespace);
    await world.put('nodes', 'absent', { bgp: { ipv4Address: '198.51.100.10/24' } });
    await world.put('bgppeers', 'another', { node: a.name, peerIP: '198.51.100.20', asNumber: 64999 });
    await until('both sessions', async () => ((await a.bird.session('mesh4-absent')) && (await a.bird.session('peer4-another')) ? true : undefined));
    await a.workloadRoute('add', '10.65.0.5/32');
    await until('the new workload at the router', () => router.learnt('10.65.0.5/32'));
    await world.remove('nodes', 'absent');
    await world.remove('bgppeers', 'another');
    await until('neither session', async () => ((await a.bird.session('mesh4-absent')) || (await a.bird.session('peer4-another')) ? undefined : true));
    watched.end();
    expect(watched.events().trim().split('\n')).toEqual([expect.stringMatching(/^10\.65\.0\.5 dev tap0/)]);
    expect(await since(...sessionsOfRouter, 'mesh4-host-1', 'mesh6-host-1')).toEqual(before);
    for (const address of [a.host4, a.host6]) expect(await router.isEstablished(address)).toBe(true);
  });

  test('a BIRD that is killed and started again withdraws nothing from the router', async () => {
    watched = watchRoutes(a.namespace);
    const pid = a.bird.pid();
    await a.bird.kill();
    await until('another BIRD', async () => (a.bird.pid() !== pid && (await a.bird.sessions()).length > 0 ? true : undefined));
    const lost: string[] = [];
    let looking = true;
    const look = (async () => {
      while (looking) for (const family of families) if ((await router.learnt(localVm[family])) === undefined) lost.push(localVm[family]);
    })();
    await Promise.all([...sessionsOfRouter, 'mesh4-host-1', 'mesh6-host-1'].map((symbol) => established(a, symbol)));
    await a.workloadRoute('add', '10.65.0.6/32');
    await until('a new workload at the router', () => router.learnt('10.65.0.6/32'));
    looking = false;
    await look;
    watched.end();
    expect(lost).toEqual([]);
    if (sendsRoutesFirst) expect(watched.events()).not.toMatch(/^Deleted/m);
    for (const family of families) await Promise.all([hasRoute(a, fromRouter[family]), hasRoute(a, farVm[family])]);
  });

  test('its password and hold time are the session’s', async () => {
    await tor(4, { password: { secretKeyRef: { name: 'bgp', key: 'tor' } }, holdTime: '30s', keepaliveTime: '5s' });
    await hasNoRoute(a, fromRouter[4]); // the router knows no password
    await router.kill();
    router = await start({
      directory: join(world.directory, `${name}-router-2`),
      namespace: world.router.namespace,
      asNumber: routerAs,
      routerId: '198.51.100.1',
      neighbors: [
        { address: a.host4, asNumber: 64512, password },
        { address: a.host6, asNumber: 64512 },
      ],
    });
    await Promise.all(sessionsOfRouter.map((symbol) => established(a, symbol)));
    await router.announce(fromRouter[4], { nextHop: a.router4 });
    await hasRoute(a, fromRouter[4]);
    // The lower of both ends' counts: the router's is 9 s.
    expect(await a.bird.ask("show protocols all 'peer4-tor-4'")).toMatch(/Hold timer: +[\d.]+\/9\b/);
  });
});

test('FRR is missed by BFD when it is silent, and by nothing else before', async () => {
  const world = await openWorld(1);
  const [a] = world.hosts as [TestHost];
  let router: Foreign | undefined;
  try {
    await world.put(
      'bgppeers',
      'tor',
      { node: a.name, peerIP: a.router4, asNumber: routerAs, holdTime: '300s' },
      { annotations: { 'openstack.projectcalico.org/bfd': 'true' } },
    );
    a.startAgent();
    router = await startFrr(
      {
        directory: join(world.directory, 'frr'),
        namespace: world.router.namespace,
        asNumber: routerAs,
        routerId: '198.51.100.1',
        neighbors: [{ address: a.host4, asNumber: 64512 }],
        holdSeconds: 300,
      },
      [`no neighbor ${a.host4} ebgp-multihop`, `neighbor ${a.host4} bfd`],
    );
    await established(a, 'peer4-tor');
    await until('BFD', async () => (new RegExp(`${a.router4.replaceAll('.', '\\.')} .*Up`).test(await a.bird.ask('show bfd sessions')) ? true : undefined));
    router.freeze();
    await until('the end of the session', async () => ((await a.bird.ask("show protocols all 'peer4-tor'")).includes('BFD session down') ? true : undefined));
  } finally {
    await router?.kill();
    await world.close();
  }
});
