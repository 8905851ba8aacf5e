// Tests the mesh: hosts that know each other from the datastore alone, with real BIRDs, a real etcd, and routed links between namespaces.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openWorld, type TestHost, until, type World } from './testing/world.ts';

let world: World;
let a: TestHost;
let b: TestHost;
let c: TestHost;

const established = async (host: TestHost, symbol: string): Promise<true | undefined> =>
  (await host.bird.session(symbol))?.detail === 'Established' ? true : undefined;
const bothFamilies = (host: TestHost, other: TestHost): Promise<unknown> =>
  Promise.all(
    [4, 6].map((family) => until(`${host.name}'s session with ${other.name} in family ${family}`, () => established(host, `mesh${family}-${other.name}`))),
  );
const hasRoute = (host: TestHost, prefix: string): Promise<unknown> =>
  until(`a route to ${prefix} on ${host.name}`, async () => ((await host.routesTo(prefix)).length > 0 ? true : undefined));
const hasNoRoute = (host: TestHost, prefix: string): Promise<unknown> =>
  until(`no route to ${prefix} on ${host.name}`, async () => ((await host.routesTo(prefix)).length === 0 ? true : undefined));
/** The prefixes that a host has learned in a session. */
const learned = async (host: TestHost, session: string): Promise<readonly string[]> =>
  (await host.bird.ask(`show route protocol '${session}'`)).match(/^\S+\/\d+/gm)?.sort() ?? [];

beforeAll(async () => {
  world = await openWorld(3);
  [a, b, c] = world.hosts as [TestHost, TestHost, TestHost];
  a.startAgent();
  b.startAgent();
  await Promise.all([bothFamilies(a, b), bothFamilies(b, a)]);
});
afterAll(() => world?.close());

test('each host has registered itself, with the addresses on the interface of its default route', async () => {
  expect(JSON.parse(await world.get('nodes', a.name))).toMatchObject({ spec: { bgp: { ipv4Address: `${a.host4}/30`, ipv6Address: `${a.host6}/64` } } });
});

describe.each([
  [4, '10.65.0.4/32', '10.65.0.5/32', '10.66.0.0/24', '10.67.0.1/32', 'via 192.0.2.6 dev eth0 proto bird metric 768'],
  [6, '2001:db8:a::4/128', '2001:db8:a::5/128', '2001:db8:b::/64', '2001:db8:c::1/128', 'via 2001:db8:f:2::6 dev eth0 proto bird metric 768 pref medium'],
])('in IPv%s', (family, workload, second, network, elsewhere, route) => {
  test('a workload’s route reaches the other host’s kernel, and leaves it', async () => {
    await a.workloadRoute('add', workload);
    await hasRoute(b, workload);
    expect(await b.routesTo(workload)).toEqual([`${workload.split('/')[0]} ${route}`]);
    await a.workloadRoute('del', workload);
    await hasNoRoute(b, workload);
  });
  test('nothing else is announced: no default route, no network of the host, no network on a workload’s interface', async () => {
    await a.workloadRoute('add', network);
    await a.ip(...(family === 6 ? ['-6'] : []), 'route', 'add', elsewhere, 'dev', 'eth0', 'proto', '3');
    await a.workloadRoute('add', workload);
    await a.workloadRoute('add', second);
    await Promise.all([hasRoute(b, workload), hasRoute(b, second)]);
    expect(await learned(b, `mesh${family}-${a.name}`)).toEqual([workload, second].sort());
    expect(await a.bird.ask(`show route for ${network}`)).toContain(network);
    for (const prefix of [workload, second, network]) await a.workloadRoute('del', prefix);
    await hasNoRoute(b, second);
  });
});

test('hosts come and go, and no session of others is touched by it', async () => {
  const before = await Promise.all([a.bird.session(`mesh4-${b.name}`), a.bird.session(`mesh6-${b.name}`)]);
  c.startAgent();
  await Promise.all([bothFamilies(a, c), bothFamilies(c, b)]);
  const names = Array.from({ length: 20 }, (_, number) => `absent-${number}`);
  for (const [number, name] of names.entries()) {
    await world.put('nodes', name, { bgp: { ipv4Address: `198.51.100.${number + 10}` } });
    await until(`a session with ${name}`, () => a.bird.session(`mesh4-${name}`));
  }
  for (const name of names) await world.remove('nodes', name);
  await until('no session with the absent', async () => ((await a.bird.sessions()).some(({ name }) => name.includes('absent')) ? undefined : true));
  expect(await c.endAgent()).toBe(0);
  await world.remove('nodes', c.name);
  await until('no session with the third host', async () => ((await a.bird.session(`mesh4-${c.name}`)) === undefined ? true : undefined));
  expect(await Promise.all([a.bird.session(`mesh4-${b.name}`), a.bird.session(`mesh6-${b.name}`)])).toEqual(before);
  expect(before.map((session) => session?.detail)).toEqual(['Established', 'Established']);
  // BIRD does not log a line for each session at each change.
  expect(readFileSync(join(world.directory, `${a.name}.bird.log`), 'utf8')).not.toMatch(/mesh\S+ Reconfigured/);
});

test('to BIRD, sessions by templates are those that an earlier release wrote out in full: an upgrade ends none', async () => {
  const symbols = [`mesh4-${b.name}`, `mesh6-${b.name}`];
  const sessions = (): Promise<unknown> => Promise.all(symbols.map((symbol) => a.bird.session(symbol)));
  const text = readFileSync(a.bird.configFile, 'utf8');
  const templates = new Map([...text.matchAll(/^template bgp (\w+)\n\{\n([\s\S]*?)^\}\n/gm)].map(([, name, body]) => [name!, body!]));
  const inFull = text
    .replaceAll(/^template bgp [\s\S]*?^\}\n/gm, '')
    .replaceAll(/^(protocol bgp '[^']+') from (\w+)\n\{\n/gm, (_, session: string, name: string) => `${session}\n{\n${templates.get(name)!}`);
  expect(inFull).not.toContain('template');
  const before = await sessions();
  await a.killAgent();
  for (const each of [inFull, text]) {
    writeFileSync(a.bird.configFile, each);
    // BIRD may still be at work on an earlier configuration.
    await until('BIRD has the configuration', async () => (await a.bird.ask('configure')).includes('Reconfigured') || undefined);
    expect(await sessions()).toEqual(before);
  }
  a.startAgent();
});

test('a Node that somebody deleted comes back', async () => {
  await world.remove('nodes', a.name);
  await until('the Node', async () => ((await world.get('nodes', a.name)) !== '' ? true : undefined));
  await Promise.all([a.ready(), b.ready()]);
  await Promise.all([bothFamilies(a, b), bothFamilies(b, a)]);
});

describe.each([
  [4, '10.65.0.9/32'],
  [6, '2001:db8:a::9/128'],
])('live migration in IPv%s', (family, prefix) => {
  const address = prefix.split('/')[0]!;
  const leadsTo = async (host: TestHost): Promise<string> =>
    /dev (\S+)/.exec(await host.ip(...(family === 6 ? ['-6'] : []), 'route', 'get', address))?.[1] ?? '';
  test('the new host’s route beats the old one’s tap; back at its normal metric it leaves nothing behind', async () => {
    await a.workloadRoute('add', prefix, 1024);
    await hasRoute(b, prefix);
    await world.migrate(a.name, b.name, [prefix]);
    await b.workloadRoute('add', prefix, 512);
    await until('the old host sends to the new', async () => ((await leadsTo(a)) === 'eth0' ? true : undefined));
    expect(await leadsTo(b)).toBe('tap0');
    await a.workloadRoute('del', prefix);
    await b.workloadRoute('add', prefix, 1024);
    await b.ip(...(family === 6 ? ['-6'] : []), 'route', 'del', prefix, 'dev', 'tap0', 'metric', '512');
    await until('a normal route again', async () => ((await a.bird.ask(`show route all for ${prefix}`)).includes('local_pref: 2147482623') ? true : undefined));
    await until('one route in the kernel', async () => (await a.routesTo(prefix)).length === 1 || undefined);
    await b.workloadRoute('del', prefix);
    await world.migrated();
    await hasNoRoute(a, prefix);
  });
});

test('BFD comes to running sessions without a flap, and ends one whose neighbour is silent', async () => {
  const isUp = async (): Promise<boolean> => new RegExp(`${b.host4} .*Up`).test(await a.bird.ask('show bfd sessions'));
  /** Whether BFD has come without a flap. A BIRD that gets no time for 1.2 s ends the session rightly, so on a busy machine it may come several times. */
  async function comes(): Promise<boolean> {
    await world.remove('bgpconfigurations', 'default');
    await until('no BFD', async () => !(await isUp()) || undefined);
    await bothFamilies(a, b);
    const before = await a.bird.session(`mesh4-${b.name}`);
    await world.put('bgpconfigurations', 'default', {}, { annotations: { 'openstack.projectcalico.org/bfd': 'true' } });
    await until('BFD between the hosts', async () => (await isUp()) || undefined);
    return isDeepStrictEqual(await a.bird.session(`mesh4-${b.name}`), before);
  }
  let hasCome = false;
  for (let attempt = 0; attempt < 5 && !hasCome; attempt += 1) hasCome = await comes();
  expect(hasCome).toBe(true);
  await world.router.ip('link', 'set', 'h1', 'down');
  await until('the end of the session', async () =>
    (await a.bird.ask(`show protocols all 'mesh4-${b.name}'`)).includes('BFD session down') ? true : undefined,
  );
});
