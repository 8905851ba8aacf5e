import { recordingLog } from '@calico-openstack/agent';
import { resourceKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { afterEach, describe, expect, test } from 'vitest';
import { type Core, type CoreConfig, startCore } from './core.ts';
import { compileSelector } from './selectors.ts';
import { coreConfig, fakeHost } from './testing/fake-host.ts';

const cores: Core[] = [];
afterEach(async () => {
  for (const core of cores.splice(0)) await core.close();
});

type BgpPlural = 'nodes' | 'bgpconfigurations' | 'bgppeers' | 'bgpfilters';

/** Starts an agent on a fake host, with an etcd in which host h2 is registered already. */
function setUp(config: Partial<CoreConfig> = {}) {
  const etcd = fakeEtcd();
  const host = fakeHost();
  const { log, entries } = recordingLog();
  const put = (plural: BgpPlural, name: string, spec: unknown) =>
    etcd.etcd.transact([], [{ put: resourceKey({ plural, name }), value: typeof spec === 'string' ? spec : JSON.stringify({ metadata: { name }, spec }) }]);
  const remove = (plural: BgpPlural, name: string) => etcd.etcd.transact([], [{ delete: resourceKey({ plural, name }) }]);
  const meet = (number: number) => put('nodes', `h${number}`, { bgp: { ipv4Address: `192.0.2.${number}/24` } });
  const connection = etcd.connect();
  return {
    ...etcd,
    ...host,
    put,
    remove,
    meet,
    connection,
    async start(): Promise<Core> {
      const core = await startCore({
        config: { ...coreConfig, ...config },
        etcd: connection,
        endpoints: ['http://192.0.2.200:2379'],
        world: host.world,
        compileSelector,
        log,
      });
      cores.push(core);
      await host.clock.pass(0);
      return core;
    },
    node: () => JSON.parse(etcd.contents()[resourceKey({ plural: 'nodes', name: 'h1' })] ?? 'null'),
    neighbors: (text = host.bird.state.running): string[] => [...(text ?? '').matchAll(/^ {2}neighbor (\S+) /gm)].map((match) => match[1]!),
    said: (msg: string) => entries.flatMap(({ message, fields }) => (message.startsWith(msg) ? [fields] : [])),
    problems: () =>
      entries.flatMap(({ message, fields }) =>
        message === 'a resource or setting is not applied as written' ? [`${fields['resource']}: ${fields['reason']}`] : [],
      ),
  };
}

describe('a host that is new', () => {
  test('registers itself, and has BIRD speak with all others; a host that comes later too', async () => {
    const { start, meet, node, neighbors, clock, bird } = setUp();
    await meet(2);
    const core = await start();
    expect(node()).toMatchObject({ spec: { bgp: { ipv4Address: '192.0.2.1/24' } } });
    expect(neighbors()).toEqual(['192.0.2.2']);
    expect([core.health.live, core.health.ready]).toEqual([true, true]);
    await meet(3);
    await clock.pass(0);
    expect(neighbors()).toEqual(['192.0.2.2', '192.0.2.3']);
    expect(bird.state.asked.filter((command) => command === 'configure')).toHaveLength(2);
  });

  test('writes nothing and says nothing to BIRD before the datastore was read whole', async () => {
    const { start, meet, setDown, bird, clock, node, neighbors } = setUp();
    await meet(2);
    setDown(true);
    const core = await start();
    await clock.pass(120_000);
    expect([bird.state.file, bird.state.asked, core.health.ready]).toEqual([undefined, [], false]);
    setDown(false);
    await clock.pass(0);
    expect(node()).not.toBeNull();
    expect(neighbors()).toEqual(['192.0.2.2']);
  });
});

describe('BIRD', () => {
  test('that was away is given its configuration a second after it is there, and the trouble is told once', async () => {
    const { start, meet, bird, clock, neighbors, said } = setUp();
    await meet(2);
    bird.state.away = true;
    const core = await start();
    await clock.pass(10_000);
    expect(said('BIRD is away')).toHaveLength(1);
    expect(core.health.ready).toBe(false);
    bird.state.away = false;
    await clock.pass(999);
    await clock.pass(1);
    expect(neighbors()).toEqual(['192.0.2.2']);
    expect(core.health.ready).toBe(true);
  });

  test('that has gone is noticed at once, and told of once more when it goes again', async () => {
    const { start, meet, bird, clock, said } = setUp();
    await meet(2);
    await start();
    for (let round = 0; round < 2; round += 1) {
      bird.die();
      await clock.pass(5000);
      bird.state.away = false;
      bird.state.running = bird.state.file;
      await clock.pass(1000);
    }
    expect(said('BIRD has ended')).toHaveLength(2);
    expect(said('BIRD is away')).toHaveLength(2);
  });

  test('that dies is started where that is the agent’s to do, with its former routes kept', async () => {
    const { start, meet, bird, clock, state } = setUp({ StartBird: true });
    await meet(2);
    bird.state.away = true;
    await start();
    expect(bird.state.starts).toEqual([{ recover: false }]);
    state.hasBirdRoutes = true;
    bird.die();
    await clock.pass(0);
    expect(bird.state.starts).toEqual([{ recover: false }, { recover: true }]);
  });

  test('is kept running with what it had while the datastore cannot be read, if that is the agent’s', async () => {
    const first = setUp({ StartBird: true });
    first.setDown(true);
    first.bird.state.away = true;
    first.bird.state.file = 'define calico_revision = "of an earlier run";';
    await first.start();
    expect(first.bird.state.starts).toEqual([{ recover: false }]);
    first.bird.die();
    first.bird.state.startFails = true;
    await first.clock.pass(5000);
    expect(first.bird.state.starts).toHaveLength(7); // BIRD is started once a second
    const other = setUp({ StartBird: true });
    other.setDown(true);
    other.bird.state.away = true;
    other.bird.state.file = 'an operator’s own';
    await other.start();
    await other.clock.pass(5000);
    expect(other.bird.state.starts).toEqual([]);
  });

  test('that refuses a configuration has the former one; it is asked again after a minute', async () => {
    const { start, meet, bird, clock, neighbors, problems } = setUp();
    await meet(2);
    const core = await start();
    bird.state.refusedByBird = 'mesh4-h3';
    await meet(3);
    await clock.pass(0);
    expect([neighbors(), neighbors(bird.state.file), core.health.ready]).toEqual([['192.0.2.2'], ['192.0.2.2'], false]);
    expect(problems()).toContainEqual(expect.stringMatching(/^\/etc\/bird\/bird.conf: BIRD refuses it: bird.conf:1:1 no/));
    bird.state.refusedByBird = 'what nobody writes';
    await clock.pass(59_000);
    expect(neighbors()).toEqual(['192.0.2.2']);
    await clock.pass(31_000);
    expect([neighbors(), core.health.ready]).toEqual([['192.0.2.2', '192.0.2.3'], true]);
  });

  test('that refused a configuration is asked again at once when the agent is told to read its files again', async () => {
    const { start, meet, bird, clock, neighbors, state } = setUp();
    await meet(2);
    const core = await start();
    bird.state.refusedByBird = 'mesh4-h3';
    await meet(3);
    await clock.pass(0);
    bird.state.refusedByBird = 'what nobody writes'; // as if BIRD had been upgraded
    core.reload();
    await clock.pass(0);
    expect(neighbors()).toEqual(['192.0.2.2', '192.0.2.3']);
    expect(state.passwordsRead).toBe(1);
  });

  test('is asked every ten seconds whose routes it refuses, and a change of the guards has it judge anew', async () => {
    const { start, meet, bird, clock, problems } = setUp();
    await meet(2);
    await start();
    const asked = () => bird.state.shown.filter((question) => question.includes('filtered') && question.includes('calico_refused()')).length;
    const perLook = asked();
    expect(perLook).toBeGreaterThan(0);
    bird.state.shown.length = 0;
    await clock.pass(9999);
    expect(asked()).toBe(0);
    bird.state.answers.set('show route filtered table master4 where calico_refused()', ['1 of 1 routes for 1 networks in table master4']);
    bird.state.answers.set('show route table master4', ['10.65.0.9/32        unicast [mesh4-h2 10:00:00.000] (100) [i]']);
    await clock.pass(1);
    expect(asked()).toBeGreaterThan(0);
    expect(bird.state.asked).toEqual(['configure']); // the data that decides which routes are accepted has not changed
    await meet(3); // a new host, whose address nobody may announce
    await clock.pass(0);
    expect(bird.state.asked).toEqual(['configure', 'configure', "reload in 'mesh4-h2'"]);
    expect(problems()).toEqual([]);
  });

  test('judges routes anew by the command of BIRD 3.4 too, which has another name', async () => {
    const { start, meet, bird, clock } = setUp();
    bird.state.unknownCommand = 'reload in ';
    await meet(2);
    await start();
    bird.state.answers.set('show route table master4', ['10.65.0.9/32        unicast [mesh4-h2 10:00:00.000] (100) [i]']);
    await meet(3);
    await clock.pass(0);
    expect(bird.state.asked).toContain("reload filters in 'mesh4-h2'");
  });

  test('which cannot be asked whose routes it refuses is a fault that is told, since a route that must go may be among them', async () => {
    const { start, meet, bird, said } = setUp();
    bird.state.unknownCommand = 'show route ';
    await meet(2);
    const core = await start();
    expect(said('a fault of the BIRD agent or its host')).toHaveLength(1);
    expect(core.health.ready).toBe(false);
  });
});

describe('this host’s Node', () => {
  test('that somebody deletes is written again', async () => {
    const { start, meet, remove, clock, node } = setUp();
    await meet(2);
    await start();
    await remove('nodes', 'h1');
    await clock.pass(5000);
    expect(node()).toMatchObject({ spec: { bgp: { ipv4Address: '192.0.2.1/24' } } });
  });

  test('follows the host’s address when that has been another for BGP’s hold time, and is not rewritten by a reload', async () => {
    const { start, meet, clock, node, state, changed, etcd } = setUp();
    await meet(2);
    const core = await start();
    state.ipv4 = '192.0.2.9/24';
    changed();
    await clock.pass(89_000);
    expect(node().spec.bgp.ipv4Address).toBe('192.0.2.1/24');
    await clock.pass(31_000); // the host's address is determined again every 30 s
    expect(node().spec.bgp.ipv4Address).toBe('192.0.2.9/24');
    const { revision } = await etcd.get('/');
    core.reload();
    await clock.pass(20_000);
    expect((await etcd.get('/')).revision).toBe(revision);
  });

  test('that cannot be written while etcd is away is written when it is back', async () => {
    const { start, meet, clock, node, state, changed, connection, neighbors } = setUp();
    await meet(2);
    const core = await start();
    connection.cut(true);
    await clock.pass(0);
    state.ipv4 = '192.0.2.9/24';
    changed();
    await clock.pass(125_000);
    expect(core.health.ready).toBe(false);
    expect(node().spec.bgp.ipv4Address).toBe('192.0.2.1/24');
    expect(neighbors()).toEqual(['192.0.2.2']); // BIRD keeps its sessions
    connection.cut(false);
    await clock.pass(0);
    expect(node().spec.bgp.ipv4Address).toBe('192.0.2.9/24');
    expect(core.health.ready).toBe(true);
  });
});

describe('a datastore that was emptied', () => {
  test('ends no session of hosts that register again within a minute', async () => {
    const { start, meet, clock, replace, neighbors, bird, problems } = setUp();
    await meet(2);
    await meet(3);
    await start();
    await clock.pass(3_600_000);
    replace();
    await clock.pass(30_000);
    expect(neighbors()).toEqual(['192.0.2.2', '192.0.2.3']);
    expect(problems()).toContainEqual(expect.stringMatching(/was the datastore emptied/));
    await meet(2);
    await clock.pass(40_000);
    expect(neighbors()).toEqual(['192.0.2.2']); // the other host has not registered again
    expect(bird.state.writtenMs).toBeGreaterThan(clock.nowMs() - 20_000);
  });

  test('is not doubted any more once its time is over, though nothing was lost', async () => {
    const { start, meet, clock, replace, neighbors, remove } = setUp();
    await meet(2);
    await start();
    await clock.pass(3_600_000);
    replace();
    await meet(2);
    await clock.pass(70_000);
    await remove('nodes', 'h2');
    await clock.pass(0);
    expect(neighbors()).toEqual([]);
  });
});

test('what everything rests on and was never understood leaves BIRD as it is, and says so; put right, it is followed', async () => {
  const { start, meet, put, bird, clock, neighbors, problems } = setUp();
  await meet(2);
  await put('bgpconfigurations', 'default', 'torn');
  await start();
  await clock.pass(60_000);
  expect(bird.state.file).toBeUndefined();
  expect(problems()).toContainEqual(expect.stringMatching(/^BGPConfiguration default/));
  await put('bgpconfigurations', 'default', {});
  await clock.pass(0);
  expect(neighbors()).toEqual(['192.0.2.2']);
});

test('a value that has become unreadable is remembered for the next agent', async () => {
  const { start, meet, put, clock, state } = setUp();
  await meet(2);
  await put('bgppeers', 'tor', { peerIP: '192.0.2.250', asNumber: 64500 });
  await start();
  await clock.pass(0);
  expect([...state.understood.keys()]).toContain(resourceKey({ plural: 'bgppeers', name: 'tor' }));
});
