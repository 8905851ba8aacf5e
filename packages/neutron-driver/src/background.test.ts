import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { EtcdError } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { afterEach, expect, test } from 'vitest';
import { startJournalLoop } from './background.ts';
import type { Change } from './sync/change.ts';
import { openJournal } from './sync/journal.ts';
import { keysOf } from './sync/plan.ts';
import { createSync, type Sync, type SyncResult } from './sync/sync.ts';
import { backgroundOver } from './testing/background.ts';
import { database } from './testing/database.ts';
import { bindingRow, networkId, portRow, subnetRow } from './testing/rows.ts';
import { addresses, defaultQosOptions } from './testing/settings.ts';
import { WireError } from './wire/peer.ts';

const settings = { keys: keysOf(undefined), qos: defaultQosOptions };
const subnet = (id: string): Change => ({ kind: 'subnet', id });

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function setUp() {
  const clock = fakeClock();
  const fake = fakeEtcd();
  const db = database();
  const journal = openJournal({ nowMs: clock.nowMs });
  const { log, entries } = recordingLog();
  /** The looks so far: when each was made, and at which objects. */
  const looks: { readonly atMs: number; readonly ids: readonly string[]; readonly deadlineMs: number }[] = [];
  const state: { refuse?: (ids: readonly string[]) => Error | undefined } = {};
  const real = createSync({ etcd: fake.etcd, settings, projects: async (ids) => new Map(ids.map((id) => [id, undefined])), addresses, nowMs: clock.nowMs });
  const sync: Sync = async (changes, source, deadlineMs) => {
    const ids = changes.map(({ id }) => id);
    looks.push({ atMs: clock.steadyMs(), ids, deadlineMs: deadlineMs - clock.nowMs() });
    const error = state.refuse?.(ids);
    if (error) throw error;
    return real(changes, source, deadlineMs);
  };
  const succeeded: SyncResult[] = [];
  const loop = startJournalLoop({ journal, sync, source: backgroundOver(db), log, onSucceeded: (result) => succeeded.push(result), onPort: () => {}, clock });
  closing.push(() => loop.close());
  const add = (...changes: readonly Change[]): void => {
    journal.add(changes);
    loop.wake();
  };
  const said = (msg: string): unknown[] => entries.flatMap(({ message, fields }) => (message.startsWith(msg) ? [fields] : []));
  return { ...fake, clock, db, journal, looks, state, add, said, succeeded };
}

test('what was written is looked at once more a second later: a writer with older rows does not have the last word', async () => {
  const { clock, contents, connect, db, add, looks, journal } = setUp();
  const key = settings.keys.subnet('s1');
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  add(subnet('s1'));
  await clock.pass(0);
  const right = contents()[key];
  // Another driver read the rows before ours did, and writes its stale values.
  await connect().transact([], [{ put: key, value: '{}' }]);
  await clock.pass(999);
  expect(looks).toHaveLength(1);
  await clock.pass(1);
  expect(contents()[key]).toBe(right);
  expect(looks.map(({ atMs, ids }) => [atMs, ids])).toEqual([
    [0, ['s1']],
    [1000, ['s1']],
  ]);
  // The repair was a write too, so one more look follows. It finds everything right and is the last.
  await clock.pass(60_000);
  expect(looks).toHaveLength(3);
  expect(journal.size).toBe(0);
});

test('what is right already is looked at once', async () => {
  const { clock, add, looks, journal, succeeded } = setUp();
  add(subnet('gone'));
  await clock.pass(60_000);
  expect(looks).toHaveLength(1);
  expect(succeeded).toMatchObject([{ wrote: [] }]); // the driver logs the warnings of these results
  expect(journal.size).toBe(0);
});

test('without etcd what waits is tried again at growing pauses until it is there, and that is told once', async () => {
  const { clock, contents, db, add, looks, setDown, said } = setUp();
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  setDown(true);
  add(subnet('s1'));
  await clock.pass(4000);
  expect(looks.map(({ atMs }) => atMs)).toEqual([0, 500, 1500, 3500]);
  setDown(false);
  await clock.pass(4000);
  expect(looks[4]?.atMs).toBe(7500);
  expect(Object.keys(contents())).toEqual([settings.keys.subnet('s1')]);
  expect(said('changes of Neutron have not reached etcd')).toHaveLength(1);
  expect(said('the journal is processed again')).toHaveLength(1);
  await clock.pass(10_000);
  setDown(true);
  add(subnet('s1'));
  await clock.pass(4000);
  expect(said('changes of Neutron have not reached etcd')).toHaveLength(2);
});

test('what comes while others wait for etcd does not wait with them', async () => {
  const { clock, contents, db, add, state } = setUp();
  for (const id of ['s1', 's2']) db.tables.subnets.set(id, subnetRow({ id }));
  state.refuse = (ids) => (ids.includes('s1') ? new EtcdError('ETCD_UNAVAILABLE', 'away') : undefined);
  add(subnet('s1'));
  await clock.pass(20_000);
  add(subnet('s2'));
  await clock.pass(0);
  expect(Object.keys(contents())).toEqual([settings.keys.subnet('s2')]);
});

test('an object that is at fault by itself holds up none of its batch', async () => {
  const { clock, contents, db, add, state, journal, looks } = setUp();
  for (const id of ['s1', 's2']) db.tables.subnets.set(id, subnetRow({ id }));
  state.refuse = (ids) => (ids.includes('s2') ? new EtcdError('ETCD_REFUSED', 'request is too large') : undefined);
  add(subnet('s1'), subnet('s2'));
  await clock.pass(0);
  expect(looks.map(({ ids }) => ids)).toEqual([['s1', 's2'], ['s1'], ['s2']]);
  expect(Object.keys(contents())).toEqual([settings.keys.subnet('s1')]);
  await clock.pass(10_000);
  expect(journal.size).toBe(1);
  delete state.refuse;
  await clock.pass(60_000);
  expect(Object.keys(contents())).toContain(settings.keys.subnet('s2'));
  expect(journal.size).toBe(0);
});

test.each([new EtcdError('ETCD_UNAVAILABLE', 'away'), new WireError('PEER_GONE', 'gone')])(
  'where nobody answers ($code), no batch is taken apart',
  async (error) => {
    const { clock, add, state, looks, journal } = setUp();
    state.refuse = () => error;
    add(subnet('s1'), subnet('s2'));
    await clock.pass(0);
    expect(looks.map(({ ids }) => ids)).toEqual([['s1', 's2']]);
    expect(journal.failing).toBe(2);
  },
);

test('more than one batch is processed in one run, each with its own deadline', async () => {
  const { clock, db, add, looks, contents } = setUp();
  const ids = Array.from({ length: 90 }, (_, index) => `s${index}`);
  for (const id of ids) db.tables.subnets.set(id, subnetRow({ id }));
  add(...ids.map(subnet));
  await clock.pass(0);
  expect(looks.map((look) => look.ids.length)).toEqual([40, 40, 10]);
  expect(new Set(looks.map(({ deadlineMs }) => deadlineMs))).toEqual(new Set([60_000]));
  expect(Object.keys(contents())).toHaveLength(90);
});

test("a network's ports are looked at behind what was noted with it, and looked for again when they could not be", async () => {
  const { clock, db, add, looks, contents, journal } = setUp();
  for (const id of ['p1', 'p2']) db.tables.ports.set(id, portRow({ id, security_groups: [], bindings: [bindingRow('h1')] }));
  db.tables.subnets.set('s1', subnetRow({ id: 's1' }));
  add({ kind: 'ports_of', of: 'network', id: networkId }, subnet('s1'));
  await clock.pass(0);
  expect(looks.map(({ ids }) => ids)).toEqual([['s1'], ['p1', 'p2']]);
  expect(Object.keys(contents()).filter((key) => key.includes('workloadendpoints'))).toHaveLength(2);
  await clock.pass(60_000);
  expect(journal.size).toBe(0);
});
