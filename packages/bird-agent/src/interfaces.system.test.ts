// Tests that setting, changing and removing `ignoredInterfaces` on a host with running sessions changes neither its routes nor its neighbour's.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { watchRoutes } from './testing/watch-routes.ts';
import { openWorld, type TestHost, until, type World } from './testing/world.ts';

let world: World;
let a: TestHost;
let b: TestHost;

const vms = { a: ['10.65.0.4/32', '2001:db8:a::4/128'], b: ['10.65.0.8/32', '2001:db8:a::8/128'] } as const;
const sessions = ['mesh4-host-', 'mesh6-host-'] as const;

/** For each session on both ends: when it was established, and how often the other end has announced and withdrawn routes. */
const sessionsAndUpdates = async (): Promise<unknown> =>
  Promise.all(
    (
      [
        [a, 1],
        [b, 0],
      ] as const
    ).flatMap(([host, other]) =>
      sessions.map(async (name) => {
        const all = await host.bird.ask(`show protocols all '${name}${other}'`);
        return [await host.bird.session(`${name}${other}`), all.match(/Import (?:updates|withdraws): .*/g)];
      }),
    ),
  );
const ignoring = async (patterns: readonly string[]): Promise<void> => {
  const former = readFileSync(a.bird.configFile, 'utf8');
  await world.put('bgpconfigurations', 'default', { ignoredInterfaces: patterns });
  for (const host of [a, b]) {
    await until(`${host.name}: ${patterns.join()} ignored`, async () => {
      const text = readFileSync(host.bird.configFile, 'utf8');
      const revision = /calico_revision = "(\S+)"/.exec(text)![1]!;
      return (
        text !== former &&
        patterns.every((pattern) => text.includes(`ifname ~ "${pattern}"`)) &&
        (await host.bird.ask('eval calico_revision')).includes(revision)
      );
    });
  }
};

beforeAll(async () => {
  world = await openWorld(2);
  [a, b] = world.hosts as [TestHost, TestHost];
  await a.ip('link', 'add', 'docker0', 'type', 'ifb');
  await a.ip('link', 'set', 'docker0', 'up');
  await a.ip('addr', 'add', '10.98.0.1/24', 'dev', 'docker0');
  // Both hosts are on this network. Next hops are resolved in it, so all routes would change with it.
  await a.ip('link', 'add', 'rack0', 'type', 'veth', 'peer', 'name', 'rack0', 'netns', b.namespace);
  for (const [number, host] of [a, b].entries()) {
    await host.ip('link', 'set', 'rack0', 'up');
    await host.ip('addr', 'add', `10.97.0.${number + 1}/24`, 'dev', 'rack0');
    await host.ip('-6', 'addr', 'add', `2001:db8:97::${number + 1}/64`, 'dev', 'rack0', 'nodad');
    host.startAgent({ IPv4Address: `10.97.0.${number + 1}/24`, IPv6Address: `2001:db8:97::${number + 1}/64` });
  }
  for (const [host, prefixes] of [
    [a, vms.a],
    [b, vms.b],
  ] as const)
    for (const prefix of prefixes) await host.workloadRoute('add', prefix);
  for (const [host, prefixes] of [
    [a, vms.b],
    [b, vms.a],
  ] as const)
    for (const prefix of prefixes) await until(`${prefix} on ${host.name}`, async () => (await host.routesTo(prefix)).length > 0);
  await Promise.all([a, b].map((host) => host.ready()));
});
afterAll(() => world?.close());

test('interfaces that become ignored, and are so no longer, move no route on the host or on its neighbour, and no session', async () => {
  const before = await sessionsAndUpdates();
  const watched = await Promise.all([a, b].map(({ namespace }) => watchRoutes(namespace)));
  let events: readonly string[] = [];
  try {
    for (const patterns of [['docker*'], ['docker*', 'br-*'], ['br-*'], []]) {
      await ignoring(patterns);
      expect(await sessionsAndUpdates()).toEqual(before);
    }
    // BIRD processes its pending work before this route, so the watchers have seen its events by then.
    await a.workloadRoute('add', '10.65.0.5/32');
    await until('the neighbour hears of one more workload', async () => (await b.routesTo('10.65.0.5/32')).length > 0 || undefined);
    events = await Promise.all(watched.map((each) => each.events()));
  } finally {
    for (const each of watched) each.end();
  }
  const others = events.map((text) => text.split('\n').filter((line) => line !== '' && !line.startsWith('10.65.0.5 ')));
  expect(others).toEqual([[], []]);
});
