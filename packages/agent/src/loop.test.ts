import { expect, test, vi } from 'vitest';
import { backoffMs } from './backoff.ts';
import { startLoop } from './loop.ts';

const never = (error: unknown): never => {
  throw error;
};

test('many wakes in one turn are one run, a wake during a run is another', async () => {
  let runs = 0;
  const begun = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const loop = startLoop({
    run: async () => {
      runs += 1;
      begun.resolve();
      if (runs === 1) await gate.promise;
      return undefined;
    },
    onFailure: never,
  });
  for (let i = 0; i < 5; i += 1) loop.wake();
  await begun.promise;
  expect(runs).toBe(1);
  loop.wake();
  const settled = loop.settled();
  gate.resolve();
  await settled;
  expect(runs).toBe(2);
  await loop.close();
});

test('a run that fails is told and tried again until it succeeds, and only then is what was asked for settled', async () => {
  let runs = 0;
  const told: number[] = [];
  const loop = startLoop({
    run: () => {
      runs += 1;
      if (runs < 4) throw new Error('not yet');
      return undefined;
    },
    onFailure: (_, failures) => told.push(failures),
    backoff: { firstMs: 1, maxMs: 2 },
  });
  await loop.settled();
  expect([runs, told]).toEqual([4, [1, 2, 3]]);
  await loop.close();
});

test('a run says when to look again at the latest', async () => {
  const second = Promise.withResolvers<void>();
  let runs = 0;
  const loop = startLoop({
    run: () => {
      runs += 1;
      if (runs === 2) second.resolve();
      return runs === 1 ? 1 : undefined;
    },
    onFailure: never,
  });
  loop.wake();
  await second.promise;
  await loop.close();
});

test('each rest is as long as the run before it said, and a wake ends it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let runs = 0;
  const loop = startLoop({
    run: () => {
      runs += 1;
      return 1000;
    },
    onFailure: never,
  });
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
  };
  await loop.settled();
  const seen: number[] = [];
  for (const ms of [999, 1, 999, 1]) {
    await vi.advanceTimersByTimeAsync(ms);
    await turns();
    seen.push(runs);
  }
  loop.wake();
  await turns();
  await vi.advanceTimersByTimeAsync(999);
  await turns();
  seen.push(runs);
  vi.useRealTimers();
  expect(seen).toEqual([1, 2, 2, 3, 4]);
  await loop.close();
});

test('closing ends a pause and waits for the run under way', async () => {
  let ended = false;
  const begun = Promise.withResolvers<void>();
  const loop = startLoop({
    run: async () => {
      begun.resolve();
      await new Promise((resolve) => setTimeout(resolve, 5));
      ended = true;
      return undefined;
    },
    onFailure: never,
  });
  loop.wake();
  await begun.promise;
  await loop.close();
  expect(ended).toBe(true);
});

test('pauses double up to the longest and are drawn from their upper half', () => {
  const backoff = { firstMs: 100, maxMs: 1000 };
  expect([1, 2, 3, 4, 5, 1000].map((failures) => backoffMs(backoff, failures, () => 1))).toEqual([100, 200, 400, 800, 1000, 1000]);
  expect(backoffMs(backoff, 3, () => 0)).toBe(200);
});
