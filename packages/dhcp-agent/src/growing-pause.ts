// How long to wait before what was refused is tried again. Pure.
import type { Backoff } from '@calico-openstack/agent';

/**
 * Twice as long each time that something is refused again, up to `maxMs`; `firstMs` again behind a time when nothing was.
 * @returns what is to be called behind each attempt, with whether anything was refused; it gives the milliseconds until the next attempt, undefined: none is needed
 */
export function growingPause({ firstMs, maxMs }: Backoff): (isRefused: boolean) => number | undefined {
  let nextMs = firstMs;
  return (isRefused) => {
    const pauseMs = nextMs;
    nextMs = isRefused ? Math.min(2 * nextMs, maxMs) : firstMs;
    return isRefused ? pauseMs : undefined;
  };
}
