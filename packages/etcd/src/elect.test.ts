import { settled } from '@calico-openstack/agent/fake-clock';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Election, type ElectionOptions, elect } from './elect.ts';
import { EtcdError } from './errors.ts';
import { type FakeConnection, type FakeEtcd, fakeEtcd } from './fake.ts';
import type { Etcd } from './types.ts';

const keys = ['/v2/election', '/v1/election'];

let fake: FakeEtcd;
let heard: string[];
beforeEach(() => {
  fake = fakeEtcd();
  heard = [];
});

function candidate(name: string, etcd: Etcd = fake.connect(), over: Partial<ElectionOptions> = {}): Election {
  return elect(etcd, {
    keys,
    value: name,
    ttlSeconds: 60,
    refreshMs: 10_000,
    clock: fake.clock,
    onElected: () => heard.push(`${name} leads`),
    onLost: (reason) => heard.push(`${name} lost: ${reason}`),
    onWaiting: (leader) => heard.push(`${name} waits for ${leader}`),
    onError: (error) => heard.push(`${name}: ${error instanceof EtcdError ? error.code : error}`),
    ...over,
  });
}

describe('an election', () => {
  test('is won by the first candidate; it holds all the keys under one lease; the others wait and learn who leads', async () => {
    const first = candidate('a:1');
    await settled();
    const second = candidate('b:2');
    await settled();
    expect(heard).toEqual(['a:1 leads', 'b:2 waits for a:1']);
    expect([first.leading, second.leading]).toEqual([true, false]);
    expect(fake.contents()).toEqual({ '/v1/election': 'a:1', '/v2/election': 'a:1' });
    const leases = await Promise.all(keys.map(async (key) => (await fake.etcd.get(key)).found?.lease));
    expect(new Set(leases).size).toBe(1);
  });

  test('the leader stays the leader while it can renew its lease, without writing its keys again', async () => {
    const first = candidate('a:1');
    candidate('b:2');
    await fake.advanceSeconds(600);
    const { modRevision, version } = (await fake.etcd.get(keys[0]!)).found!;
    expect([first.leading, version]).toEqual([true, 1]);
    await fake.advanceSeconds(600);
    expect((await fake.etcd.get(keys[0]!)).found).toMatchObject({ modRevision, version: 1 });
    expect(heard).toEqual(['a:1 leads', 'b:2 waits for a:1']);
  });

  test('when the leader resigns, another leads at once', async () => {
    const first = candidate('a:1');
    await settled();
    const second = candidate('b:2');
    await settled();
    await first.close();
    await settled();
    expect(heard).toEqual(['a:1 leads', 'b:2 waits for a:1', 'b:2 leads']);
    expect([first.leading, second.leading]).toEqual([false, true]);
  });

  test('a leader that is cut off knows that it leads no longer before another does', async () => {
    const [one, two] = [fake.connect(), fake.connect()];
    const first = candidate('a:1', one, { onError() {} });
    await settled();
    const second = candidate('b:2', two);
    await fake.advanceSeconds(25);
    one.cut(true);
    for (let seconds = 0; seconds < 70; seconds++) {
      await fake.advanceSeconds(1);
      expect([first.leading, second.leading]).not.toEqual([true, true]);
    }
    expect(heard).toEqual(['a:1 leads', 'b:2 waits for a:1', 'a:1 lost: the lease could not be renewed in time', 'b:2 leads']);
    one.cut(false);
    await fake.advanceSeconds(30);
    expect([first.leading, second.leading]).toEqual([false, true]);
    expect(heard.at(-1)).toBe('a:1 waits for b:2');
  });

  test('a short absence of etcd costs the leader nothing', async () => {
    const first = candidate('a:1', fake.connect(), { onError() {} });
    await fake.advanceSeconds(10);
    fake.setDown(true);
    await fake.advanceSeconds(40);
    expect(first.leading).toBe(true);
    fake.setDown(false);
    await fake.advanceSeconds(120);
    expect([first.leading, heard]).toEqual([true, ['a:1 leads']]);
  });

  test.each([62, 300])('after %i s without etcd somebody leads within 10 s, although the key of the former leader is still there', async (seconds) => {
    const first = candidate('a:1', fake.connect(), { onError() {} });
    await settled();
    const second = candidate('b:2', fake.connect(), { onError() {} });
    await fake.advanceSeconds(5);
    fake.setDown(true);
    await fake.advanceSeconds(seconds);
    expect([first.leading, second.leading, Object.values(fake.contents())]).toEqual([false, false, ['a:1', 'a:1']]);
    fake.setDown(false);
    await fake.advanceSeconds(10);
    expect([first.leading, second.leading].filter(Boolean)).toHaveLength(1);
  });

  test('a leader that was stopped for longer than its lease does not lead for a moment when it goes on', async () => {
    let nowMs = 0;
    const first = candidate('a:1', fake.connect(), { clock: { ...fake.clock, steadyMs: () => nowMs } });
    await settled();
    expect(first.leading).toBe(true);
    nowMs = 60_000;
    expect([first.leading, first.proof()]).toEqual([false, []]);
  });

  test.each<[string, (etcd: Etcd) => Promise<unknown>, string]>([
    ['deletes', (etcd) => etcd.transact([], [{ delete: keys[1]! }]), '/v1/election was deleted'],
    ['overwrites', (etcd) => etcd.transact([], [{ put: keys[0]!, value: 'c:3' }]), '/v2/election was overwritten'],
  ])('when somebody %s a key, the leader leads no longer, and gives up what it still holds', async (_, meddle, reason) => {
    const first = candidate('a:1');
    await settled();
    await meddle(fake.etcd);
    await settled();
    expect(heard.slice(0, 2)).toEqual(['a:1 leads', `a:1 lost: ${reason}`]);
    expect(first.leading).toBe(reason.includes('deleted')); // there was no other candidate: it leads again
    expect(Object.values(fake.contents())).not.toContain(reason.includes('deleted') ? 'c:3' : 'a:1');
  });

  test('a candidate that holds only one of the keys keeps everybody else from leading', async () => {
    await fake.etcd.transact([], [{ put: keys[1]!, value: 'old:9' }]);
    candidate('a:1');
    await settled();
    expect([heard, fake.contents()]).toEqual([['a:1 waits for old:9'], { '/v1/election': 'old:9' }]);
    await fake.etcd.transact([], [{ delete: keys[1]! }]);
    await settled();
    expect(heard.at(-1)).toBe('a:1 leads');
  });

  test('keys that only start with one of its own are ignored', async () => {
    await fake.etcd.transact([], [{ put: `${keys[0]}/other`, value: 'x' }]);
    candidate('a:1');
    await settled();
    await fake.etcd.transact([], [{ delete: `${keys[0]}/other` }]);
    await settled();
    expect(heard).toEqual(['a:1 leads']);
  });

  test('of many that see the vacancy at once, exactly one leads', async () => {
    const first = candidate('a:0');
    await settled();
    const others = Array.from({ length: 5 }, (_, index) => candidate(`b:${index}`));
    await settled();
    await first.close();
    await fake.advanceSeconds(30);
    expect(others.filter(({ leading }) => leading)).toHaveLength(1);
  });

  test('the proof lets a transaction through while we lead, and stops it once another does', async () => {
    const first = candidate('a:1');
    await settled();
    const proof = first.proof();
    expect((await fake.etcd.transact(proof, [{ put: '/x', value: '1' }])).succeeded).toBe(true);
    const second = candidate('b:2');
    await first.close();
    await settled();
    expect(second.leading).toBe(true);
    expect((await fake.etcd.transact(proof, [{ put: '/x', value: '2' }])).succeeded).toBe(false);
  });

  test('a candidate whose answer was lost finds out that the keys are its own', async () => {
    const etcd = fake.connect();
    let answersLost = 1;
    const lossy: FakeConnection = {
      ...etcd,
      async transact(...transaction) {
        const result = await etcd.transact(...transaction);
        if (answersLost-- > 0) throw new EtcdError('ETCD_TIMEOUT', 'the answer got lost');
        return result;
      },
    };
    const first = candidate('a:1', lossy);
    await fake.advanceSeconds(10);
    expect([first.leading, heard]).toEqual([true, ['a:1: ETCD_TIMEOUT', 'a:1 leads']]);
    expect((await fake.etcd.get(keys[0]!)).found?.version).toBe(1);
  });

  test('closed at any moment, it leaves no key behind', async () => {
    await Promise.all(
      Array.from({ length: 12 }, async (_, turns) => {
        const own = fakeEtcd();
        const election = elect(own.etcd, { keys, value: 'a:1', clock: own.clock, onElected() {}, onLost: (reason) => heard.push(reason) });
        for (let turn = 0; turn < turns; turn++) await Promise.resolve();
        await election.close();
        await settled();
        expect([own.contents(), election.leading, heard]).toEqual([{}, false, []]);
      }),
    );
  });
});
