// A clock for tests, which stands still until the test advances it.
import type { Clock } from './clock.ts';

/** A clock and its controls. */
export type FakeClock = Clock & {
  /**
   * Advances time by `ms` milliseconds. Each timer that expires meanwhile runs at its own time, and everything that follows from it runs before the next timer.
   * `pass(0)` only runs what is ready.
   */
  pass(ms: number): Promise<void>;
  /** The milliseconds that are left of each timer, the shortest first. */
  readonly restsMs: readonly number[];
};

/** A clock that starts at `startMs`, in milliseconds since 1970. Its steady time starts at 0. */
export function fakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  const waits = new Set<{ readonly endMs: number; readonly action: () => void }>();
  let passedMs = 0;
  const first = () => [...waits].sort((one, other) => one.endMs - other.endMs)[0];
  function after(ms: number, action: () => void): () => void {
    const wait = { endMs: passedMs + Math.max(0, ms), action };
    waits.add(wait);
    return () => waits.delete(wait);
  }
  return {
    steadyMs: () => passedMs,
    nowMs: () => startMs + passedMs,
    after,
    pause: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const cancel = after(ms, resolve);
        const end = (): void => {
          cancel();
          resolve();
        };
        signal?.addEventListener('abort', end, { once: true });
      }),
    async pass(ms) {
      const untilMs = passedMs + ms;
      await settled();
      for (let wait = first(); wait && wait.endMs <= untilMs; wait = first()) {
        passedMs = wait.endMs;
        waits.delete(wait);
        wait.action();
        await settled();
      }
      passedMs = untilMs;
    },
    get restsMs() {
      return [...waits].map(({ endMs }) => endMs - passedMs).sort((one, other) => one - other);
    },
  };
}

/** Resolves when everything that waits neither for time nor for disk or network has run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
