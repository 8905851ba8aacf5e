// How long to wait between attempts.

/** The pause after the first failure and the longest pause, in milliseconds. */
export type Backoff = { readonly firstMs: number; readonly maxMs: number };

/**
 * The pause before the next attempt, in milliseconds. The full pause doubles with each failure, from `firstMs` to `maxMs`. The result is drawn from its upper half, so that many hosts
 * do not retry at the same moment.
 * @param failures failures in a row so far, at least 1
 */
export function backoffMs(backoff: Backoff, failures: number, random: () => number = Math.random): number {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}
