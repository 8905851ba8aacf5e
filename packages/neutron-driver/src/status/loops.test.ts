import { recordingLog, silentLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { agentStatusKey, agentStatusRoot, endpointStatusKey, felixStatusKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { describe, expect, test, vi } from 'vitest';
import type { PortRow } from '../rows.ts';
import type { AgentReport, Background, FloatingIpUpdate, StatusUpdate } from '../sources.ts';
import { keysOf } from '../sync/plan.ts';
import { stampsOver } from '../testing/background.ts';
import { database } from '../testing/database.ts';
import { eventually } from '../testing/eventually.ts';
import { bindingRow, deviceId, floatingIpRow, portRow } from '../testing/rows.ts';
import { startAgentReports } from './agents.ts';
import { followAgents, followStatus } from './follow.ts';
import { startPortStatusLoop } from './port-loop.ts';
import { Unreported } from './unreported.ts';

const log = silentLog();
/** A heartbeat of a Felix, as Neutron gets it. */
const felix = (host: string, started: boolean): AgentReport => ({ agent: 'calico-felix', host, started });

/** A Neutron as the loops see it: a status that is set shows in its rows. */
function neutron() {
  const db = database();
  const set: StatusUpdate[] = [];
  const told: string[] = [];
  const floating: FloatingIpUpdate[] = [];
  const batches: (readonly AgentReport[])[] = [];
  const state = { away: false, refused: 0 };
  const check = (): void => {
    if (state.away) state.refused += 1;
    if (state.away) throw new Error('the database is away');
  };
  const source: Background = {
    ...db.source,
    page: () => Promise.reject(new Error('not asked for')),
    ...stampsOver(db),
    portsOf: () => Promise.reject(new Error('not asked for')),
    setPortStatus: async (update) => {
      check();
      set.push(update);
      const port = db.tables.ports.get(update.port);
      if (port) db.tables.ports.set(port.id, { ...port, status: update.status });
    },
    setFloatingIpStatus: async (update) => void floating.push(update),
    notCarriedOut: async () => [],
    notifyPortActive: async (port) => void told.push(port),
    reportAgents: async (agents) => {
      check();
      batches.push(agents);
    },
  };
  return { db, source, set, told, floating, batches, state };
}

const statusKey = (host: string, port: string): string =>
  endpointStatusKey(undefined, { host, orchestrator: 'openstack', workload: `openstack/${deviceId}`, endpoint: port });
const report = (status: string): string => JSON.stringify({ status });
const alive = (first = false): string => JSON.stringify({ time: '2026-01-01T00:00:00Z', uptime: 1, first_update: first });

/** A Neutron that refuses to write a floating IP's status as often as said. `refusals` is how often it still would, one less for each attempt. */
function refusingFloatingIps(source: Background, refusals: number) {
  const unwilling = {
    refusals,
    source: {
      ...source,
      async setFloatingIpStatus(update) {
        unwilling.refusals -= 1;
        if (unwilling.refusals >= 0) throw new Error('StaleDataError');
        await source.setFloatingIpStatus(update);
      },
    } satisfies Background,
  };
  return unwilling;
}

test('reports become states; a snapshot, a takeover and a report that says the same write nothing again', async () => {
  const { etcd, connect } = fakeEtcd();
  const { db, source, set } = neutron();
  for (const id of ['p1', 'p2', 'p3']) db.tables.ports.set(id, portRow({ id, bindings: [bindingRow('h1')] }));
  db.tables.ports.set('p3', portRow({ id: 'p3', bindings: [bindingRow('h1')], status: 'ACTIVE' }));
  await etcd.transact(
    [],
    ['p1', 'p2', 'p3'].map((port) => ({ put: statusKey('h1', port), value: report('up') })),
  );
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 2, log });
  const agents = startAgentReports({ source, everyMs: 1_000_000, isElected: () => true, log });
  const first = followStatus({ etcd, region: undefined, ports, agents, log });
  await eventually(() => expect(set.map(({ port }) => port).sort()).toEqual(['p1', 'p2']));
  first.close();
  const other = connect();
  const again = followStatus({ etcd: other, region: undefined, ports, agents, log });
  await etcd.transact(
    [],
    [
      { put: statusKey('h1', 'p1'), value: report('up') },
      { put: statusKey('h1', 'p2'), value: report('down') },
    ],
  );
  await eventually(() => expect(set.at(-1)).toEqual({ port: 'p2', host: 'h1', status: 'DOWN' }));
  expect(set).toHaveLength(3);
  again.close();
  await Promise.all([ports.close(), agents.close()]);
});

test('of ports that were just bound, only those with a report are compared', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, set } = neutron();
  const read: (readonly string[])[] = [];
  const counting: Background = {
    ...source,
    rows: (question) => {
      read.push(question.ports);
      return source.rows(question);
    },
  };
  for (const id of ['new', 'returned', 'last']) db.tables.ports.set(id, portRow({ id, bindings: [bindingRow('h1')] }));
  await etcd.transact([], [{ put: statusKey('h1', 'returned'), value: report('up') }]);
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source: counting, threads: 2, log });
  const slots = [{ host: 'h1', device: deviceId }];
  ports.bound('new', slots);
  ports.bound('returned', slots);
  await eventually(() => expect(set).toEqual([{ port: 'returned', host: 'h1', status: 'ACTIVE' }]));
  ports.vanished('last', statusKey('h1', 'last'), 7);
  ports.bound('last', slots);
  await eventually(() => expect(read.flat()).toContain('last'));
  expect(read.flat()).not.toContain('new');
  await ports.close();
});

test('ports that were just bound are compared when etcd is back', async () => {
  const { etcd, setDown } = fakeEtcd();
  const { db, source, set } = neutron();
  db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow('h1')] }));
  await etcd.transact([], [{ put: statusKey('h1', 'p1'), value: report('up') }]);
  setDown(true);
  const { log, entries } = recordingLog();
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 2, log });
  ports.bound('p1', [{ host: 'h1', device: deviceId }]);
  await eventually(() => expect(entries).toHaveLength(1));
  setDown(false);
  await eventually(() => expect(set).toEqual([{ port: 'p1', host: 'h1', status: 'ACTIVE' }]));
  await ports.close();
});

test('a state that could not be written is written later', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, set, state } = neutron();
  db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow('h1')] }));
  await etcd.transact([], [{ put: statusKey('h1', 'p1'), value: report('up') }]);
  state.away = true;
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 2, log });
  ports.look('p1');
  await eventually(() => expect(state.refused).toBeGreaterThan(0));
  state.away = false;
  await eventually(() => expect(set).toEqual([{ port: 'p1', host: 'h1', status: 'ACTIVE' }]));
  await ports.close();
});

test('Nova is told once of a port that is up where it is moving to', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, told } = neutron();
  db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow('h1', 'tap', { migrating_to: 'h2' })] }));
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 2, log });
  await etcd.transact([], [{ put: statusKey('h2', 'p1'), value: report('up') }]);
  ports.look('p1');
  await eventually(() => expect(told).toEqual(['p1']));
  ports.look('p1');
  db.tables.ports.set('p2', portRow({ id: 'p2', bindings: [bindingRow('h1', 'tap', { migrating_to: 'h2' })] }));
  await etcd.transact([], [{ put: statusKey('h2', 'p2'), value: report('up') }]);
  ports.look('p2');
  await eventually(() => expect(told).toEqual(['p1', 'p2']));
  await ports.close();
});

test('Nova is told again of a port that comes back after it was down where it is moving to', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, told } = neutron();
  const clock = fakeClock();
  db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow('h1', 'tap', { migrating_to: 'h2' })] }));
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 2, log, clock });
  for (const [status, times] of [
    ['up', 1],
    ['down', 1],
    ['up', 2],
  ] as const) {
    await etcd.transact([], [{ put: statusKey('h2', 'p1'), value: report(status) }]);
    ports.look('p1');
    await clock.pass(0);
    expect([status, told.length]).toEqual([status, times]);
  }
  await ports.close();
});

test('the status of a floating IP that cannot be written is written later', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, floating } = neutron();
  const clock = fakeClock();
  db.tables.ports.set('p1', portRow({ id: 'p1', status: 'ACTIVE', bindings: [bindingRow('h1')] }));
  db.floatingIps.push(floatingIpRow({ fixed_port_id: 'p1', status: 'DOWN' }));
  await etcd.transact([], [{ put: statusKey('h1', 'p1'), value: report('up') }]);
  const unwilling = refusingFloatingIps(source, 2);
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source: unwilling.source, threads: 1, log, clock });
  ports.look('p1');
  await clock.pass(0);
  expect([floating, unwilling.refusals]).toEqual([[], 1]);
  await clock.pass(60_000);
  expect(floating.map(({ status }) => status)).toEqual(['ACTIVE']);
  await ports.close();
});

test('a floating IP that is ACTIVE stays so when its port becomes ACTIVE', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, set, floating } = neutron();
  const clock = fakeClock();
  db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow('h1')] }));
  db.floatingIps.push(floatingIpRow({ fixed_port_id: 'p1', status: 'ACTIVE' }));
  await etcd.transact([], [{ put: statusKey('h1', 'p1'), value: report('up') }]);
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 1, log, clock });
  ports.look('p1');
  await clock.pass(0);
  expect([set.length, floating]).toEqual([1, []]);
  await ports.close();
});

test('a floating IP that belongs to no port any more is DOWN, which is written once, and again where it could not be', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, floating } = neutron();
  const clock = fakeClock();
  db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow('h1')] }));
  const unwilling = refusingFloatingIps(source, 1);
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source: unwilling.source, threads: 1, log, clock });
  ports.freed('f1');
  await clock.pass(60_000);
  ports.look('p1');
  await clock.pass(0);
  expect([floating, unwilling.refusals]).toEqual([[{ id: 'f1', port: undefined, status: 'DOWN' }], -1]);
  await ports.close();
});

test('Nova is told of a port that is made again with the id of a deleted one', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, told } = neutron();
  const clock = fakeClock();
  const moving = portRow({ id: 'p1', bindings: [bindingRow('h1', 'tap', { migrating_to: 'h2' })] });
  await etcd.transact([], [{ put: statusKey('h2', 'p1'), value: report('up') }]);
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 1, log, clock });
  for (const isThere of [true, false, true]) {
    if (isThere) db.tables.ports.set('p1', moving);
    else db.tables.ports.delete('p1');
    ports.look('p1');
    await clock.pass(0);
  }
  expect(told).toEqual(['p1', 'p1']);
  await ports.close();
});

test('Nova is told later of a port that it could not be told of', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, told } = neutron();
  const clock = fakeClock();
  db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow('h1', 'tap', { migrating_to: 'h2' })] }));
  await etcd.transact([], [{ put: statusKey('h2', 'p1'), value: report('up') }]);
  let isAway = true;
  const unwilling: Background = {
    ...source,
    async notifyPortActive(port) {
      if (isAway) throw new Error('Nova is away');
      await source.notifyPortActive(port);
    },
  };
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source: unwilling, threads: 1, log, clock });
  ports.look('p1');
  await clock.pass(5000);
  isAway = false;
  await clock.pass(30_000);
  expect(told).toEqual(['p1']);
  await ports.close();
});

test('each outage of Neutron is told once', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, set, state } = neutron();
  const clock = fakeClock();
  const { log: recorded, entries } = recordingLog();
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 1, log: recorded, clock });
  for (const id of ['p1', 'p2']) {
    db.tables.ports.set(id, portRow({ id, bindings: [bindingRow('h1')] }));
    await etcd.transact([], [{ put: statusKey('h1', id), value: report('up') }]);
    state.away = true;
    ports.look(id);
    await clock.pass(30_000);
    state.away = false;
    await clock.pass(30_000);
  }
  expect(set).toHaveLength(2);
  expect(entries.filter(({ message }) => message.startsWith('port states do not reach Neutron'))).toHaveLength(2);
  await ports.close();
});

test('a migration to a host whose Felix does not report the port is logged once, and again for the next host; a report, the end or a deletion in time is not', async () => {
  const { etcd } = fakeEtcd();
  const { db, source } = neutron();
  const clock = fakeClock();
  const { log: recorded, entries } = recordingLog();
  const moves = (id: string, to?: string) =>
    db.tables.ports.set(id, portRow({ id, bindings: [bindingRow('h1', 'tap', to === undefined ? {} : { migrating_to: to })] }));
  const silent = () => entries.filter(({ severity }) => severity === 'ERROR').map(({ fields }) => `${fields['port']} ${fields['host']}`);
  const unreported = new Unreported(recorded, clock);
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 1, log: recorded, clock, unreported });
  const names = ['dead', 'reported', 'ended', 'deleted'];
  for (const id of names) moves(id, 'h2');
  for (const id of names) ports.look(id);
  await clock.pass(9000);
  await etcd.transact([], [{ put: statusKey('h2', 'reported'), value: report('down') }]); // the change is delivered to another driver
  moves('ended');
  db.tables.ports.delete('deleted');
  expect(silent()).toEqual([]);
  await clock.pass(1000);
  expect([silent(), unreported.late]).toEqual([['dead h2'], 1]);
  await clock.pass(60_000);
  moves('dead', 'h3');
  ports.look('dead');
  await clock.pass(0);
  expect(unreported.late).toBe(0);
  await clock.pass(10_000);
  expect([silent(), unreported.late]).toEqual([['dead h2', 'dead h3'], 1]);
  await etcd.transact([], [{ put: statusKey('h3', 'dead'), value: report('up') }]); // this change is delivered to another driver too
  await clock.pass(10_000);
  expect([unreported.late, clock.restsMs]).toEqual([0, []]);
  await ports.close();
});

test('new agents are reported at once, all in one write; the others wait for the next; upstream’s own probe is nobody', async () => {
  const { etcd } = fakeEtcd();
  const { source, batches } = neutron();
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source, threads: 1, log });
  const agents = startAgentReports({ source, everyMs: 1_000_000, isElected: () => true, log });
  await etcd.transact(
    [],
    [
      { put: '/calico/felix/v2/no-region/host/round-trip-check', value: '12.5' },
      { put: `${felixStatusKey(undefined, 'h1')}`, value: alive() },
      { put: `${felixStatusKey(undefined, 'h2')}`, value: alive(true) },
    ],
  );
  const following = followStatus({ etcd, region: undefined, ports, agents, log });
  await eventually(() => expect(batches).toEqual([[felix('h1', false), felix('h2', true)]]));
  await etcd.transact([], [{ put: felixStatusKey(undefined, 'h1'), value: alive() }]);
  await etcd.transact([], [{ put: felixStatusKey(undefined, 'h3'), value: alive(true) }]);
  await eventually(() => expect(batches[1]).toEqual([felix('h1', false), felix('h3', true)]));
  following.close();
  await Promise.all([ports.close(), agents.close()]);
});

test('an etcd that was restored or replaced while its reports were followed is told of; one that was only away is not', async () => {
  const { etcd, setDown, replace } = fakeEtcd();
  const nobody = { look: () => {}, bound: () => {}, vanished: () => {}, freed: () => {}, close: async () => {} };
  const anew = vi.fn();
  await etcd.transact([], [{ put: felixStatusKey(undefined, 'h1'), value: alive() }]);
  const reported = vi.fn();
  const follower = followStatus({ etcd, region: undefined, ports: nobody, agents: { reported, close: async () => {} }, log, onReadAnew: anew });
  await eventually(() => expect(reported).toHaveBeenCalledTimes(1));
  setDown(true);
  setDown(false);
  await etcd.transact([], [{ put: felixStatusKey(undefined, 'h1'), value: alive() }]);
  await eventually(() => expect(reported).toHaveBeenCalledTimes(2));
  expect(anew).not.toHaveBeenCalled();
  replace();
  await eventually(() => expect(anew).toHaveBeenCalledTimes(1));
  follower.close();
});

test('a state is looked at once more behind its write: what another driver wrote meanwhile, and this one wrote over, comes back', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, set } = neutron();
  const clock = fakeClock();
  db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow('h1')] }));
  await etcd.transact([], [{ put: statusKey('h1', 'p1'), value: report('up') }]);
  let first = true;
  const overtaken: Background = {
    ...source,
    setPortStatus: async (update) => {
      // The driver that is elected from now on has seen the port go down, and has written that. This one does not get the change.
      if (first) await etcd.transact([], [{ put: statusKey('h1', 'p1'), value: report('down') }]);
      first = false;
      await source.setPortStatus(update);
    },
  };
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source: overtaken, threads: 1, log, clock });
  ports.look('p1');
  await clock.pass(0);
  expect(set.map(({ status }) => status)).toEqual(['ACTIVE', 'DOWN']);
  expect(db.tables.ports.get('p1')?.status).toBe('DOWN');
  await ports.close();
});

test.each([
  { awayMs: 10_000, wrote: ['ACTIVE', 'DOWN'] },
  { awayMs: 10_001, wrote: ['DOWN'] },
])('a driver that was stopped between reading and writing for more than ten seconds reads again before it writes ($awayMs ms)', async ({ awayMs, wrote }) => {
  const { etcd } = fakeEtcd();
  const { db, source, set } = neutron();
  const clock = fakeClock();
  for (const id of ['p1', 'p2']) db.tables.ports.set(id, portRow({ id, status: 'BUILD', bindings: [bindingRow('h1')] }));
  const reported = (status: string) =>
    etcd.transact(
      [],
      ['p1', 'p2'].map((port) => ({ put: statusKey('h1', port), value: report(status) })),
    );
  await reported('up');
  let first = true;
  const stopping: Background = {
    ...source,
    setPortStatus: async (update) => {
      const stopped = first;
      first = false;
      await source.setPortStatus(update);
      if (stopped) await Promise.all([reported('down'), clock.pass(awayMs)]);
    },
  };
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source: stopping, threads: 1, log, clock });
  ports.look('p1');
  ports.look('p2');
  await eventually(() => expect(set).toHaveLength(2 + wrote.length));
  const other = set[0]?.port === 'p1' ? 'p2' : 'p1';
  expect(set.filter(({ port }) => port === other).map(({ status }) => status)).toEqual(wrote);
  await ports.close();
});

test('a driver that is elected no longer writes no heartbeat that it still had', async () => {
  const { source, batches } = neutron();
  const clock = fakeClock();
  let isElected = true;
  const agents = startAgentReports({ source, everyMs: 10_000, isElected: () => isElected, log, clock });
  agents.reported('h1', true, true);
  await clock.pass(0);
  agents.reported('h2', false, false);
  isElected = false;
  await clock.pass(20_000);
  isElected = true;
  await clock.pass(20_000);
  agents.reported('h3', false, false);
  await clock.pass(0);
  expect(batches).toEqual([[felix('h1', true)], [felix('h3', false)]]);
  await agents.close();
});

test('states that cannot be written are tried again at growing pauses, which is told once; the others of their batch are written', async () => {
  const { etcd } = fakeEtcd();
  const { db, source, set } = neutron();
  const clock = fakeClock();
  const { log: recorded, entries } = recordingLog();
  const ids = Array.from({ length: 130 }, (_, index) => `p${index}`);
  for (const id of ids) db.tables.ports.set(id, portRow({ id, bindings: [bindingRow('h1')] }));
  await etcd.transact(
    [],
    ids.slice(0, 65).map((id) => ({ put: statusKey('h1', id), value: report('up') })),
  );
  await etcd.transact(
    [],
    ids.slice(65).map((id) => ({ put: statusKey('h1', id), value: report('up') })),
  );
  const refusedAtMs: number[] = [];
  let refuse = true;
  const unwilling: Background = {
    ...source,
    setPortStatus: async (update) => {
      if (refuse && update.port === 'p3') {
        refusedAtMs.push(clock.steadyMs());
        throw new Error('StaleDataError');
      }
      await source.setPortStatus(update);
    },
  };
  const ports = startPortStatusLoop({ etcd, keys: keysOf(undefined), source: unwilling, threads: 4, log: recorded, clock });
  for (const id of ids) ports.look(id);
  await clock.pass(0);
  for (let round = 0; round < 3; round += 1) await clock.pass(clock.restsMs[0]!);
  const gapsMs = refusedAtMs.slice(1).map((atMs, index) => atMs - refusedAtMs[index]!);
  expect(gapsMs.toSorted((one, other) => one - other)).toEqual(gapsMs);
  expect(set.filter(({ status }) => status === 'ACTIVE')).toHaveLength(129);
  refuse = false;
  await clock.pass(10_000);
  expect(set).toHaveLength(130);
  expect(entries.filter(({ message }) => message.startsWith('port states do not reach Neutron'))).toHaveLength(1);
  await ports.close();
});

test('DHCP and BIRD agents are reported with Felix, each by its own heartbeat; an unknown agent is nobody', async () => {
  const { etcd } = fakeEtcd();
  const { source, batches } = neutron();
  const clock = fakeClock();
  const agents = startAgentReports({ source, everyMs: 10_000, isElected: () => true, log, clock });
  const root = agentStatusRoot(undefined);
  const dhcp = agentStatusKey(undefined, 'h1', 'calico-dhcp-agent');
  await etcd.transact(
    [],
    [
      { put: dhcp, value: alive(true) },
      { put: agentStatusKey(undefined, 'h1', 'calico-bird-agent'), value: alive() },
      { put: `${root}h1/stranger`, value: alive() },
      { put: `${root}h1/calico-dhcp-agent/more`, value: alive() },
      { put: agentStatusKey(undefined, 'h2', 'calico-bird-agent'), value: 'torn' },
    ],
  );
  agents.reported('h1', false, true);
  const { log: said, entries } = recordingLog();
  const following = followAgents({ etcd, region: undefined, agents, log: said });
  await eventually(() =>
    expect(batches.flat().sort((a, b) => (a.agent < b.agent ? -1 : 1))).toEqual([
      { agent: 'calico-bird-agent', host: 'h1', started: false },
      { agent: 'calico-dhcp-agent', host: 'h1', started: true },
      felix('h1', false),
    ]),
  );
  await etcd.transact([], [{ delete: dhcp }]);
  await eventually(() => expect(entries.map(({ message }) => message).join()).toMatch(/cannot be read and is ignored.*stopped reporting/));
  following.close();
  await agents.close();
});

test('agents that are known are reported once in their time, all together; a write that fails loses none of them', async () => {
  const { source, batches, state } = neutron();
  const clock = fakeClock();
  const agents = startAgentReports({ source, everyMs: 10_000, isElected: () => true, log, clock });
  agents.reported('h1', true, true);
  await clock.pass(0);
  agents.reported('h1', false, false);
  await clock.pass(4000);
  agents.reported('h2', false, false);
  await clock.pass(5999);
  expect(batches).toEqual([[felix('h1', true)]]);
  await clock.pass(1);
  expect(batches.slice(1)).toEqual([[felix('h1', false), felix('h2', false)]]);
  state.away = true;
  agents.reported('h3', true, true);
  await clock.pass(0);
  agents.reported('h3', false, false); // the start that was reported before is not lost
  agents.reported('h1', false, false);
  await clock.pass(0);
  state.away = false;
  await clock.pass(clock.restsMs[0]!);
  expect(batches.slice(2)).toEqual([[felix('h3', true), felix('h1', false)]]);
  await agents.close();
});

test('while neither rows nor reports can be read, no port is forgotten', async () => {
  const { etcd, connect, setDown } = fakeEtcd();
  const { db, source, set } = neutron();
  const clock = fakeClock();
  const ids = ['p1', 'p2', 'p3'];
  for (const id of ids) db.tables.ports.set(id, portRow({ id, bindings: [bindingRow('h1')] }));
  await etcd.transact(
    [],
    ids.map((id) => ({ put: statusKey('h1', id), value: report('up') })),
  );
  let hasRows = false;
  const rows: Background['rows'] = async (question) => {
    if (!hasRows) throw new Error('no rows process is connected');
    return source.rows(question);
  };
  const ports = startPortStatusLoop({ etcd: connect(), keys: keysOf(undefined), source: { ...source, rows }, threads: 2, log, clock });
  for (const id of ids) ports.look(id);
  await clock.pass(10_000);
  hasRows = true;
  setDown(true);
  await clock.pass(20_000);
  expect(set).toEqual([]);
  setDown(false);
  await clock.pass(10_000);
  expect(set.map(({ port }) => port).sort()).toEqual(ids);
  await ports.close();
});

describe('a report that vanishes', () => {
  /** The loops, with port p1 bound to h1. `move` binds it elsewhere as ML2 does: the port is DOWN until it is reported up. */
  async function world() {
    const { etcd } = fakeEtcd();
    const { db, source, set } = neutron();
    const clock = fakeClock();
    const keys = keysOf(undefined);
    const ports = startPortStatusLoop({ etcd, keys, source, threads: 1, log, clock });
    const agents = startAgentReports({ source, everyMs: 1_000_000, isElected: () => true, log, clock });
    const follower = followStatus({ etcd, region: undefined, ports, agents, log });
    const endpoint = (host: string): string => keys.endpoint({ host, device: deviceId }, 'p1');
    const bind = (host: string, changes: Partial<PortRow> = {}): void =>
      void db.tables.ports.set('p1', portRow({ id: 'p1', bindings: [bindingRow(host)], status: 'DOWN', ...changes }));
    bind('h1');
    const write = async (operations: Parameters<typeof etcd.transact>[1]): Promise<void> => {
      await etcd.transact([], operations);
      await clock.pass(0);
    };
    await write([{ put: endpoint('h1'), value: '{}' }]);
    await write([{ put: statusKey('h1', 'p1'), value: report('up') }]);
    return {
      endpoint,
      bind,
      /** Deletes the port in Neutron. */
      remove: () => void db.tables.ports.delete('p1'),
      write,
      statuses: () => set.map(({ host, status }) => `${host} ${status}`),
      look: async () => {
        ports.look('p1');
        await clock.pass(0);
      },
      move: async (from: string, to: string) => {
        bind(to);
        await write([{ delete: endpoint(from) }, { put: endpoint(to), value: '{}' }]);
      },
      close: async () => {
        follower.close();
        await Promise.all([ports.close(), agents.close()]);
      },
    };
  }

  test('although its endpoint stands makes the port ERROR, until it is reported again', async () => {
    const w = await world();
    await w.write([{ delete: statusKey('h1', 'p1') }]);
    await w.write([{ put: statusKey('h1', 'p1'), value: report('up') }]);
    expect(w.statuses()).toEqual(['h1 ACTIVE', 'h1 ERROR', 'h1 ACTIVE']);
    await w.close();
  });

  test('because the port has left says nothing of it when it is back and not reported yet', async () => {
    const w = await world();
    await w.move('h1', 'h2');
    await w.write([{ delete: statusKey('h1', 'p1') }]);
    await w.write([{ put: statusKey('h2', 'p1'), value: report('up') }]);
    await w.move('h2', 'h1');
    await w.look();
    await w.write([{ delete: statusKey('h2', 'p1') }]);
    expect(w.statuses()).toEqual(['h1 ACTIVE', 'h2 ACTIVE']);
    await w.write([{ put: statusKey('h1', 'p1'), value: report('up') }]);
    await w.write([{ delete: statusKey('h1', 'p1') }]);
    expect(w.statuses().slice(2)).toEqual(['h1 ACTIVE', 'h1 ERROR']);
    await w.close();
  });

  test('of a former stay does not make a port DOWN that is back, and switched off', async () => {
    const w = await world();
    await w.move('h1', 'h2');
    await w.write([{ delete: statusKey('h1', 'p1') }]);
    w.bind('h1', { admin_state_up: false, status: 'ACTIVE' });
    await w.look();
    expect(w.statuses()).toEqual(['h1 ACTIVE']);
    await w.close();
  });

  test('of a deleted port says nothing of one that is made again with its id', async () => {
    const w = await world();
    await w.write([{ delete: statusKey('h1', 'p1') }]);
    w.remove();
    await w.look();
    w.bind('h1', { admin_state_up: false, status: 'ACTIVE' });
    await w.look();
    expect(w.statuses()).toEqual(['h1 ACTIVE', 'h1 ERROR']);
    await w.close();
  });

  test('only after the port is back, because Felix was slow, says nothing of it either', async () => {
    const w = await world();
    await w.move('h1', 'h2');
    await w.move('h2', 'h1');
    await w.write([{ delete: statusKey('h1', 'p1') }]);
    expect(w.statuses()).toEqual(['h1 ACTIVE']);
    await w.close();
  });
});
