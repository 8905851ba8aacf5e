import { recordingLog, silentLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { type Etcd, EtcdError } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { describe, expect, test } from 'vitest';
import { createAddressChecks } from './addressing/check.ts';
import { knownInfrastructure } from './addressing/known-infrastructure.ts';
import { defaultAddressPolicy } from './addressing/rules.ts';
import { type AnnouncementsOptions, createAnnouncements } from './announcements.ts';
import { noRowsQuestion } from './rows.ts';
import { derive } from './sync/announcement.ts';
import { changeKey } from './sync/change.ts';
import { openJournal } from './sync/journal.ts';
import { keysOf, keysToRead } from './sync/plan.ts';
import { createSync, SyncError, type SyncResult } from './sync/sync.ts';
import { announcement, apiPort, database } from './testing/database.ts';
import { bindingRow, portRow } from './testing/rows.ts';
import { defaultQosOptions, plainAddresses } from './testing/settings.ts';
import { type Peer, Refusal, WireError } from './wire/peer.ts';

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
    settings: { keys: keysOf(undefined) },
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
    onBound: () => {},
    onFreeFloatingIp: (id) => freed.push(id),
  });
  const row = portRow({ bindings: [bindingRow('h1')], security_groups: [] });
  const tell = (marks: string[], rollback = false) => ({
    ...announcement('port', row.id, apiPort({ ...row, bindings: [bindingRow('h1', 'unbound')] }), apiPort(row)),
    marks,
    rollback,
  });
  const commit = (): unknown => db.tables.ports.set(row.id, row);
  return { ...fake, etcd, announced, journal, state, tell, commit, looked, freed, db, sync, source };
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

describe('what etcd holds of an object', () => {
  const asked = () => {
    const parts = setUp();
    const { transact } = parts.etcd;
    const requests: string[] = [];
    parts.etcd.transact = (when, then, otherwise) => {
      requests.push(then.some((operation) => 'get' in operation) ? 'read' : (otherwise ?? []).length > 0 ? 'question with a read' : 'write');
      return transact(when, then, otherwise);
    };
    return { ...parts, requests };
  };

  test('is read with the question before the commit, and not again after it', async () => {
    const { announced, tell, commit, contents, requests } = asked();
    await announced.before(peer, tell(['m']));
    commit();
    await announced.after(peer, tell(['m']));
    expect(Object.keys(contents())).toEqual([expect.stringContaining('workloadendpoints')]);
    expect(requests).toEqual(['question with a read', 'write']);
  });

  test('is read again where somebody has written it before the commit', async () => {
    const { announced, tell, commit, etcd, contents, requests } = asked();
    await announced.before(peer, tell(['m']));
    const [key] = keysToRead(derive(tell([]), 'before').changes, { keys: keysOf(undefined) }).filter((one) => one.includes('workloadendpoints'));
    await etcd.transact([], [{ put: key!, value: JSON.stringify({ metadata: { uid: 'theirs' } }) }]);
    commit();
    await announced.after(peer, tell(['m']));
    expect(JSON.parse(contents()[key!]!)).toMatchObject({ metadata: { uid: 'theirs' }, spec: { node: 'h1' } });
    expect(requests).toEqual(['question with a read', 'write', 'write', 'read', 'write']);
  });

  test('is read after the commit where it was not read before it: without an announcement, and for whoever shared another’s question', async () => {
    const { announced, tell, commit, requests } = asked();
    await Promise.all([announced.before(peer, tell(['m'])), announced.before(peer, tell(['n']))]);
    commit();
    expect(requests.splice(0)).toEqual(['question with a read']);
    await announced.after(peer, tell(['n']));
    expect(requests.splice(0)).toEqual(['read', 'write']);
    await announced.after(peer, tell(['unknown']));
    expect(requests).toEqual(['read']);
  });

  test('comes before a port’s rows, which are sent along then, and are asked for where they may be older', async () => {
    const { announced, tell, commit, contents, state, db } = asked();
    const rows = () => db.read({ ...noRowsQuestion, ports: [portRow().id] });
    state.rows = new WireError('NOT_ASKED', 'the daemon asked for rows');
    expect(await announced.before(peer, tell(['m']))).toEqual({ rows: true });
    commit();
    await announced.after(peer, { ...tell(['m']), rows: rows() });
    expect(Object.keys(contents())).toHaveLength(1);
    await expect(announced.after(peer, { ...tell(['unknown']), rows: rows() })).rejects.toMatchObject({ message: expect.stringMatching(/asked for rows/) });
    await announced.before(peer, tell(['n']));
    await expect(announced.after(peer, { ...tell(['n']), rows: { ports: 'no list' } })).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(await announced.before(peer, { ...announcement('security_group', 'g', {}, {}), marks: ['o'] })).toEqual({});
  });

  test('is read again where nothing is to be written: a write before the commit would go unnoticed', async () => {
    const { announced, tell, commit, etcd, contents, requests } = asked();
    commit();
    await announced.after(peer, tell([]));
    const [[key, value]] = Object.entries(contents()) as [[string, string]];
    await announced.before(peer, tell(['m']));
    await etcd.transact([], [{ put: key, value: value.replace('"node":"h1"', '"node":"h9"') }]);
    requests.length = 0;
    await announced.after(peer, tell(['m']));
    expect(requests).toEqual(['read', 'write']);
    expect(JSON.parse(contents()[key]!)).toMatchObject({ spec: { node: 'h1' } });
  });
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
    settings: { keys: keysOf(undefined) },
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
    onBound: () => {},
    onFreeFloatingIp: () => {},
  });
  await expect(other.before(peer, tell(['m']))).rejects.toMatchObject({
    code: 'JOURNAL_UNWRITABLE',
    message: expect.stringMatching(/ENOSPC.*nothing was changed/),
  });
  await expect(announced.before(peer, tell(['m']))).resolves.not.toHaveProperty('done');
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
    settings: { keys: keysOf(undefined) },
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
    onBound: () => {},
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

/** Announcements over a real journal, with parts that a test replaces. `calls` is what they have called, in order. */
function withParts(parts: Partial<AnnouncementsOptions> = {}, found: Partial<SyncResult> = {}) {
  const fake = fakeEtcd();
  const clock = fakeClock();
  const journal = openJournal({ nowMs: clock.nowMs });
  const { log, entries } = recordingLog();
  const calls: string[] = [];
  const announced = createAnnouncements({
    etcd: fake.etcd,
    settings: { keys: keysOf(undefined) },
    async sync(changes, _source, untilMs) {
      calls.push(`sync ${changes.map(changeKey).join()} for ${(untilMs ?? 0) - clock.nowMs()} ms`);
      return { wrote: [], unnamed: [], followUps: [], puts: 0, deletes: 0, conflicts: 0, warnings: [], ...found };
    },
    journal,
    checks: { asks: () => false, before: async () => {}, after: async () => {} },
    stateless: { refusal: () => undefined },
    sourceOf: () => database().source,
    etcdTimeoutMs: 1_000,
    patience,
    log,
    clock,
    onJournal: () => calls.push('journal'),
    onPort: (port) => calls.push(`port ${port}`),
    onBound: (port, slots) => calls.push(`bound ${port} on ${slots.map(({ host }) => host).join()}`),
    onFreeFloatingIp: (id) => calls.push(`free ${id}`),
    ...parts,
  });
  /** What the journal has due now. */
  const due = (): string[] => journal.take(10).map(({ change }) => changeKey(change));
  return { ...fake, announced, journal, clock, entries, calls, due };
}

const group = (marks: string[] = []) => ({ ...announcement('address_group', 'g', null, null), marks });
const boundPort = portRow({ id: 'p', bindings: [bindingRow('h1')], security_groups: [] });
const unchanged = (marks: string[]) => ({ ...announcement('port', 'p', apiPort(boundPort), apiPort({ ...boundPort, status: 'DOWN' })), marks });
const halfBound = (marks: string[]) => ({
  ...announcement('port', 'p', apiPort(boundPort), apiPort({ ...boundPort, bindings: [bindingRow('h2', 'unbound')] })),
  marks,
});

describe('the journal', () => {
  test('is looked at behind each announcement before a commit and each after it, and not for one that changes nothing in etcd', async () => {
    const { announced, journal, calls } = withParts();
    await announced.before(peer, group(['m']));
    expect([calls.splice(0), journal.size]).toEqual([['journal'], 1]);
    await announced.after(peer, group(['m']));
    expect([calls.splice(0), journal.size]).toEqual([['sync address_group:g for 1000 ms', 'journal'], 0]);
    await announced.before(peer, unchanged(['n']));
    await announced.after(peer, unchanged(['n']));
    announced.gone(peer);
    expect(calls).toEqual([]);
  });

  test('is not waited for after a commit that changes nothing of a port in etcd, and the answer before the commit says so', async () => {
    const { announced } = withParts();
    expect(await announced.before(peer, unchanged([]))).toEqual({ done: true });
    expect(await announced.before(peer, halfBound([]))).toEqual({ halfway: true, rows: true });
    expect(await announced.before(peer, announcement('network', 'n', { name: 'a' }, { name: 'a' }))).toEqual({});
  });

  test('forgets what a commit has left as it was', async () => {
    const { announced, journal, calls } = withParts();
    await announced.before(peer, { ...halfBound(['m']) });
    await announced.after(peer, unchanged(['m']));
    expect([calls, journal.size]).toEqual([['journal'], 0]);
  });

  test('has what a vanished caller announced, once, and nothing of other callers', async () => {
    const { announced, journal, calls, due } = withParts();
    const other = { ...peer, pid: 2 };
    await announced.before(peer, group(['m']));
    await announced.before(other, { ...group(['n']), id: 'h' });
    await announced.before(peer, { ...group(['o']), id: 'i' });
    await announced.after(peer, { ...group(['o']), id: 'i' });
    calls.length = 0;
    announced.gone(peer);
    announced.gone(peer);
    expect([calls, due(), journal.size]).toEqual([['journal'], ['address_group:g'], 2]);
    announced.gone({ ...peer, pid: 3 });
    expect(calls).toEqual(['journal']);
  });

  test('gets the ports to which an object applies, because a user does not wait for them', async () => {
    const { announced, calls, due } = withParts();
    await announced.after(peer, announcement('security_group', 'g', { name: 'a' }, { name: 'b', stateful: true }));
    expect([calls, due()]).toEqual([['sync security_group:g for 1000 ms', 'journal'], ['ports_of:security_group:g']]);
  });

  test('gets what follows from a write at once, the second look at what was written, and a later one at what lacks its project’s name', async () => {
    const { announced, clock, due } = withParts(
      {},
      {
        wrote: [{ kind: 'address_group', id: 'g' }],
        followUps: [{ kind: 'subnet', id: 'followed' }],
      },
    );
    await announced.after(peer, group());
    expect(due()).toEqual(['subnet:followed']);
    await clock.pass(1000);
    expect(due()).toEqual(['address_group:g']);
    const other = withParts({}, { unnamed: [{ kind: 'address_group', id: 'g' }] });
    await other.announced.after(peer, group());
    expect(other.journal.restMs).toBe(30_000);
  });

  test('has the first half of a binding for the case that the second never comes, and nothing else of it', async () => {
    const { announced, journal, clock, calls, due } = withParts();
    await announced.before(peer, halfBound(['m']));
    await announced.after(peer, halfBound(['m']));
    expect([calls, journal.restMs]).toEqual([['journal', 'journal'], 10_000]);
    await clock.pass(10_000);
    journal.done(journal.take(10), []);
    expect([due(), journal.size]).toEqual([[], 0]); // nobody waits for the mark any more
  });

  test.each([
    ['refuses', new Refusal('REFUSED', 'it overlaps'), { code: 'REFUSED', message: 'it overlaps' }],
    ['fails', new EtcdError('ETCD_UNAVAILABLE', 'no endpoint'), { code: 'ETCD_UNAVAILABLE', message: expect.stringMatching(/no endpoint; .*keeps a note/) }],
  ])('has a subnet whose check after the commit %s, because Neutron removes it now', async (_what, error, answer) => {
    const { announced, journal, clock, calls } = withParts({
      checks: { asks: () => false, before: async () => {}, after: () => Promise.reject(error) },
    });
    await announced.before(peer, group(['m']));
    await expect(announced.after(peer, group(['m']))).rejects.toMatchObject(answer);
    expect([calls, journal.restMs]).toEqual([['journal', 'journal'], 10_000]);
    await clock.pass(10_000);
    journal.done(journal.take(10), []);
    expect(journal.size).toBe(0);
  });

  test.each([
    [new EtcdError('ETCD_UNAVAILABLE', 'no endpoint'), 'ETCD_UNAVAILABLE', /^etcd does not have the change: no endpoint; .*keeps a note/],
    [new SyncError('too late'), 'ETCD_UNAVAILABLE', /^etcd does not have the change: too late; .*keeps a note/],
    [new WireError('DBError', 'away'), 'INTERNAL', /^Neutron's rows could not be read \(away\); .*keeps a note/],
    [new Error('a fault'), 'INTERNAL', /^a fault; .*keeps a note/],
  ])('has what could not be written: %s', async (error, code, message) => {
    const { announced, journal, calls } = withParts({ sync: () => Promise.reject(error) });
    await expect(announced.after(peer, group())).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect([calls, journal.failing]).toEqual([['journal'], 1]);
  });
});

test('a commit waits for the checks, and what they refuse is not noted', async () => {
  const gate = Promise.withResolvers<void>();
  const checks = { asks: () => false, before: () => gate.promise, after: async () => {} };
  const { announced, journal, clock } = withParts({ checks });
  const answer = announced.before(peer, group(['m']));
  const refused = expect(answer).rejects.toMatchObject({ code: 'REFUSED' });
  await clock.pass(0);
  expect(journal.size).toBe(0);
  gate.reject(new Refusal('REFUSED', 'it is taken'));
  await refused;
  expect(journal.size).toBe(0);
  const away = withParts({ checks: { ...checks, before: () => Promise.reject(new EtcdError('ETCD_UNAVAILABLE', 'no endpoint')) } });
  await expect(away.announced.before(peer, group())).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE', message: expect.stringMatching(/nothing was changed/) });
  const lost = withParts({ checks: { ...checks, before: () => Promise.reject(new WireError('DBError', 'away')) } });
  await expect(lost.announced.before(peer, group())).rejects.toMatchObject({ code: 'DBError' });
});

test('etcd is asked before a commit where it gets a change or the checks need it, and not otherwise', async () => {
  const unasked = withParts();
  unasked.setDown(true);
  await unasked.announced.before(peer, unchanged([]));
  await expect(unasked.announced.before(peer, group())).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
  const asked = withParts({ checks: { asks: () => true, before: async () => {}, after: async () => {} } });
  asked.setDown(true);
  await expect(asked.announced.before(peer, unchanged([]))).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
});

test('etcd is asked once before both halves of a binding, and again where the first half is a second ago, of another port, or was followed by a second half', async () => {
  let questions = 0;
  const { etcd } = fakeEtcd();
  const counting: Etcd = {
    ...etcd,
    transact: (...args) => {
      questions += 1;
      return etcd.transact(...args);
    },
  };
  const { announced, clock } = withParts({ etcd: counting });
  const unbound = apiPort({ ...boundPort, bindings: [bindingRow('h1', 'unbound')] });
  const asked = async (...[id, original, current]: [string, ReturnType<typeof apiPort>, ReturnType<typeof apiPort>]): Promise<number> => {
    questions = 0;
    await announced.before(peer, announcement('port', id, original, current));
    return questions;
  };
  const free = apiPort({ ...boundPort, bindings: [] });
  const first = (id = 'p'): Promise<number> => asked(id, free, unbound);
  const second = (id = 'p'): Promise<number> => asked(id, unbound, apiPort(boundPort));
  expect([await first(), await second(), await second()]).toEqual([1, 0, 1]);
  expect([await first(), await second('q'), await second()]).toEqual([1, 1, 0]);
  await first();
  await clock.pass(1000);
  expect(await second()).toBe(0);
  await first();
  await clock.pass(1001);
  expect(await second()).toBe(1);
  await first();
  expect(await asked('p', unbound, apiPort({ ...boundPort, bindings: [bindingRow('h2')] }))).toBe(1);
});

test('before the second half of a binding, etcd is asked where it did not answer for the first', async () => {
  const { announced, setDown } = withParts();
  const unbound = apiPort({ ...boundPort, bindings: [bindingRow('h1', 'unbound')] });
  const refused = { code: 'ETCD_UNAVAILABLE' };
  setDown(true);
  await expect(announced.before(peer, announcement('port', 'p', null, unbound))).rejects.toMatchObject(refused);
  await expect(announced.before(peer, announcement('port', 'p', unbound, apiPort(boundPort)))).rejects.toMatchObject(refused);
});

test('a refusal says for how many seconds etcd did not answer', async () => {
  const { etcd } = fakeEtcd();
  const { announced, clock } = withParts({ etcd: { ...etcd, transact: () => new Promise(() => undefined) } });
  const refused = expect(announced.before(peer, group())).rejects.toMatchObject({ message: expect.stringMatching(/within 5 s,/) });
  await clock.pass(5000);
  await refused;
});

test('a rule that cannot be enforced and a group that may not be stateless are refused, unless Neutron undoes something', async () => {
  const { announced, journal } = withParts({ stateless: { refusal: ({ id }) => (id === 'stateless' ? 'it is stateless' : undefined) } });
  const rule = announcement('security_group_rule', 'r', null, { id: 'r', security_group_id: 'g' });
  await expect(announced.before(peer, rule)).rejects.toMatchObject({ code: 'REFUSED', message: expect.stringMatching(/cannot enforce/) });
  await expect(announced.before(peer, { ...group(), id: 'stateless' })).rejects.toMatchObject({ code: 'REFUSED', message: 'it is stateless' });
  expect(journal.size).toBe(0);
  await announced.before(peer, { ...group(['m']), id: 'stateless', rollback: true });
  expect(journal.size).toBe(1);
});

test('what etcd gets with a warning is logged', async () => {
  const { announced, entries } = withParts({}, { warnings: [{ object: 'port p', what: 'it has no route' }] });
  await announced.after(peer, group());
  expect(entries).toMatchObject([{ message: 'it has no route', fields: { object: 'port p' } }]);
});

test('a floating IP has its ports looked at, and is told of where it belongs to none any more', async () => {
  const { announced, calls } = withParts();
  const told = async (id: string | null, original: Record<string, unknown> | null, current: Record<string, unknown> | null): Promise<string[]> => {
    await announced.after(peer, { ...announcement('floatingip', '', original, current), id });
    return calls.splice(0).filter((call) => /^(?:port|free)/.test(call));
  };
  expect(await told('f', { port_id: 'p1' }, { port_id: null })).toEqual(['port p1', 'free f']);
  expect(await told('f', { port_id: 'p1' }, { port_id: 'p2' })).toEqual(['port p1', 'port p2']);
  expect(await told('f', { port_id: 'p1' }, null)).toEqual(['port p1']);
  expect(await told(null, { port_id: 'p1' }, { port_id: null })).toEqual(['port p1']);
});

test('the state of a port that was DOWN and is bound is looked at only where it may have a report; that of a port that was ACTIVE, in any case', async () => {
  const { announced, calls } = withParts();
  const port = (status: string, vifType?: string, more: Partial<typeof boundPort> = {}) =>
    apiPort({ ...boundPort, status, bindings: [bindingRow('h1', vifType)], ...more });
  const told = async (...states: readonly ReturnType<typeof apiPort>[]): Promise<string[]> => {
    for (const [index, current] of states.entries()) {
      if (index === 0) continue;
      await announced.before(peer, announcement('port', 'p', states[index - 1]!, current));
      await announced.after(peer, announcement('port', 'p', states[index - 1]!, current));
    }
    return calls.splice(0).filter((call) => /^(?:port|bound)/.test(call));
  };
  const free = (status: string) => port(status, 'unbound', { bindings: [] });
  expect(await told(free('DOWN'), port('DOWN', 'unbound'), port('DOWN'))).toEqual(['bound p on h1']);
  expect(await told(null, port('DOWN', 'unbound'), port('DOWN'))).toEqual(['bound p on h1']);
  expect(await told(port('ACTIVE'), port('DOWN', 'unbound'), port('DOWN'))).toEqual(['port p']);
  expect(await told(free('DOWN'), port('DOWN', 'unbound'), port('ACTIVE'))).toEqual(['port p']);
  expect(await told(port('DOWN', 'unbound'), port('DOWN'))).toEqual(['port p']); // its first half was not announced here
});

test('the state of a port is looked at behind a change of its binding, status or addresses, and behind no other', async () => {
  const { announced, calls } = withParts();
  const told = async (original: Record<string, unknown> | null, current: Record<string, unknown> | null, kind = 'port'): Promise<string[]> => {
    await announced.after(peer, announcement(kind, 'p', original, current));
    return calls.splice(0).filter((call) => call.startsWith('port'));
  };
  const port = apiPort(boundPort);
  expect(await told(port, apiPort({ ...boundPort, bindings: [bindingRow('h2')] }))).toEqual(['port p']);
  expect(await told(port, { ...port, fixed_ips: [] })).toEqual(['port p']);
  expect(await told(port, { ...port, 'binding:vnic_type': 'direct' })).toEqual(['port p']);
  expect(await told(port, { ...port, mac_address: 'fa:16:3e:00:00:01' })).toEqual([]);
  expect(await told(null, port)).toEqual([]);
  expect(await told(port, null)).toEqual([]);
  expect(await told({ status: 'ACTIVE' }, { status: 'DOWN' }, 'address_group')).toEqual([]);
});
