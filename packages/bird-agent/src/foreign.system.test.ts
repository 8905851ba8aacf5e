// Tests the agent with BGP speakers other than BIRD: FRR and GoBGP, each as a router next door and as a rogue member of the mesh.
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type BgpMessage, type BgpWire, watchBgp } from './testing/bgp-wire.ts';
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
/** The kernel's route to an address in a namespace, as `ip` prints it; empty when there is none. */
const routeAt = (namespace: string, address: string): string => execFileSync('ip', ['-n', namespace, 'route', 'show', address], { encoding: 'utf8' });
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
  let wire: BgpWire;
  const sessionsOfRouter = families.map((family) => `peer${family}-tor-${family}`);
  const since = async (...symbols: readonly string[]): Promise<unknown> => Promise.all(symbols.map(async (symbol) => (await a.bird.session(symbol))?.since));
  const tor = (family: 4 | 6, more: object = {}) =>
    world.put('bgppeers', `tor-${family}`, { node: a.name, peerIP: a[`router${family}`], asNumber: routerAs, ...more });

  beforeAll(async () => {
    world = await openWorld(2);
    [a, member] = world.hosts as [TestHost, TestHost];
    wire = watchBgp(world.router.namespace);
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
    wire?.close();
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
    watched = await watchRoutes(a.namespace);
    const stolen = {
      4: ['198.51.100.1/32', `${a.host4}/32`, `${a.router4}/32`, localVm[4], '0.0.0.0/0', '10.0.0.0/8', '169.254.169.254/32'],
      6: [`${a.host6}/128`, `${a.router6}/128`, localVm[6], '::/0', '2001:db8::/32'],
    };
    for (const family of families)
      for (const prefix of stolen[family]) await rogue.announce(prefix, { nextHop: member[`host${family}`], localPref: 2147483135 });
    const fromRouterToo = { 4: ['169.254.169.254/32', `${a.host4}/32`, `${a.router4}/32`, localVm[4]], 6: [`${a.host6}/128`, localVm[6]] };
    for (const family of families) for (const prefix of fromRouterToo[family]) await router.announce(prefix, { nextHop: a[`router${family}`] });
    // The last route of each is an allowed one. When it has arrived, the routes before it have been judged.
    await rogue.announce('10.65.0.13/32', { nextHop: member.host4 });
    await router.announce('203.0.113.128/25', { nextHop: a.router4 });
    await Promise.all([hasRoute(a, '10.65.0.13/32'), hasRoute(a, '203.0.113.128/25')]);
    const moved = (await watched.events()).split('\n').flatMap((line) => line.split(' ')[line.startsWith('Deleted ') ? 1 : 0] || []);
    watched.end();
    expect(moved.sort()).toEqual(['10.65.0.13', '203.0.113.128/25']);
    expect(await since(...sessionsOfRouter, 'mesh4-host-1', 'mesh6-host-1')).toEqual(before);
    await until('the refusal in the metric', async () =>
      (await a.metric('calico_bird_agent_refused_routes{session="mesh4-host-1"}')) >= 6 ? true : undefined,
    );
    expect(await a.show()).toMatch(/mesh4-host-1: \d+ of its neighbour's routes are refused/);
  });

  describe('a change moves no session, and no route that it does not concern, on the host, on the wire or at the router', () => {
    let onHost: Watched;
    let atRouter: Watched;
    let before: unknown;
    let workloads = 0;
    const vm = '10.65.8.4';
    const sessions = [...sessionsOfRouter, 'mesh4-host-1', 'mesh6-host-1'];

    beforeAll(async () => {
      before = await since(...sessions);
      await a.workloadRoute('add', `${vm}/32`);
      await until('one more workload at the router', () => router.learnt(`${vm}/32`));
      // FRR's BGP knows a route before its kernel has it.
      if (name === 'FRR') await until('its route in the router’s kernel', () => routeAt(world.router.namespace, vm) || undefined);
      const told = new Set<string>();
      await until('its announcement on the wire, to both neighbours', () => {
        for (const { to, announced } of wire.messages()) if (announced.some((prefix) => prefix === `${vm}/32`)) told.add(to);
        return (told.has(a.router4) && told.has(member.host4)) || undefined;
      });
      [onHost, atRouter] = [await watchRoutes(a.namespace), await watchRoutes(world.router.namespace)];
    });
    afterAll(() => {
      onHost?.end();
      atRouter?.end();
    });

    /** The address or prefix in each line of `ip monitor`. */
    const moved = async (watched: Watched): Promise<readonly string[]> =>
      (await watched.news())
        .split('\n')
        .flatMap((line) => line.split(' ')[line.startsWith('Deleted ') ? 1 : 0] || [])
        .filter((destination) => !/^(multicast|broadcast|local|none)$/.test(destination));

    /** The effects of a change: on the wire the routes that the host announced (+), withdrew (-) or sent again unchanged (=), and other messages; in the kernels the destinations of changed routes. */
    type Moved = { readonly wire: readonly string[]; readonly host: readonly string[]; readonly router: readonly string[] };

    /**
     * Makes a change, waits until BIRD uses the configuration (unless the change does not affect it), and adds one workload in each family. When the neighbours have these routes, BIRD has sent
     * all messages that follow from the change. The workloads' own routes are left out of the result.
     */
    async function movedBy(change: () => Promise<unknown>, isConfigured = true): Promise<Moved> {
      workloads += 1;
      const marks = [`10.65.9.${workloads}`, `2001:db8:a:9::${workloads}`] as const;
      const revision = await a.bird.ask('eval calico_revision');
      await change();
      if (isConfigured) await until('another configuration', async () => ((await a.bird.ask('eval calico_revision')) === revision ? undefined : true));
      await a.ready();
      const messages: BgpMessage[] = [];
      await a.workloadRoute('add', `${marks[0]}/32`);
      await a.workloadRoute('add', `${marks[1]}/128`);
      await until('the new workloads on the wire, to both neighbours', () => {
        messages.push(...wire.messages().filter(({ from }) => from === a.host4 || from === a.host6));
        return [a.router4, member.host4, a.router6, member.host6].every((neighbor) =>
          messages.some(({ to, announced }) => to === neighbor && announced.some((prefix) => marks.includes(prefix.split('/')[0] as never))),
        );
      });
      // GoBGP does not program routes into the kernel.
      for (const watched of [onHost, ...(name === 'FRR' ? [atRouter] : [])])
        await until('the new workloads in the kernels', async () => {
          const events = await watched.events();
          return marks.every((mark) => events.includes(`${mark} `)) || undefined;
        });
      const isMark = (destination: string): boolean => /^10\.65\.9\.|^2001:db8:a:9::/.test(destination);
      return {
        wire: messages
          .flatMap(({ kind, to, announced, repeated, withdrawn }) => {
            if (kind !== 'update') return [`${kind} ${to}`];
            const signs = { '+': announced, '=': repeated, '-': withdrawn };
            return Object.entries(signs).flatMap(([sign, prefixes]) => prefixes.map((prefix) => `${sign}${prefix} ${to}`));
          })
          .filter((said) => !marks.includes(said.slice(1).split('/')[0] as never))
          .sort(),
        host: (await moved(onHost)).filter((destination) => !isMark(destination)),
        router: (await moved(atRouter)).filter((destination) => !isMark(destination)),
      };
    }
    const nothing: Moved = { wire: [], host: [], router: [] };
    /** When a session's export filter changes, BIRD sends that neighbour all its routes again, unchanged. No other neighbour gets any message. */
    const withoutRepeats = (moved: Moved, neighbors: readonly string[]): Moved => ({
      ...moved,
      wire: moved.wire.filter((said) => !said.startsWith('=') || !neighbors.some((neighbor) => said.endsWith(` ${neighbor}`))),
    });
    afterEach(async () => {
      expect(await since(...sessions)).toEqual(before);
    });

    test('a Node comes, changes and goes', async () => {
      for (const address of ['198.51.100.10/24', '198.51.100.11/24'])
        expect(await movedBy(() => world.put('nodes', 'absent', { bgp: { ipv4Address: address } }))).toEqual(nothing);
      expect(await movedBy(() => world.remove('nodes', 'absent'))).toEqual(nothing);
    });

    test('another BGPPeer comes, changes and goes', async () => {
      for (const keepaliveTime of ['10s', '20s'])
        expect(await movedBy(() => world.put('bgppeers', 'another', { node: a.name, peerIP: '198.51.100.20', asNumber: 64999, keepaliveTime }))).toEqual(
          nothing,
        );
      expect(await movedBy(() => world.remove('bgppeers', 'another'))).toEqual(nothing);
    });

    test.each([
      ['ignoredInterfaces', { ignoredInterfaces: ['docker*'] }],
      ['the log level', { logSeverityScreen: 'Debug' }],
    ])('BGPConfiguration: %s', async (_, spec) => {
      expect(await movedBy(() => world.put('bgpconfigurations', 'default', spec))).toEqual(nothing);
      expect(await movedBy(() => world.remove('bgpconfigurations', 'default'))).toEqual(nothing);
    });

    test('BGPConfiguration: communities of other prefixes in one family', async () => {
      const advertisements = { prefixAdvertisements: [{ cidr: '10.99.0.0/16', communities: ['1:2'] }] };
      const neighbors = [a.router4, member.host4];
      expect(withoutRepeats(await movedBy(() => world.put('bgpconfigurations', 'default', advertisements)), neighbors)).toEqual(nothing);
      expect(withoutRepeats(await movedBy(() => world.remove('bgpconfigurations', 'default')), neighbors)).toEqual(nothing);
    });

    test('an IP pool comes and goes', async () => {
      expect(await movedBy(() => world.put('ippools', 'pool', { cidr: '10.64.0.0/10' }))).toEqual(nothing);
      expect(await movedBy(() => world.remove('ippools', 'pool'))).toEqual(nothing);
    });

    test('a workload is to leave this host, and stays', async () => {
      expect(await movedBy(() => world.migrate(a.name, member.name, [`${vm}/32`]))).toEqual(nothing);
      expect(await movedBy(() => world.migrated())).toEqual(nothing);
    });

    test('a workload comes and goes', async () => {
      const other = '10.65.0.5';
      for (const [verb, sign] of [
        ['add', '+'],
        ['del', '-'],
      ] as const)
        expect(await movedBy(() => a.workloadRoute(verb, `${other}/32`), false)).toEqual({
          wire: [a.router4, member.host4].map((to) => `${sign}${other}/32 ${to}`).sort(),
          host: [other],
          router: name === 'FRR' ? [other] : [],
        });
    });

    test('a BGPFilter of one BGPPeer moves what it rejects, with that neighbour', async () => {
      const filter = (cidr: string) => world.put('bgpfilters', 'f', { exportV4: [{ action: 'Reject', cidr, matchOperator: 'In' }] });
      await filter('203.0.113.128/25');
      const inRouter = name === 'FRR' ? [vm] : [];
      // The import filter changes too, so the neighbour is asked to send its routes again.
      for (const change of [() => tor(4, { filters: ['f'] }), () => tor(4), () => tor(4, { filters: ['f'] })])
        expect(withoutRepeats(await movedBy(change), [a.router4])).toEqual({ ...nothing, wire: [`refresh ${a.router4}`] });
      const rejected = withoutRepeats(await movedBy(() => filter(`${vm}/32`)), [a.router4]);
      expect(rejected).toEqual({ wire: [`-${vm}/32 ${a.router4}`], host: [], router: inRouter });
      const accepted = withoutRepeats(await movedBy(() => filter('203.0.113.128/25')), [a.router4]);
      expect(accepted).toEqual({ wire: [`+${vm}/32 ${a.router4}`], host: [], router: inRouter });
      await movedBy(() => tor(4));
    });
  });

  test('a BIRD that is killed and started again withdraws nothing from the router', async () => {
    watched = await watchRoutes(a.namespace);
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
    expect(lost).toEqual([]);
    if (sendsRoutesFirst) expect(await watched.events()).not.toMatch(/^Deleted/m);
    watched.end();
    for (const family of families) await Promise.all([hasRoute(a, fromRouter[family]), hasRoute(a, farVm[family])]);
  });

  test('its password and hold time are the session’s', async () => {
    await tor(4, { password: { secretKeyRef: { name: 'bgp', key: 'tor' } }, holdTime: '30s', keepaliveTime: '5s' });
    await hasNoRoute(a, fromRouter[4]); // the router has no password
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
    // The lower hold time of both ends applies, which is the router's 9 s.
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
