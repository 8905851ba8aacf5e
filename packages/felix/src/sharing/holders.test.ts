import type { Cidr } from '@calico-openstack/addresses';
import type { WorkloadId } from '@calico-openstack/datamodel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AddressHolders } from './holders.ts';

const vip = '10.0.0.100/32' as Cidr;
const [a, b, c] = ['a', 'b', 'c'] as WorkloadId[] as [WorkloadId, WorkloadId, WorkloadId];

/** Ports with their ages, which share one address. Time passes by hand. */
function world(ports: Readonly<Record<string, number>>, before?: WorkloadId) {
  const holders = new AddressHolders();
  let nowMs = 0;
  let moves = 0;
  let known: WorkloadId | undefined;
  /** The ports whose guests answer. */
  const answering = new Set<WorkloadId>();
  for (const [id, createdMs] of Object.entries(ports)) holders.set(id as WorkloadId, [vip], createdMs, () => id === before, nowMs);
  const look = (): WorkloadId | undefined => {
    const changed = holders.takeChanged();
    if (changed && changed.get(vip) !== known) moves += 1;
    if (changed) known = changed.get(vip);
    return known;
  };
  const turn = (): readonly WorkloadId[] => {
    const asked = holders.take(nowMs).map(({ id }) => id);
    for (const id of asked) if (answering.has(id)) holders.answered(vip, id, nowMs);
    return asked;
  };
  return {
    holders,
    answering,
    look,
    turn,
    moves: () => moves,
    now: () => nowMs,
    announce: (id: WorkloadId) => holders.announced(vip, id, nowMs),
    /** Lets time pass, and calls `take` whenever it is due. Returns how many questions were asked. */
    pass(ms: number): number {
      const endMs = nowMs + ms;
      let asked = 0;
      for (;;) {
        const restMs = holders.restMs(nowMs);
        if (restMs === undefined || nowMs + restMs > endMs) break;
        nowMs += restMs;
        asked += turn().length;
        look();
      }
      nowMs = endMs;
      return asked;
    },
    /** Lets time pass in which this host does nothing. */
    sleep(ms: number) {
      nowMs += ms;
    },
  };
}

describe('an address belongs to', () => {
  test('nobody, until a guest answers; all are asked at once', () => {
    const { look, turn, pass, answering } = world({ a: 1, b: 2 });
    expect(look()).toBeUndefined();
    expect([...turn()].sort()).toEqual([a, b]);
    expect(look()).toBeUndefined();
    answering.add(b);
    pass(1100);
    expect(look()).toBe(b);
  });
  test('the port that had it before, when this process starts', () => {
    const { look, turn } = world({ a: 1, b: 2 }, b);
    expect(look()).toBe(b);
    expect(turn()).toEqual([b]);
  });
  test('the older one of those that answer together', () => {
    const { look, turn, answering } = world({ a: 2, b: 1, c: 3 });
    for (const id of [a, b, c]) answering.add(id);
    turn();
    expect(look()).toBe(b);
  });
  test('the lower id of those that answer and have one age', () => {
    const { look, turn, answering } = world({ b: 1, a: 1 });
    for (const id of [a, b]) answering.add(id);
    turn();
    expect(look()).toBe(a);
  });
  test('whoever has announced it last, even if others answer', () => {
    const { look, turn, announce, answering, pass } = world({ a: 1, b: 2 });
    answering.add(a);
    turn();
    announce(b);
    expect(look()).toBe(b);
    answering.add(b);
    pass(5000);
    expect(look()).toBe(b);
  });
  test('nobody else than the ports that share it', () => {
    const { look, announce, holders, now } = world({ a: 1, b: 2 });
    announce(c);
    holders.answered(vip, c, now());
    holders.announced('10.0.0.1/32' as Cidr, a, now());
    expect(look()).toBeUndefined();
  });
});

describe('a holder', () => {
  test('that no longer answers loses it within a second, and another that answers has it', () => {
    const { look, pass, answering, announce } = world({ a: 1, b: 2 });
    answering.add(a);
    announce(a);
    pass(3000);
    answering.delete(a);
    pass(1000);
    expect(look()).toBeUndefined();
    answering.add(b);
    pass(1100);
    expect(look()).toBe(b);
  });
  test('that answers late keeps it', () => {
    const { look, turn, announce, holders, now, sleep } = world({ a: 1 });
    announce(a);
    sleep(300);
    for (let round = 0; round < 20; round += 1) {
      expect(turn()).toEqual([a]);
      sleep(200);
      expect(turn()).toEqual([a]);
      holders.answered(vip, a, now());
      sleep(300);
    }
    expect(look()).toBe(a);
  });
  test('keeps it while the host itself is late: no answer counts as missing then', () => {
    const { look, turn, announce, sleep } = world({ a: 1 });
    announce(a);
    for (let round = 0; round < 20; round += 1) {
      sleep(1000);
      turn();
    }
    expect(look()).toBe(a);
  });
  test('whose port is gone loses it at once', () => {
    const { look, announce, holders, now } = world({ a: 1, b: 2 });
    announce(a);
    look();
    holders.set(a, [], 0, () => false, now());
    expect(look()).toBeUndefined();
    expect(holders.take(now()).map(({ id }) => id)).toEqual([b]);
  });
});

test('without shared addresses there is nothing to do', () => {
  const { holders, now, look } = world({ a: 1 });
  look();
  holders.set(a, [], 0, () => false, now());
  expect(holders.restMs(now())).toBeUndefined();
  expect([...holders.takeChanged()!]).toEqual([]);
  expect(holders.take(now())).toEqual([]);
});

describe('two guests that fight', () => {
  test('move it four times, and then once in ten seconds, to the one that asked last', () => {
    const { look, announce, pass, moves, answering } = world({ a: 1, b: 2 });
    for (const id of [a, b]) answering.add(id);
    for (let round = 0; round < 1000; round += 1) {
      announce(round % 2 === 0 ? a : b);
      look();
    }
    expect(moves()).toBe(4);
    for (let second = 0; second < 100; second += 1) {
      announce(a);
      announce(b);
      pass(500);
      announce(a);
      pass(500);
    }
    expect(moves()).toBeLessThanOrEqual(4 + 10);
    expect(moves()).toBeGreaterThan(8);
    pass(20_000);
    expect(look()).toBe(a);
  });
  test('have four moves again after forty seconds of peace', () => {
    const { look, announce, pass, moves, answering } = world({ a: 1, b: 2 });
    for (const id of [a, b]) answering.add(id);
    const fight = (): void => {
      for (let round = 0; round < 10; round += 1) {
        announce(round % 2 === 0 ? a : b);
        look();
      }
    };
    fight();
    pass(60_000);
    const before = moves();
    fight();
    expect(moves() - before).toBe(4);
  });
});

test('questions cost no more for a thousand addresses than for fifty', () => {
  const count = (addresses: number): number => {
    const holders = new AddressHolders();
    holders.set(
      a,
      Array.from({ length: addresses }, (_, at) => `10.1.${at >> 8}.${at & 255}/32` as Cidr),
      1,
      () => true,
      0,
    );
    let asked = 0;
    for (let nowMs = 0; nowMs < 20_000; nowMs += 50)
      for (const { cidr, id } of holders.take(nowMs)) {
        asked += 1;
        holders.answered(cidr, id, nowMs);
      }
    return asked;
  };
  expect(count(1000) / count(50)).toBeLessThan(2);
});

test('whatever happens, the holder is one of the ports that are there, and a port that answers alone gets it in the end', () => {
  const event = fc.oneof(
    fc.record({ is: fc.constantFrom('announce', 'answer', 'gone', 'there'), id: fc.constantFrom(a, b, c) }),
    fc.record({ is: fc.constant('pass'), ms: fc.integer({ min: 0, max: 3000 }) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const { holders, announce, look, pass, answering, now } = world({ a: 1, b: 2, c: 3 });
      const there = new Set([a, b, c]);
      for (const each of events) {
        if ('ms' in each) pass(each.ms);
        else if (each.is === 'announce') announce(each.id);
        else if (each.is === 'answer') holders.answered(vip, each.id, now());
        else {
          if (each.is === 'gone') there.delete(each.id);
          else there.add(each.id);
          holders.set(each.id, each.is === 'gone' ? [] : [vip], 1, () => false, now());
        }
        const holder = look();
        expect(holder === undefined || there.has(holder)).toBe(true);
      }
      holders.set(b, [vip], 2, () => false, now());
      answering.add(b);
      pass(30_000);
      expect(look()).toBe(b);
    }),
    { numRuns: 300 },
  );
});
