import { fakeClock, settled } from '@calico-openstack/agent/fake-clock';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EtcdError } from './errors.ts';
import { fakeEtcd } from './fake.ts';
import { followPrefixes, type StartedRange, type WatchEvents, type WatchSource } from './follow.ts';
import type { Header, RangePage } from './messages.ts';
import { recorder } from './testing/recorder.ts';
import type { Change, KeyValue } from './types.ts';

const header = (revision: number, over: Partial<Header> = {}): Header => ({ clusterId: '1', revision, term: 2, ...over });
const keyValue = (key: string, modRevision: number): KeyValue => ({
  key,
  value: Buffer.from(`v${modRevision}`),
  createRevision: modRevision,
  modRevision,
  version: 1,
  lease: '0',
});
const page = (revision: number, ...found: KeyValue[]): RangePage => ({ header: header(revision), found, more: false });
const change = (key: string, modRevision: number): Change => ({ key, value: Buffer.from(`v${modRevision}`), modRevision });

/** A datastore whose answers a test scripts. */
function scripted() {
  const clock = fakeClock();
  const asked: {
    readonly prefix: string;
    readonly from: string | undefined;
    readonly revision: number | undefined;
    answer(page: RangePage): void;
    fail(code: EtcdError['code']): void;
  }[] = [];
  const watches: { readonly ranges: readonly StartedRange[]; readonly events: WatchEvents; closed: boolean }[] = [];
  const source: WatchSource = {
    clock,
    random: () => 1,
    readPage: (prefix, { from, revision }) =>
      new Promise((resolve, reject) => {
        asked.push({ prefix, from, revision, answer: resolve, fail: (code) => reject(new EtcdError(code, 'as scripted')) });
      }),
    readHeader: (key) => source.readPage(key, { limit: 1 }).then(({ header: of }) => of),
    watch(ranges, events) {
      const watch = { ranges, events, closed: false };
      watches.push(watch);
      return {
        close() {
          watch.closed = true;
        },
      };
    },
  };
  return {
    source,
    clock,
    asked,
    watches,
    /** Lets time pass until the follower reads or watches again. */
    async retried(): Promise<void> {
      const before = asked.length + watches.length;
      while (asked.length + watches.length === before) {
        await clock.pass(clock.restsMs[0] ?? 1000);
      }
    },
  };
}

/** A follower of `/a/` that is in sync at this revision and knows these keys. */
async function followingAt(revision: number, ...found: KeyValue[]) {
  const script = scripted();
  const told = recorder();
  const follower = followPrefixes(script.source, ['/a/'], told);
  await settled();
  script.asked[0]!.answer(page(revision, ...found));
  await settled();
  const events = script.watches[0]!.events;
  events.onCreated(0, header(revision));
  return { ...script, told, follower, events };
}
const lost = new EtcdError('ETCD_UNAVAILABLE', 'as scripted');

describe('a follower and what etcd may do to it', () => {
  test('an empty list of prefixes is refused', () => {
    expect(() => followPrefixes(scripted().source, [], recorder())).toThrow(expect.objectContaining({ code: 'ETCD_REFUSED' }));
  });

  test('progress reports advance its revision, so that it resumes where nothing has been compacted yet', async () => {
    const { events, follower, watches, retried, told } = await followingAt(5);
    events.onChanges(0, header(90), []);
    expect(follower.revision).toBe(90);
    events.onLost(lost);
    await retried();
    expect(watches[1]!.ranges.map(({ fromRevision }) => fromRevision)).toEqual([90]);
    expect(told.lines).toEqual([]);
  });

  test('a change that arrives twice is reported once', async () => {
    const { events, watches, retried, told } = await followingAt(5);
    events.onChanges(0, header(7), [change('/a/1', 6), change('/a/2', 7)]);
    events.onLost(lost);
    await retried();
    watches[1]!.events.onCreated(0, header(7));
    watches[1]!.events.onChanges(0, header(8), [change('/a/1', 6), change('/a/2', 7), change('/a/3', 8)]);
    expect(told.lines).toEqual(['/a/1=v6', '/a/2=v7', '/a/3=v8']);
  });

  test('pages are all of the first one’s revision, and follow one another by key', async () => {
    const script = scripted();
    const told = recorder();
    followPrefixes(script.source, ['/a/', '/b/x/'], told);
    await settled();
    script.asked[0]!.answer({ ...page(5, keyValue('/a/1', 3)), more: true });
    await settled();
    script.asked[1]!.answer(page(9, keyValue('/a/2', 4)));
    await settled();
    expect(script.asked.map(({ prefix, from, revision }) => [prefix, from, revision])).toEqual([
      ['/a/', undefined, undefined],
      ['/a/', '/a/1\0', 5],
      ['/b/x/', undefined, 5],
    ]);
    script.asked[2]!.answer(page(9));
    await settled();
    expect(told.batches.map(({ revision }) => revision)).toEqual([5, 5]);
    expect(script.watches[0]!.ranges.map(({ fromRevision }) => fromRevision)).toEqual([5, 5]);
  });

  test.each([
    ['that is empty', []],
    ['that begins again where it began', [keyValue('/a/1', 3)]],
  ])('a page %s, and not the last, is an error: nothing of it is taken for the whole', async (_, again) => {
    const script = scripted();
    const told = recorder();
    followPrefixes(script.source, ['/a/'], told);
    await settled();
    script.asked[0]!.answer({ ...page(5, keyValue('/a/1', 3)), more: true });
    await settled();
    script.asked[1]!.answer({ ...page(5, ...again), more: true });
    await settled();
    expect([told.inSyncs, told.states.at(-1), told.reasons.at(-1)?.split(':')[0]]).toEqual([0, 'lost', 'ETCD_PROTOCOL']);
  });

  test('a first snapshot that breaks off is read anew: what was reported is not repeated, what vanished is reported as deleted', async () => {
    const script = scripted();
    const told = recorder();
    followPrefixes(script.source, ['/a/'], told);
    await settled();
    script.asked[0]!.answer({ ...page(5, keyValue('/a/1', 3), keyValue('/a/2', 4)), more: true });
    await settled();
    script.asked[1]!.fail('ETCD_COMPACTED');
    await settled();
    expect(told.inSyncs).toBe(0);
    script.asked[2]!.answer(page(8, keyValue('/a/1', 3), keyValue('/a/3', 7)));
    await settled();
    expect(told.lines).toEqual(['/a/1=v3', '/a/2=v4', '/a/3=v7', '/a/2']);
    expect(told.inSyncs).toBe(1);
  });

  test('an interrupted snapshot continues behind its last key, at the same revision', async () => {
    const script = scripted();
    const told = recorder();
    followPrefixes(script.source, ['/a/', '/b/x/'], told);
    await settled();
    script.asked[0]!.answer({ ...page(5, keyValue('/a/1', 4), keyValue('/a/2', 3)), more: true });
    await settled();
    script.asked[1]!.fail('ETCD_TIMEOUT');
    await script.retried();
    expect(told.states.at(-1)).toBe('lost');
    script.asked[2]!.answer(page(9, keyValue('/a/1', 4)));
    await settled();
    script.asked[3]!.answer(page(9, keyValue('/a/3', 2)));
    await settled();
    script.asked[4]!.fail('ETCD_UNAVAILABLE');
    await script.retried();
    script.asked[5]!.answer(page(9, keyValue('/a/1', 4)));
    await settled();
    script.asked[6]!.answer(page(9, keyValue('/b/x/1', 5)));
    await settled();
    expect(script.asked.map(({ prefix, from, revision }) => [prefix, from, revision])).toEqual([
      ['/a/', undefined, undefined],
      ['/a/', '/a/2\0', 5],
      ['/a/', '/a/1', 5], // checks that the latest change that was read is still the same
      ['/a/', '/a/2\0', 5],
      ['/b/x/', undefined, 5],
      ['/a/', '/a/1', 5],
      ['/b/x/', undefined, 5],
    ]);
    expect([told.lines, told.inSyncs]).toEqual([['/a/1=v4', '/a/2=v3', '/a/3=v2', '/b/x/1=v5'], 1]);
    expect(told.states).toEqual(['reading', 'lost', 'reading', 'lost', 'reading']);
    expect(script.watches[0]!.ranges.map(({ fromRevision }) => fromRevision)).toEqual([5, 5]);
  });

  test.each<[string, (script: ReturnType<typeof scripted>) => void]>([
    ['its revision was compacted', ({ asked }) => asked[2]!.fail('ETCD_COMPACTED')],
    ['its latest change is not what it was', ({ asked }) => asked[2]!.answer(page(9, keyValue('/a/1', 3)))],
    ['its latest change is not there any more', ({ asked }) => asked[2]!.answer(page(9, keyValue('/a/2', 4)))],
    ['another cluster answers', ({ asked }) => asked[2]!.answer({ ...page(9, keyValue('/a/1', 4)), header: header(9, { clusterId: '2' }) })],
    ['etcd is at an earlier term', ({ asked }) => asked[2]!.answer({ ...page(9, keyValue('/a/1', 4)), header: header(9, { term: 1 }) })],
    ['etcd is at an earlier revision', ({ asked }) => asked[2]!.answer(page(4, keyValue('/a/1', 4)))],
  ])('a snapshot that was interrupted begins again when %s, and what vanished is taken back', async (_, meanwhile) => {
    const script = scripted();
    const told = recorder();
    followPrefixes(script.source, ['/a/'], told);
    await settled();
    script.asked[0]!.answer({ ...page(5, keyValue('/a/1', 4)), more: true });
    await settled();
    script.asked[1]!.fail('ETCD_TIMEOUT');
    await script.retried();
    meanwhile(script);
    await script.retried();
    expect(script.asked[3]).toMatchObject({ from: undefined, revision: undefined });
    script.asked[3]!.answer(page(9, keyValue('/a/2', 9)));
    await settled();
    expect([told.lines, told.inSyncs]).toEqual([['/a/1=v4', '/a/2=v9', '/a/1'], 1]);
  });

  test('a later snapshot that is interrupted is reported in one call, once all of it was read', async () => {
    const { events, asked, retried, told } = await followingAt(5, keyValue('/a/1', 3), keyValue('/a/2', 4));
    events.onLost(new EtcdError('ETCD_COMPACTED', 'as scripted'));
    await settled();
    asked[1]!.answer({ ...page(8, keyValue('/a/1', 7)), more: true });
    await settled();
    asked[2]!.fail('ETCD_TIMEOUT');
    await retried();
    asked[3]!.answer(page(8, keyValue('/a/1', 7)));
    await settled();
    expect(told.lines.slice(2)).toEqual([]);
    asked[4]!.answer(page(8, keyValue('/a/3', 6)));
    await settled();
    expect(told.batches.slice(1).map(({ changes }) => changes.map(({ key }) => key))).toEqual([['/a/3', '/a/1', '/a/2']]);
  });

  test('a member that merely lags behind is waited for; what it sends meanwhile is reported afterwards', async () => {
    const { events, watches, asked, retried, told } = await followingAt(5, keyValue('/a/1', 5));
    events.onLost(lost);
    await retried();
    watches[1]!.events.onCreated(0, header(3));
    watches[1]!.events.onChanges(0, header(6), [change('/a/2', 6)]);
    await settled();
    expect(told.states.at(-1)).toBe('lost');
    asked[1]!.answer(page(6));
    await settled();
    expect([told.states.at(-1), told.lines]).toEqual(['following', ['/a/1=v5', '/a/2=v6']]);
  });

  test.each<[string, Partial<Header>]>([
    ['an earlier revision', { revision: 3 }],
    ['another cluster', { clusterId: '2' }],
    ['an earlier term', { term: 1 }],
  ])('%s, confirmed by the majority, is another history: everything is read and told anew', async (_, over) => {
    const { events, watches, asked, retried, told } = await followingAt(5, keyValue('/a/1', 3), keyValue('/a/2', 3));
    events.onLost(lost);
    await retried();
    const other = header(8, over);
    watches[1]!.events.onCreated(0, other);
    await settled();
    asked[1]!.answer({ ...page(8), header: other });
    await retried();
    asked[2]!.answer({ header: other, found: [keyValue('/a/1', 3)], more: false });
    await settled();
    expect(told.lines.slice(2)).toEqual(['/a/1=v3', '/a/2']);
    expect(watches[1]!.closed).toBe(true);
  });

  test('a revision that now holds another change belongs to another history', async () => {
    const { events, watches, asked, retried, told } = await followingAt(5);
    events.onChanges(0, header(6), [change('/a/1', 6)]);
    events.onLost(lost);
    await retried();
    watches[1]!.events.onCreated(0, header(9));
    watches[1]!.events.onChanges(0, header(9), [change('/a/2', 6), change('/a/2', 9)]);
    await retried();
    asked[1]!.answer(page(9, keyValue('/a/2', 9)));
    await settled();
    expect(told.lines).toEqual(['/a/1=v6', '/a/2=v9', '/a/1']);
  });

  test('a snapshot whose pages came from two different etcds is not reported', async () => {
    const script = scripted();
    const told = recorder();
    followPrefixes(script.source, ['/a/', '/b/x/'], told);
    await settled();
    script.asked[0]!.answer(page(5));
    await settled();
    script.asked[1]!.answer({ ...page(5, keyValue('/a/1', 3)), header: header(5, { clusterId: '2' }) });
    await settled();
    expect([told.inSyncs, told.lines]).toEqual([0, []]);
  });

  test('the reason for being lost is reported when it changes, not at every attempt', async () => {
    const { events, watches, retried, told } = await followingAt(5);
    events.onLost(lost);
    for (const code of ['ETCD_UNAVAILABLE', 'ETCD_DENIED', 'ETCD_DENIED'] as const) {
      await retried();
      watches.at(-1)!.events.onLost(new EtcdError(code, 'as scripted'));
      await settled();
    }
    expect(told.reasons.filter(Boolean)).toEqual(['ETCD_UNAVAILABLE: as scripted', 'ETCD_DENIED: as scripted']);
  });

  test('a follower that is closed while it reads, waits or watches reports nothing more and closes its watch', async () => {
    const { events, watches, follower, told } = await followingAt(5);
    follower.close();
    events.onChanges(0, header(6), [change('/a/1', 6)]);
    events.onLost(lost);
    await settled();
    expect([watches[0]!.closed, watches.length, told.lines, told.states]).toEqual([true, 1, [], ['reading', 'following']]);

    const script = scripted();
    const reading = recorder();
    followPrefixes(script.source, ['/a/'], reading).close();
    await settled();
    script.asked[0]!.answer(page(5, keyValue('/a/1', 1)));
    await settled();
    expect([reading.lines, reading.inSyncs, script.watches.length]).toEqual([[], 0, 0]);
  });
});

describe('a follower that fails pauses', () => {
  /** How long it pauses after each of these failures. */
  async function pausesMs(script: ReturnType<typeof scripted>, times: number, fail: () => void): Promise<readonly number[]> {
    const measuredMs: number[] = [];
    for (let count = 0; count < times; count += 1) {
      fail();
      await settled();
      const failedAtMs = script.source.clock.steadyMs();
      await script.retried();
      measuredMs.push(script.source.clock.steadyMs() - failedAtMs);
    }
    return measuredMs;
  }

  test('longer each time that a watch is lost at once, and briefly again after one that held', async () => {
    const script = await followingAt(5);
    const lose = (): void => script.watches.at(-1)!.events.onLost(lost);
    expect(await pausesMs(script, 7, lose)).toEqual([100, 200, 400, 800, 1600, 2000, 2000]);
    script.watches.at(-1)!.events.onCreated(0, header(5));
    await script.clock.pass(5001);
    expect(await pausesMs(script, 2, lose)).toEqual([100, 200]);
    script.watches.at(-1)!.events.onCreated(0, header(5));
    await script.clock.pass(4999);
    expect(await pausesMs(script, 1, lose)).toEqual([400]);
  });

  test('longer still while it reads, for thousands may read at once, and briefly when a page has come meanwhile', async () => {
    const script = scripted();
    followPrefixes(script.source, ['/a/'], recorder());
    await settled();
    const fail = (): void => script.asked.at(-1)!.fail('ETCD_UNAVAILABLE');
    expect(await pausesMs(script, 9, fail)).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000]);
    script.asked.at(-1)!.answer({ ...page(5, keyValue('/a/1', 3)), more: true });
    await settled();
    expect(await pausesMs(script, 1, fail)).toEqual([200]);
  });

  test('longest when it is refused', async () => {
    const script = scripted();
    followPrefixes(script.source, ['/a/'], recorder());
    await settled();
    expect((await pausesMs(script, 11, () => script.asked.at(-1)!.fail('ETCD_DENIED'))).slice(-2)).toEqual([30_000, 30_000]);
  });
});

test('when another etcd answers while the first snapshot is read, what was told of that counts as changed, whatever its revision', async () => {
  const script = scripted();
  const told = recorder();
  followPrefixes(script.source, ['/a/'], told);
  await settled();
  script.asked[0]!.answer({ ...page(20, keyValue('/a/1', 15)), more: true });
  await settled();
  script.asked[1]!.answer(page(10)); // restored from a backup
  await settled();
  script.asked[2]!.answer(page(16, { ...keyValue('/a/1', 15), value: Buffer.from('another') }));
  await settled();
  expect(told.lines).toEqual(['/a/1=v15', '/a/1=another']);
});

test('whatever happens to etcd and the network, the listener ends with what etcd holds, and no change is reported twice', async () => {
  const key = fc.constantFrom('/a/1', '/a/2', '/a/3', '/b/1', '/c/x/1');
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ put: key, value: fc.string({ maxLength: 2 }) }) },
    { weight: 3, arbitrary: fc.record({ delete: key }) },
    { weight: 2, arbitrary: fc.constantFrom('cut', 'join', 'compact', 'wait') },
    { weight: 1, arbitrary: fc.constantFrom('down', 'up', 'replace') },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.constantFrom(1, 2, 10_000), async (steps, pageKeys) => {
      const fake = fakeEtcd({ pageKeys });
      const writer = fake.connect();
      const told = recorder();
      const last = new Map<string, string | undefined>();
      const repeated: string[] = [];
      let replaced = false;
      fake.etcd.follow(['/a/', '/c/x/'], {
        ...told,
        onChanges(changes, revision, isHistory) {
          for (const { key, value } of changes) {
            const text = value && Buffer.from(value).toString();
            if (text === undefined && last.get(key) === undefined) repeated.push(key);
            last.set(key, text);
          }
          told.onChanges(changes, revision, isHistory);
        },
      });
      for (const each of steps) {
        if (typeof each === 'object') await writer.transact([], [each]).catch(() => undefined);
        else if (each === 'cut' || each === 'join') fake.etcd.cut(each === 'cut');
        else if (each === 'down' || each === 'up') fake.setDown(each === 'down');
        else if (each === 'wait') await settled();
        else if (each === 'compact') {
          const { revision } = await writer.status().catch(() => ({ revision: 0 }));
          await writer.compact(revision).catch(() => undefined);
        } else {
          fake.replace();
          replaced = true;
        }
      }
      fake.etcd.cut(false);
      fake.setDown(false);
      for (let turn = 0; turn < 4; turn++) await settled();
      const wanted = { ...fake.contents('/a/'), ...fake.contents('/c/x/') };
      expect(Object.fromEntries(told.held)).toEqual(wanted);
      expect(repeated).toEqual([]);
      const seen = told.batches.flatMap(({ changes }) => changes.map((each) => `${each.key} ${each.modRevision}`));
      if (!replaced) expect(new Set(seen).size).toBe(seen.length);
      expect(told.inSyncs).toBe(1);
      fake.etcd.close();
    }),
    { numRuns: 500 },
  );
});
