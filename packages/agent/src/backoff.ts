// How long to wait between attempts.

export type Backoff = { readonly firstMs: number; readonly maxMs: number };

/** Doubles from `firstMs` to `maxMs`, each pause drawn from its upper half, so that many hosts do not come back in step. */
export function backoffMs(backoff: Backoff, failures: number, random: () => number = Math.random): number {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}
