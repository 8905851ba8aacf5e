// A clock for tests: it stands still until the test has time pass.
import type { Clock } from './clock.ts';

export type FakeClock = Clock & {
  /**
   * Lets so many milliseconds pass. Whatever is due by then happens at its own time, and whoever waited for it does all that it can before the next thing happens.
   * `pass(0)` only lets everything that is ready to run do so.
   */
  pass(ms: number): Promise<void>;
  /** How long it is until each thing that is waited for, the shortest time first. */
  readonly restsMs: readonly number[];
};

/** Starts at `startMs` since 1970. Its steady time begins with 0. */
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

/** Lets everything that waits for no time, no disk and no network run until it is done. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
