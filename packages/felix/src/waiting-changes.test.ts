import type { Change } from '@calico-openstack/etcd';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WaitingChanges } from './waiting-changes.ts';

const change = (modRevision: number, bytes = 100): Change => ({ key: `/${modRevision}`, value: new Uint8Array(bytes), modRevision }) as Change;
const changes = (count: number, bytes?: number): Change[] => Array.from({ length: count }, (_, at) => change(at + 1, bytes));
const kilobytes = (portion: readonly Change[]): number => portion.reduce((sum, { value }) => sum + 1 + (value?.length ?? 0) / 1024, 0);

describe('a portion', () => {
  test('has all that waits when that is little', () => {
    const waiting = new WaitingChanges();
    waiting.add(changes(3), true);
    waiting.add([change(4)], true);
    expect(waiting.take().map(({ modRevision }) => modRevision)).toEqual([1, 2, 3, 4]);
    expect([waiting.isEmpty, waiting.take()]).toEqual([true, []]);
  });
  test('has a transaction whole, however great that is', () => {
    const waiting = new WaitingChanges();
    waiting.add([change(1, 200_000), ...Array.from({ length: 100 }, () => change(2, 100_000)), change(3)], true);
    expect([waiting.take().length, waiting.take().length, waiting.take().length]).toEqual([1, 100, 1]);
  });
  test('has a difference whole, however great that is, because no state lay between its changes', () => {
    const waiting = new WaitingChanges();
    waiting.add([change(0, 200_000)], true);
    waiting.add(changes(100, 100_000), false);
    waiting.add([change(200)], true);
    expect([waiting.take().length, waiting.take().length, waiting.take().length]).toEqual([1, 100, 1]);
  });
  test('is smaller after a step that took long, and greater again after fast ones', () => {
    const waiting = new WaitingChanges();
    waiting.add(changes(10_000, 10_000), true);
    const sizes = [1000, 1000, 1000, 10, 10, 10, 10].map((tookMs) => {
      const size = kilobytes(waiting.take());
      waiting.noteTook(tookMs);
      return size;
    });
    expect(sizes[0]).toBeGreaterThan(200);
    expect(sizes[1]).toBeLessThan(sizes[0]! / 5);
    expect(sizes[3]).toBeGreaterThan(0);
    expect(sizes[6]).toBeGreaterThan(sizes[3]! * 3);
  });
  test('is no greater because small ones were fast', () => {
    const waiting = new WaitingChanges();
    for (let step = 0; step < 100; step += 1) {
      waiting.add([change(1)], true);
      waiting.take();
      waiting.noteTook(1);
    }
    waiting.add(changes(10_000, 10_000), true);
    expect(kilobytes(waiting.take())).toBeLessThan(300);
  });
});

test('all changes come out once, in their order, whatever the portions', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 300_000 }), fc.integer({ min: 0, max: 2000 })), { maxLength: 30 }),
      (parts) => {
        const waiting = new WaitingChanges();
        const [given, taken]: [Change[], Change[]] = [[], []];
        let revision = 0;
        for (const [count, bytes, tookMs] of parts) {
          revision += 1;
          const more = Array.from({ length: count }, () => change(revision, bytes));
          given.push(...more);
          waiting.add(more, true);
          taken.push(...waiting.take());
          waiting.noteTook(tookMs);
        }
        while (!waiting.isEmpty) taken.push(...waiting.take());
        expect(taken).toEqual(given);
      },
    ),
    { numRuns: 50 },
  );
});
