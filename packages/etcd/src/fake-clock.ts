// A clock for tests: it stands still until it is advanced.
import type { Clock } from './clock.ts';

/** A `Clock` that tests advance. */
export type FakeClock = Clock & {
  /** Advances to the first wait that ends by `untilMs` and ends it. When there is none, advances to `untilMs` and returns false. */
  step(untilMs: number): boolean;
};

/** A clock at 0. `alsoAt` returns the next time at which something other than a wait is due: `step` stops there too. */
export function fakeClock(alsoAt: () => number = () => Number.POSITIVE_INFINITY): FakeClock {
  const waits = new Set<{ readonly at: number; readonly resolve: () => void }>();
  let now = 0;
  return {
    now: () => now,
    wait: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const wait = { at: now + Math.max(0, ms), resolve };
        waits.add(wait);
        signal?.addEventListener(
          'abort',
          () => {
            waits.delete(wait);
            resolve();
          },
          { once: true },
        );
      }),
    step(untilMs) {
      const next = Math.min(alsoAt(), ...Array.from(waits, ({ at }) => at));
      now = Math.max(now, Math.min(next, untilMs));
      for (const wait of [...waits]) {
        if (wait.at > now) continue;
        waits.delete(wait);
        wait.resolve();
      }
      return next <= untilMs;
    },
  };
}

/** Resolves once pending callbacks and promises have run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
