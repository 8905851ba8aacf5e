// Time and random pauses. Both are passed in, so that tests control them.

/** A monotonic clock and its timer. */
export type Clock = {
  /** Milliseconds since an arbitrary start; never goes backwards. */
  now(): number;
  /** Resolves after that time, or as soon as `signal` is aborted; never rejects. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
};

/** The clock of the process. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wait: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, ms)); // Node warns of a negative time-out
      signal?.addEventListener('abort', done, { once: true });
    }),
};

/**
 * The pause in milliseconds before the next attempt, after that many failures in a row (from 1 on). It doubles from 100 ms up to the cap.
 * A random half of it keeps a thousand agents from returning in the same instant.
 */
export function backoff(failures: number, capMs: number, random: () => number = Math.random): number {
  return Math.min(capMs, 100 * 2 ** Math.min(failures - 1, 20)) * (0.5 + random() / 2);
}
