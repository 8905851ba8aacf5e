// Computes how long to wait before something refused is retried. Pure.
import type { Backoff } from '@calico-openstack/agent';

/**
 * The pause doubles with each refusal up to `maxMs`, and is `firstMs` again after an attempt in which nothing was refused.
 * @returns the function to call after each attempt with whether anything was refused; it returns the milliseconds until the next attempt, undefined when none is needed
 */
export function growingPause({ firstMs, maxMs }: Backoff): (isRefused: boolean) => number | undefined {
  let nextMs = firstMs;
  return (isRefused) => {
    const pauseMs = nextMs;
    nextMs = isRefused ? Math.min(2 * nextMs, maxMs) : firstMs;
    return isRefused ? pauseMs : undefined;
  };
}
