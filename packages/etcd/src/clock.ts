// Time and chance, handed in so that tests hold them.

export type Clock = {
  /** Milliseconds, never backwards. */
  now(): number;
  /** Resolves after that time, or as soon as the signal is aborted; never rejects. */
  wait(milliseconds: number, signal?: AbortSignal): Promise<void>;
};

export const systemClock: Clock = {
  now: () => performance.now(),
  wait: (milliseconds, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, milliseconds)); // what is due already is late: Node warns of a negative time
      signal?.addEventListener('abort', done, { once: true });
    }),
};

/**
 * Milliseconds to wait after that many failures in a row (1 and up): doubling from 100 to the cap, half of it at random,
 * so that a thousand agents do not come back in the same instant.
 */
export function backoff(failures: number, capMilliseconds: number, random: () => number = Math.random): number {
  return Math.min(capMilliseconds, 100 * 2 ** Math.min(failures - 1, 20)) * (0.5 + random() / 2);
}
