// A clock that stands still until it is told to go on.
import type { Clock } from './clock.ts';

export type FakeClock = Clock & {
  /** Goes on to the next wait that ends by then, and ends it; false when there is none, and it is then. */
  step(until: number): boolean;
};

/** `alsoAt` tells when something else is due that has to find the clock at its time. */
export function fakeClock(alsoAt: () => number = () => Number.POSITIVE_INFINITY): FakeClock {
  const waits = new Set<{ readonly at: number; readonly resolve: () => void }>();
  let now = 0;
  return {
    now: () => now,
    wait: (milliseconds, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const wait = { at: now + Math.max(0, milliseconds), resolve };
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
    step(until) {
      const next = Math.min(alsoAt(), ...Array.from(waits, ({ at }) => at));
      now = Math.max(now, Math.min(next, until));
      for (const wait of [...waits]) {
        if (wait.at > now) continue;
        waits.delete(wait);
        wait.resolve();
      }
      return next <= until;
    },
  };
}

/** Lets everything that is ready to run do so. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
