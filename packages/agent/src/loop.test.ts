import { expect, test } from 'vitest';
import { backoffMs } from './backoff.ts';
import { fakeClock } from './fake-clock.ts';
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
  for (let i = 0; i < 5; i += 1) {
    loop.wake();
    await Promise.resolve(); // all wakes come in the same turn of the event loop
  }
  await begun.promise;
  expect(runs).toBe(1);
  loop.wake();
  const settled = loop.settled();
  gate.resolve();
  await settled;
  expect(runs).toBe(2);
  await loop.close();
});

test('nothing is run before the first wake', async () => {
  let runs = 0;
  const clock = fakeClock();
  const loop = startLoop({
    run: () => {
      runs += 1;
      return undefined;
    },
    onFailure: never,
    clock,
  });
  await clock.pass(1_000_000);
  expect(runs).toBe(0);
  loop.wake();
  await clock.pass(0);
  expect(runs).toBe(1);
  await loop.close();
  loop.wake();
  await clock.pass(1_000_000);
  expect(runs).toBe(1);
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
  const clock = fakeClock();
  let runs = 0;
  const loop = startLoop({
    run: () => {
      runs += 1;
      return 1000;
    },
    onFailure: never,
    clock,
  });
  await loop.settled();
  const seen: number[] = [];
  for (const ms of [999, 1, 999, 1]) {
    await clock.pass(ms);
    seen.push(runs);
  }
  loop.wake();
  await clock.pass(999);
  seen.push(runs);
  expect(seen).toEqual([1, 2, 2, 3, 4]);
  await loop.close();
});

test('a run that fails again and again is tried at growing pauses, and at once when it is well and woken', async () => {
  const clock = fakeClock();
  const retriesMs: number[] = [];
  const ranAtMs: number[] = [];
  let well = false;
  const loop = startLoop({
    run: () => {
      ranAtMs.push(clock.steadyMs());
      if (!well) throw new Error('not yet');
      return 5000;
    },
    onFailure: (_, __, retryMs) => retriesMs.push(retryMs),
    backoff: { firstMs: 100, maxMs: 400 },
    clock,
  });
  loop.wake();
  await clock.pass(0);
  for (let round = 0; round < 4; round += 1) {
    loop.wake(); // a wake does not shorten the pause
    await clock.pass(clock.restsMs[0]!);
  }
  const gapsMs = ranAtMs.slice(1).map((atMs, index) => atMs - ranAtMs[index]!);
  for (const [index, gapMs] of gapsMs.entries()) expect(gapMs).toBeCloseTo(retriesMs[index]!);
  for (const [index, fullMs] of [100, 200, 400, 400].entries()) {
    expect(gapsMs[index]).toBeGreaterThanOrEqual(fullMs / 2);
    expect(gapsMs[index]).toBeLessThanOrEqual(fullMs);
  }
  well = true;
  await clock.pass(400);
  ranAtMs.length = 0;
  const wellMs = clock.steadyMs();
  loop.wake();
  await clock.pass(0);
  expect(ranAtMs).toEqual([wellMs]);
  await clock.pass(4999);
  expect(ranAtMs).toHaveLength(1);
  await clock.pass(1);
  expect(ranAtMs).toHaveLength(2);
  well = false;
  loop.wake();
  await clock.pass(0);
  expect(retriesMs.at(-1)).toBeLessThanOrEqual(100); // after a success, the next failure counts as the first one
  await loop.close();
  expect(clock.restsMs).toEqual([]);
});

test('where nothing else is said, a run is tried again from a tenth of a second on, up to ten seconds', async () => {
  const clock = fakeClock();
  const retriesMs: number[] = [];
  const loop = startLoop({
    run: () => {
      throw new Error('never');
    },
    onFailure: (_, __, retryMs) => retriesMs.push(retryMs),
    clock,
  });
  loop.wake();
  await clock.pass(60_000);
  await loop.close();
  for (const [index, fullMs] of [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].entries()) {
    expect(retriesMs[index]).toBeGreaterThanOrEqual(fullMs / 2);
    expect(retriesMs[index]).toBeLessThanOrEqual(fullMs);
  }
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
