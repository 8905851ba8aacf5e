// Pauses between attempts.

export type Backoff = { readonly firstMs: number; readonly maxMs: number };

/** Doubles from `firstMs` to `maxMs`, each pause drawn from its upper half, so that many hosts do not come back in step. */
export function backoffMs(backoff: Backoff, failures: number, random: () => number = Math.random): number {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}

/** Waits; ends early, without error, when the signal fires. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms)); // what is due already is late: Node warns of a negative time
    signal?.addEventListener('abort', done, { once: true });
  });
}
