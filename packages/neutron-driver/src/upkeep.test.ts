import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { afterEach, expect, test, vi } from 'vitest';
import { createRightPorts } from './right-ports.ts';
import { keysOf } from './sync/plan.ts';
import { createSync } from './sync/sync.ts';
import { backgroundOver } from './testing/background.ts';
import { database } from './testing/database.ts';
import { subnetRow } from './testing/rows.ts';
import { addresses, defaultQosOptions } from './testing/settings.ts';
import { startUpkeep, type Upkeep } from './upkeep.ts';

const settings = { keys: keysOf(undefined), qos: defaultQosOptions };
const closing: Upkeep[] = [];
afterEach(async () => {
  for (const upkeep of closing.splice(0)) await upkeep.close();
});

function setUp() {
  const clock = fakeClock();
  const fake = fakeEtcd();
  const db = database();
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  const { log, entries } = recordingLog();
  /** The pages that were requested from Neutron, and when. Each answer waits for the gate. */
  const asked: { readonly atMs: number; readonly kind: string }[] = [];
  const state = { gate: Promise.resolve(), written: Promise.resolve(), away: false };
  const etcd: typeof fake.etcd = {
    ...fake.etcd,
    async transact(...transaction) {
      await state.written;
      return fake.etcd.transact(...transaction);
    },
  };
  const over = backgroundOver(db);
  const source: typeof over = {
    ...over,
    page: async (kind, ...rest) => {
      asked.push({ atMs: clock.steadyMs(), kind });
      await state.gate;
      if (state.away) throw new Error('the database is away');
      return over.page(kind, ...rest);
    },
  };
  const projects = Object.assign(async () => new Map(), { forget: () => {} });
  const rightPorts = createRightPorts();
  const forgetRightPorts = vi.spyOn(rightPorts, 'forget');
  const quiet = { onFailed: () => {}, onWrote: () => {}, onWarning: () => {} };
  const start = (startupResync: boolean): Upkeep => {
    const sync = createSync({ etcd: fake.etcd, settings, projects, addresses, nowMs: clock.nowMs });
    const resync = { etcd: fake.etcd, source, sync, settings, projects, addresses, rightPorts, clock, ...quiet };
    const upkeep = startUpkeep({ etcd, startupResync, resync, log, clock });
    closing.push(upkeep);
    return upkeep;
  };
  const records = (): string => JSON.stringify(fake.contents());
  return {
    ...fake,
    clock,
    state,
    asked,
    forgetRightPorts,
    start,
    said: (msg: string) => entries.flatMap(({ message, fields }) => (message.startsWith(msg) ? [fields] : [])),
    isReady: () => records().includes('datastoreReady'),
    hasRecords: () => records().includes('clusterGUID') && records().includes('interfacePrefix'),
    /** From now on, what is written to etcd besides the objects waits for the gate that this returns. */
    holdRecords() {
      const gate = Promise.withResolvers<void>();
      state.written = gate.promise;
      return gate;
    },
    isFilled: () => Object.keys(fake.contents()).includes(settings.keys.subnet('s1')),
  };
}

test('a datastore that is being filled is not called ready before all of it was looked at', async () => {
  const { clock, state, start, isReady, hasRecords, isFilled } = setUp();
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  start(true);
  await clock.pass(60_000);
  expect([hasRecords(), isReady(), isFilled()]).toEqual([true, false, false]);
  gate.resolve();
  await clock.pass(0);
  expect([isReady(), isFilled()]).toEqual([true, true]);
});

test('where no resync is asked for at the start, it is called ready at once, and nothing is compared', async () => {
  const { clock, asked, start, isReady } = setUp();
  start(false);
  await clock.pass(0);
  expect(isReady()).toBe(true);
  expect(asked).toEqual([]);
});

test('a resync that could not look at everything is run again at growing pauses, and until then nothing is called ready', async () => {
  const { clock, state, asked, start, isReady, isFilled, said } = setUp();
  state.away = true;
  start(true);
  await clock.pass(0);
  const pausesMs: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    pausesMs.push(clock.restsMs[0]!);
    await clock.pass(pausesMs.at(-1)!);
  }
  expect(asked).toHaveLength(5);
  for (const [index, fullMs] of [1000, 2000, 4000, 8000].entries()) {
    expect(pausesMs[index]).toBeGreaterThanOrEqual(fullMs / 2);
    expect(pausesMs[index]).toBeLessThanOrEqual(fullMs);
  }
  expect([isReady(), isFilled()]).toEqual([false, false]);
  state.away = false;
  await clock.pass(clock.restsMs[0]!);
  expect([isReady(), isFilled()]).toEqual([true, true]);
  expect(said('resync failed')).toHaveLength(5);
  expect(said('resync finished')).toHaveLength(1);
});

test('without etcd the records are tried until they can be written, which is told once; closing ends that', async () => {
  const { clock, setDown, start, isReady, said } = setUp();
  setDown(true);
  start(false);
  await clock.pass(30_000);
  expect(said("the cluster's records could not be written")).toHaveLength(1);
  setDown(false);
  await clock.pass(60_000);
  expect(isReady()).toBe(true);
  expect(clock.restsMs).toEqual([]);
  setDown(true);
  const other = start(false);
  await clock.pass(10_000);
  await other.close();
  expect(clock.restsMs).toEqual([]);
});

test('the first resync begins when the cluster’s records are written', async () => {
  const { clock, holdRecords, asked, start, isReady } = setUp();
  const gate = holdRecords();
  start(true);
  await clock.pass(0);
  expect(asked).toEqual([]);
  gate.resolve();
  await clock.pass(0);
  expect([asked.length > 0, isReady()]).toEqual([true, true]);
});

test('closing resolves when the work that is under way has ended', async () => {
  const { clock, state, start } = setUp();
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  const upkeep = start(true);
  await clock.pass(0);
  const order: string[] = [];
  const closed = upkeep.close().then(() => order.push('closed'));
  await clock.pass(0);
  order.push('the database answers');
  gate.resolve();
  await closed;
  expect(order).toEqual(['the database answers', 'closed']);
});

test('closing resolves when the record that calls the datastore ready is written, if its write is under way', async () => {
  const { clock, state, start, holdRecords, isReady } = setUp();
  const database = Promise.withResolvers<void>();
  state.gate = database.promise;
  const upkeep = start(true);
  await clock.pass(0);
  const records = holdRecords();
  database.resolve();
  await clock.pass(0);
  const order: string[] = [];
  const closed = upkeep.close().then(() => order.push(isReady() ? 'closed, ready' : 'closed'));
  await clock.pass(0);
  order.push('etcd answers');
  records.resolve();
  await closed;
  expect(order).toEqual(['etcd answers', 'closed, ready']);
});

test('closing during a resync that cannot be completed leaves the datastore not ready', async () => {
  const { clock, state, start, isReady } = setUp();
  state.away = true;
  const upkeep = start(true);
  await clock.pass(0);
  await upkeep.close();
  await clock.pass(120_000);
  expect(isReady()).toBe(false);
});

test.each([true, false])('an etcd that was emptied is filled again, and only then called ready (startup_resync: %s)', async (startupResync) => {
  const { clock, state, forgetRightPorts, replace, start, isReady, hasRecords, isFilled } = setUp();
  const upkeep = start(startupResync);
  await clock.pass(0);
  expect(isReady()).toBe(true);
  replace();
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  upkeep.replaced('restored');
  expect(forgetRightPorts).toHaveBeenCalledTimes(1); // the new etcd's revisions may be those of other values
  await clock.pass(60_000);
  expect([hasRecords(), isReady()]).toEqual([true, false]);
  gate.resolve();
  await clock.pass(0);
  expect([isReady(), isFilled()]).toEqual([true, true]);
});

test('resyncs run one at a time: who asks while one runs gets the next one', async () => {
  const { clock, state, asked, start } = setUp();
  const upkeep = start(false);
  await clock.pass(0);
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  const summaries = [upkeep.resync(), upkeep.resync()];
  await clock.pass(0);
  expect(asked).toHaveLength(1);
  gate.resolve();
  expect((await Promise.all(summaries)).map(({ ok }) => ok)).toEqual([true, true]);
  expect(asked.filter(({ kind }) => kind === 'subnets')).toHaveLength(4); // two pages each, the last of them empty
});
