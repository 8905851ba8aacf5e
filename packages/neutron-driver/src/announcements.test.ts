import { silentLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { type Etcd, EtcdError } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { createAddressChecks } from './addressing/check.ts';
import { knownInfrastructure } from './addressing/known-infrastructure.ts';
import { defaultAddressPolicy } from './addressing/rules.ts';
import { createAnnouncements } from './announcements.ts';
import { openJournal } from './sync/journal.ts';
import { keysOf } from './sync/plan.ts';
import { createSync } from './sync/sync.ts';
import { announcement, apiPort, database } from './testing/database.ts';
import { bindingRow, portRow } from './testing/rows.ts';
import { defaultQosOptions, plainAddresses } from './testing/settings.ts';
import { type Peer, WireError } from './wire/peer.ts';

const patience = { commitMs: 5_000, outageMs: 1_000 };
const peer = { role: 'api', pid: 1, gone: false, call: () => Promise.reject(new Error('not asked')), close: () => {} } satisfies Peer;

function setUp() {
  const fake = fakeEtcd();
  const db = database();
  const state: { nowMs: number; rows?: Error; write?: Error; keystoneAway?: boolean } = { nowMs: 0 };
  const journal = openJournal({ nowMs: () => state.nowMs });
  const etcd = {
    ...fake.etcd,
    transact: (...args: Parameters<typeof fake.etcd.transact>) =>
      state.write && args[1].some((operation) => 'put' in operation) ? Promise.reject(state.write) : fake.etcd.transact(...args),
  };
  const source = { ...db.source, rows: (...args: Parameters<typeof db.source.rows>) => (state.rows ? Promise.reject(state.rows) : db.source.rows(...args)) };
  const infrastructure = knownInfrastructure({ etcd, endpoints: [], onFailure: () => {} });
  const sync = createSync({
    etcd,
    addresses: async () => ({ ...plainAddresses, infrastructure: await infrastructure.recent() }),
    settings: { keys: keysOf(undefined), qos: defaultQosOptions },
    projects: async (ids) => new Map(state.keystoneAway ? [] : ids.map((id) => [id, { id, name: `name of ${id}`, parent_id: 'default' }])),
  });
  const looked: string[] = [];
  const freed: string[] = [];
  const announced = createAnnouncements({
    etcd,
    keys: keysOf(undefined),
    sync,
    journal,
    checks: createAddressChecks({ policy: defaultAddressPolicy, infrastructure, log: silentLog() }),
    stateless: { refusal: () => undefined },
    sourceOf: () => source,
    etcdTimeoutMs: 1_000,
    patience,
    log: silentLog(),
    onJournal: () => {},
    onPort: (port) => looked.push(port),
    onFreeFloatingIp: (id) => freed.push(id),
  });
  const row = portRow({ bindings: [bindingRow('h1')], security_groups: [] });
  const tell = (marks: string[], rollback = false) => ({
    ...announcement('port', row.id, apiPort({ ...row, bindings: [bindingRow('h1', 'unbound')] }), apiPort(row)),
    marks,
    rollback,
  });
  const commit = (): unknown => db.tables.ports.set(row.id, row);
  return { ...fake, announced, journal, state, tell, commit, looked, freed, db, sync, source };
}

test('a change that is announced before and after its commit is in etcd', async () => {
  const { announced, journal, tell, commit, contents, looked } = setUp();
  await announced.before(peer, tell(['m']));
  expect(journal.size).toBe(1);
  commit();
  await announced.after(peer, tell(['m']));
  expect(Object.keys(contents())).toEqual([expect.stringContaining('workloadendpoints')]);
  expect(looked).toHaveLength(1); // the port was bound, and Felix may have reported before that
});

test('a move to another host is one transaction: with the second half of the binding, the old endpoint is deleted and the new one written', async () => {
  const { announced, journal, tell, commit, contents, etcd, db, state } = setUp();
  commit();
  await announced.after(peer, tell([]));
  state.nowMs = 1000;
  journal.done(journal.take(1), []);
  const { id } = portRow();
  const at = (host: string, vif: string) => portRow({ bindings: [bindingRow(host, vif)], security_groups: [] });
  const say = (original: ReturnType<typeof at>, current: ReturnType<typeof at>): Promise<void> => {
    db.tables.ports.set(id, current);
    return announced.after(peer, announcement('port', id, apiPort(original), apiPort(current)));
  };
  await say(at('h1', 'tap'), at('h2', 'unbound'));
  expect(journal.restMs).toBeGreaterThan(1000); // the port is checked even if the worker dies now
  const halfway = contents();
  expect(Object.keys(halfway)).toEqual([expect.stringContaining('/h1-openstack-')]);
  const { revision } = await etcd.get('/');
  await say(at('h2', 'unbound'), at('h2', 'tap'));
  expect(Object.keys(contents())).toEqual([expect.stringContaining('/h2-openstack-')]);
  expect((await etcd.get('/')).revision).toBe(revision + 1);
});

test('without etcd a change is refused before its commit without a note; a rollback of Neutron’s is accepted and noted', async () => {
  const { announced, journal, tell, setDown } = setUp();
  setDown(true);
  await expect(announced.before(peer, tell(['m']))).rejects.toMatchObject({
    code: 'ETCD_UNAVAILABLE',
    message: expect.stringMatching(/nothing was changed; see that etcd runs/),
  });
  expect(journal.size).toBe(0);
  await announced.before(peer, tell(['m'], true));
  expect(journal.size).toBe(1);
});

test('when etcd is lost between commit and write, the call fails, and the change is kept and retried', async () => {
  const { announced, journal, tell, commit, setDown } = setUp();
  await announced.before(peer, tell(['m']));
  commit();
  setDown(true);
  await expect(announced.after(peer, tell(['m']))).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE', message: expect.stringMatching(/keeps a note of it/) });
  expect(journal.failing).toBe(1);
});

test('when Neutron’s database is lost between commit and write, likewise', async () => {
  const { announced, journal, tell, state } = setUp();
  await announced.before(peer, tell(['m']));
  state.rows = new WireError('DBConnectionError', 'gone away');
  await expect(announced.after(peer, tell(['m']))).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringMatching(/gone away.*keeps a note of it/) });
  expect(journal.failing).toBe(1);
});

test('while etcd answers but refuses writes, no commit is allowed', async () => {
  const { announced, tell, commit, state } = setUp();
  state.write = new EtcdError('ETCD_OVERLOADED', 'etcd: space quota is used up');
  const refused = { code: 'ETCD_UNAVAILABLE', message: expect.stringMatching(/space quota.*nothing was changed/) };
  await expect(announced.before(peer, tell(['m']))).rejects.toMatchObject(refused);
  // A check that finds nothing to write does not show that etcd accepts writes.
  await announced.after(peer, tell([]));
  await expect(announced.before(peer, tell(['n']))).rejects.toMatchObject(refused);
  delete state.write;
  await announced.before(peer, tell(['o']));
  commit();
  await announced.after(peer, tell(['o']));
});

test('while the journal cannot be written, no commit is allowed', async () => {
  const { announced, journal, tell } = setUp();
  const broken = {
    ...journal,
    before: () => {
      throw new Error('ENOSPC: no space left on device');
    },
  };
  const fake = fakeEtcd();
  const other = createAnnouncements({
    etcd: fake.etcd,
    keys: keysOf(undefined),
    sync: () => Promise.reject(new Error('not asked')),
    journal: broken,
    checks: { asks: () => false, before: async () => {}, after: async () => {} },
    stateless: { refusal: () => undefined },
    sourceOf: () => database().source,
    etcdTimeoutMs: 1_000,
    patience,
    log: silentLog(),
    onJournal: () => {},
    onPort: () => {},
    onFreeFloatingIp: () => {},
  });
  await expect(other.before(peer, tell(['m']))).rejects.toMatchObject({
    code: 'JOURNAL_UNWRITABLE',
    message: expect.stringMatching(/ENOSPC.*nothing was changed/),
  });
  await expect(announced.before(peer, tell(['m']))).resolves.toBeUndefined();
});

test('when a caller vanishes between its announcements, the object is checked', async () => {
  const { announced, journal, tell } = setUp();
  await announced.before(peer, tell(['m']));
  expect(journal.restMs).toBe(60_000);
  announced.gone(peer);
  expect(journal.restMs).toBe(0);
});

test('an endpoint that was written while Keystone was away gets the names of its project when Keystone is back', async () => {
  const { announced, journal, tell, commit, contents, state, sync, source } = setUp();
  const names = (): boolean => Object.values(contents()).join().includes('openstack-project-name');
  state.keystoneAway = true;
  commit();
  await announced.after(peer, tell([]));
  expect(names()).toBe(false);
  for (const keystoneAway of [true, true, false]) {
    state.keystoneAway = keystoneAway;
    state.nowMs += journal.restMs ?? 0;
    const looks = journal.take(10);
    expect(looks).toHaveLength(1);
    const result = await sync(
      looks.map(({ change }) => change),
      source,
      Number.POSITIVE_INFINITY,
    );
    journal.done(looks, result.wrote, result.unnamed);
  }
  expect(names()).toBe(true);
  state.nowMs += journal.restMs ?? 0;
  journal.done(journal.take(10), []);
  expect(journal.size).toBe(0);
});

test('an etcd that does not answer holds a commit up for five seconds, and the next ones for one, until it answers', async () => {
  const { tell, commit, db } = setUp();
  const fake = fakeEtcd();
  const clock = fakeClock();
  const state = { isSilent: true, questions: 0 };
  const etcd: Etcd = {
    ...fake.etcd,
    transact: (...args) => {
      state.questions += 1;
      return state.isSilent ? new Promise(() => undefined) : fake.etcd.transact(...args);
    },
  };
  const announced = createAnnouncements({
    etcd,
    keys: keysOf(undefined),
    sync: () => Promise.reject(new Error('not asked')),
    journal: openJournal({ nowMs: clock.nowMs }),
    checks: { asks: () => false, before: async () => {}, after: async () => {} },
    stateless: { refusal: () => undefined },
    sourceOf: () => db.source,
    etcdTimeoutMs: 60_000,
    patience,
    log: silentLog(),
    onJournal: () => {},
    onPort: () => {},
    onFreeFloatingIp: () => {},
    clock,
  });
  commit();
  /** How long two callers wait that announce at the same time. */
  async function waitedMs(): Promise<number> {
    const startedMs = clock.steadyMs();
    const answers = ['m', 'n'].map((mark) =>
      announced.before(peer, tell([mark])).then(
        () => 'taken',
        (error: { code: string }) => error.code,
      ),
    );
    let said: string[] | undefined;
    void Promise.all(answers).then((all) => {
      said = all;
    });
    await clock.pass(0);
    while (!said) await clock.pass(500);
    expect(said).toEqual(state.isSilent ? ['ETCD_UNAVAILABLE', 'ETCD_UNAVAILABLE'] : ['taken', 'taken']);
    return clock.steadyMs() - startedMs;
  }
  expect([await waitedMs(), await waitedMs(), await waitedMs()]).toEqual([5000, 1000, 1000]);
  expect(state.questions).toBe(3); // one question serves both callers
  state.isSilent = false;
  expect(await waitedMs()).toBe(0);
  state.isSilent = true;
  expect(await waitedMs()).toBe(5000);
  expect(clock.restsMs).toEqual([]);
});
