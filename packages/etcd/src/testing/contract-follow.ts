// The part of the contract suite about `follow`.
import { beforeEach, describe, expect, test } from 'vitest';
import type { Etcd, Operation } from '../types.ts';
import { type Recorder, recorder } from './recorder.ts';
import { put, type World } from './world.ts';

/** Registers the tests. `current` returns the world of the running test. */
export function followContract(current: () => World): void {
  describe('following', () => {
    let etcd: Etcd;
    let other: Etcd;
    let told: Recorder;
    beforeEach(() => {
      ({ etcd, other } = current());
      told = recorder();
    });

    const write = async (...operations: Operation[]): Promise<number> => (await other.transact([], operations)).revision;
    const inSync = ({ inSyncs }: Recorder): boolean => inSyncs > 0;
    const following = ({ states }: Recorder): boolean => states.at(-1) === 'following';
    /** Writes this value to `/a/end`, and resolves when it was reported: everything before it was reported, too. */
    async function end(value = 'end'): Promise<void> {
      await write(put('/a/end', value));
      await told.until(({ held }) => held.get('/a/end') === value);
    }
    /** Cuts the client off while `happens` runs, and reconnects it. */
    async function whileAway(happens: () => Promise<void>): Promise<void> {
      await current().cut();
      await told.until(({ states }) => states.at(-1) === 'lost');
      await happens();
      await current().join();
    }
    /** Whether a second snapshot was read. (etcd accepts a watch first, and reports a compaction afterwards.) */
    const readAgain = ({ states }: Recorder): boolean => states.filter((state) => state === 'reading').length === 2 && states.at(-1) === 'following';

    test('first all keys are reported, then each change; in between, onInSync is called once', async () => {
      await write(put('/a/1', '1'), put('/a/2', '2'));
      const follower = etcd.follow(['/a/'], told);
      await told.until(inSync);
      expect(told.lines.toSorted()).toEqual(['/a/1=1', '/a/2=2']);
      await write(put('/a/1', 'x'));
      await write({ delete: '/a/2' });
      await end();
      expect(told.lines.slice(2)).toEqual(['/a/1=x', '/a/2', '/a/end=end']);
      expect(told.inSyncs).toBe(1);
      expect([follower.state, told.states]).toEqual(['following', ['reading', 'following']]);
    });

    describe('keys that are no UTF-8', () => {
      /** Several pages of such keys: bytes 0x80 to 0xff at all places, truncated characters, surrogates as three bytes. */
      const odd = Array.from({ length: 1200 }, (_, index) => `/a/\u{dc80}${String.fromCharCode(0xdc80 + (index % 128))}${index}\u{dce2}\u{dc82}`);
      const mixed = ['/a/1', '/a/\ufffd', '/a/\u{dced}\u{dca0}\u{dc80}', '/a/z\u{dcff}', '/a/z\u{10ffff}', '/b/\u{dcff}'];
      const writeAll = async (keys: readonly string[]): Promise<void> => {
        for (let at = 0; at < keys.length; at += 100) await write(...keys.slice(at, at + 100).map((key) => put(key, 'x')));
      };

      test('are counted and hide no other key, however many pages they fill', async () => {
        await writeAll([...odd, ...mixed]);
        etcd.follow(['/a/'], told);
        await told.until(inSync);
        await end();
        expect([...told.held.keys()].toSorted()).toEqual(['/a/1', '/a/end', '/a/z\u{10ffff}', '/a/\ufffd']);
        expect(told.unreadable).toEqual([[1202, expect.stringMatching(/^\/a\/.*\\x[89a-f][0-9a-f]/)]]);
      });

      test('come and go without being reported among the changes', async () => {
        etcd.follow(['/a/'], told);
        await told.until(following);
        // etcd may send several revisions at once; then only the final number is reported.
        const counted = (keys: number): Promise<void> => told.until(({ unreadable }) => unreadable.at(-1)?.[0] === keys);
        await write(put(odd[0]!, '1'));
        await counted(1);
        await write(put(odd[1]!, '1'), put('/a/1', '1'));
        await counted(2);
        await write({ delete: odd[0]! });
        await counted(1);
        await write({ delete: odd[1]! }, put('/a/2', '2'));
        await counted(0);
        await end();
        expect(told.lines).toEqual(['/a/1=1', '/a/2=2', '/a/end=end']);
        expect(told.unreadable.map(([keys]) => keys)).toEqual([1, 2, 1, 0]);
      });

      test('a revision that changes only such keys still advances the follower, also after a loss', async () => {
        etcd.follow(['/a/'], told);
        await told.until(following);
        await write(put(odd[0]!, '1'));
        await told.until(({ unreadable }) => unreadable.length > 0);
        await whileAway(() => writeAll(odd.slice(1, 3)));
        await end();
        expect(told.lines).toEqual(['/a/end=end']);
        expect([told.states.filter((state) => state === 'reading').length, told.unreadable.at(-1)?.[0]]).toEqual([1, 3]);
      });

      test('are not in a range either, and a range in pages of them ends', async () => {
        await writeAll([...odd.slice(0, 30), ...mixed]);
        for (const pageSize of [1, 7, 1000])
          expect((await etcd.range('/a/', { pageSize })).found.map(({ key }) => key)).toEqual(['/a/1', '/a/z\u{10ffff}', '/a/\ufffd']);
      });
    });

    test('an empty prefix is in sync at once, and followed', async () => {
      etcd.follow(['/a/'], told);
      await told.until(inSync);
      expect(told.lines).toEqual([]);
      await end();
      expect(told.lines).toEqual(['/a/end=end']);
    });

    test('keys outside the prefixes are not reported, not even those between them', async () => {
      const outside = ['/a', '/a0', '/a/b', '/a/cc/1', '/b/1'];
      await write(...outside.map((key) => put(key, 'no')), put('/a/b/1', '1'), put('/a/d/1', '2'));
      etcd.follow(['/a/d/', '/a/b/'], told);
      await told.until(following);
      await write(...outside.map((key) => put(key, 'no again')));
      await write(put('/a/d/end', ''));
      await told.until(({ held }) => held.has('/a/d/end'));
      expect(told.lines.toSorted()).toEqual(['/a/b/1=1', '/a/d/1=2', '/a/d/end=']);
    });

    test('keys under prefixes inside one another are reported once', async () => {
      await write(put('/a/b/1', '1'));
      etcd.follow(['/a/b/', '/a/', '/a/', '/a/b/1'], told);
      await told.until(following);
      await write(put('/a/b/2', '2'));
      await end();
      expect(told.lines).toEqual(['/a/b/1=1', '/a/b/2=2', '/a/end=end']);
    });

    test('the changes of a transaction come in one call, in its order, over sibling prefixes too', async () => {
      await write(put('/r/x/gone', ''));
      etcd.follow(['/r/x/', '/r/y/', '/r/z/'], told);
      await told.until(following);
      const before = told.batches.length;
      const revisions = [
        await write(put('/r/z/1', '1'), put('/r/x/1', '1'), { delete: '/r/x/gone' }, put('/r/y/1', '1')),
        await write(put('/r/y/2', '2'), put('/r/x/2', '2')),
      ];
      await told.until(({ held }) => held.has('/r/x/2'));
      const live = told.batches.slice(before).flatMap(({ changes }) => changes);
      expect(live.map(({ key, modRevision }) => [key, modRevision])).toEqual([
        ['/r/z/1', revisions[0]],
        ['/r/x/1', revisions[0]],
        ['/r/x/gone', revisions[0]],
        ['/r/y/1', revisions[0]],
        ['/r/y/2', revisions[1]],
        ['/r/x/2', revisions[1]],
      ]);
      for (const revision of revisions) {
        expect(told.batches.slice(before).filter(({ changes }) => changes.some(({ modRevision }) => modRevision === revision))).toHaveLength(1);
      }
    });

    test.each<[string, [string, string], boolean]>([
      ['distant prefixes', ['/a/x/', '/b/y/z/'], false],
      ['prefixes followed apart', ['/a/x/', '/a/z/'], true],
    ])('%s are all reported, each in order', async (_, prefixes, apart) => {
      const [one, other] = prefixes.map((prefix) => `${prefix}1`) as [string, string];
      await write(put(one, '1'), put(other, '1'), put('/a/y/1', '1'));
      etcd.follow(prefixes, told, { apart });
      await told.until(following);
      for (const value of ['2', '3', '4']) await write(put(one, value), put(other, value), put('/a/y/1', value));
      await told.until(({ held }) => held.get(one) === '4' && held.get(other) === '4');
      for (const key of [one, other]) expect(told.lines.filter((line) => line.startsWith(key))).toEqual(['1', '2', '3', '4'].map((value) => `${key}=${value}`));
      expect([told.held.size, told.inSyncs]).toEqual([2, 1]);
    });

    test('no change is lost or repeated between the snapshot and the watch', async () => {
      const writing = (async () => {
        for (let index = 0; index < 200; index++) await write(put(`/a/${index}`, String(index)));
      })();
      await write(put('/a/first', ''));
      const follower = etcd.follow(['/a/'], told);
      await writing;
      await end();
      expect(told.lines).toHaveLength(202);
      expect(new Set(told.lines).size).toBe(202);
      const live = told.batches.flatMap(({ changes }) => changes).slice(-10);
      expect(live.map(({ modRevision }) => modRevision)).toEqual(live.map(({ modRevision }) => modRevision).toSorted((one, two) => one - two));
      expect(follower.revision).toBe(told.batches.at(-1)?.revision);
    });

    test('after an absence only what changed is reported, in order', async () => {
      await write(put('/a/same', '1'), put('/a/changed', '1'), put('/a/gone', '1'));
      etcd.follow(['/a/'], told);
      await told.until(following);
      const before = told.lines.length;
      await whileAway(async () => {
        await write(put('/a/changed', '2'));
        await write({ delete: '/a/gone' });
        await write(put('/a/new', '1'));
        await write(put('/a/changed', '3'));
      });
      await end();
      expect(told.lines.slice(before)).toEqual(['/a/changed=2', '/a/gone', '/a/new=1', '/a/changed=3', '/a/end=end']);
      expect(told.inSyncs).toBe(1);
      expect(told.states).toEqual(['reading', 'following', 'lost', 'following']);
    });

    test('after an absence in which the history was compacted, the differences are reported in one call, and nothing twice', async () => {
      await write(put('/a/same', '1'), put('/a/changed', '1'), put('/a/gone', '1'));
      await write(put('/b/unasked', '1'));
      etcd.follow(['/a/'], told);
      await told.until(following);
      const before = told.batches.length;
      await whileAway(async () => {
        await write(put('/a/new', '1'), put('/b/unasked', '2'));
        await write(put('/a/changed', '2'), { delete: '/a/gone' });
        await write(put('/a/passing', '1'));
        await other.compact(await write({ delete: '/a/passing' }));
      });
      await told.until(readAgain);
      const differences = told.batches.slice(before);
      expect(differences).toHaveLength(1);
      expect(told.lines.slice(-3)).toEqual(['/a/new=1', '/a/changed=2', '/a/gone']);
      await end();
      expect(told.lines.at(-1)).toBe('/a/end=end');
      expect(told.inSyncs).toBe(1);
      expect([differences[0]!.isHistory, told.batches.at(-1)!.isHistory]).toEqual([false, true]);
    });

    test('after a compaction without changes under the prefixes, nothing is reported', async () => {
      await write(put('/a/same', '1'));
      etcd.follow(['/a/'], told);
      await told.until(following);
      const before = told.lines.length;
      await whileAway(async () => {
        await write(put('/b/x', '1'));
        await other.compact(await write(put('/b/x', '2')));
      });
      await told.until(readAgain);
      expect(told.lines.length).toBe(before);
      await end();
      expect(told.lines.slice(before)).toEqual(['/a/end=end']);
    });

    test('a compaction does not disturb a follower', async () => {
      etcd.follow(['/a/'], told);
      await told.until(following);
      await end('caught up');
      await other.compact(await write(put('/b/1', '1')));
      await end();
      expect(told.lines).toEqual(['/a/end=caught up', '/a/end=end']);
      expect(told.states).toEqual(['reading', 'following']);
    });

    test('an etcd with another history is read anew, and everything in it is reported, even at a revision that was seen before', async () => {
      const revision = await write(put('/a/1', 'old'), put('/a/2', 'old'));
      for (let index = 0; index < 5; index++) await write(put('/a/3', String(index)));
      etcd.follow(['/a/'], told);
      await told.until(following);
      const before = told.batches.length;
      await current().replace();
      await told.until(({ states }) => states.includes('lost') || states.filter((state) => state === 'reading').length > 1);
      await told.until(({ held }) => held.size === 0);
      expect(told.batches.slice(before).map(({ changes }) => changes.map(({ key }) => key).toSorted())).toEqual([['/a/1', '/a/2', '/a/3']]);
      expect(await write(put('/a/1', 'new'))).toBe(revision);
      await told.until(({ held }) => held.get('/a/1') === 'new');
    });

    test('an absence before the first snapshot delays it', async () => {
      await write(put('/a/1', '1'));
      await current().cut();
      etcd.follow(['/a/'], told);
      await told.until(({ states }) => states.includes('lost'));
      expect(told.lines).toEqual([]);
      await current().join();
      await told.until(following);
      expect([told.lines, told.inSyncs]).toEqual([['/a/1=1'], 1]);
    });

    test('a closed follower hears nothing more, even when it closes itself', async () => {
      const silent = recorder();
      const bystander = etcd.follow(['/a/'], silent);
      const follower = etcd.follow(['/a/'], {
        ...told,
        onChanges(changes, revision, isHistory) {
          told.onChanges(changes, revision, isHistory);
          follower.close();
        },
      });
      await Promise.all([told.until(following), silent.until(following)]);
      await write(put('/a/1', '1'));
      await told.until(({ held }) => held.has('/a/1'));
      bystander.close();
      const third = recorder();
      etcd.follow(['/a/'], third);
      await third.until(following);
      await write(put('/a/2', '2'));
      await third.until(({ held }) => held.has('/a/2'));
      expect([told.lines, silent.held.has('/a/2')]).toEqual([['/a/1=1'], false]);
    });

    test('followers may be closed in any state, and by their client', async () => {
      const early = etcd.follow(['/a/'], told);
      early.close();
      early.close();
      const second = recorder();
      etcd.follow(['/a/'], second);
      await second.until(following);
      const third = recorder();
      etcd.follow(['/a/'], third);
      etcd.close();
      await write(put('/a/1', '1'));
      expect([told.states, second.lines, third.lines]).toEqual([[], [], []]);
    });
  });
}
