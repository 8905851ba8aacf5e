// Time as a parameter: tests hand in a clock that they control. The room etcd imports this file, `backoff.ts` and `fake-clock.ts` too, so they import nothing.

/** A source of time and of timers. */
export type Clock = {
  /** Milliseconds since an arbitrary moment. It never goes backwards, and serves to measure how long something takes. */
  steadyMs(): number;
  /** Milliseconds since 1970 by the machine's clock. It serves for times that other processes, or a later run, compare with theirs. */
  nowMs(): number;
  /** Calls `action` once, after `ms` milliseconds. Returns a function that cancels the call. This costs less than a pause that is usually aborted. */
  after(ms: number, action: () => void): () => void;
  /** Resolves after `ms` milliseconds, or as soon as the signal is aborted. It never rejects. */
  pause(ms: number, signal?: AbortSignal): Promise<void>;
};

/** The time and the timers of this process. */
export const systemClock: Clock = {
  steadyMs: () => performance.now(),
  nowMs: () => Date.now(),
  after(ms, action) {
    const timer = setTimeout(action, Math.max(0, ms));
    return () => clearTimeout(timer);
  },
  pause,
};

/** Resolves after `ms` milliseconds of real time, or as soon as the signal is aborted. It never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms)); // Node prints a warning for a negative time, which an overdue pause has
    signal?.addEventListener('abort', done, { once: true });
  });
}

/**
 * Resolves with the result of `work` if it comes within `limitMs`. The work itself is not stopped.
 * @throws what the work throws, or the error that `late` makes when the limit has passed
 */
export async function within<T>(work: Promise<T>, limitMs: number, clock: Pick<Clock, 'pause'>, late: () => Error): Promise<T> {
  const answered = new AbortController();
  const limit = clock.pause(limitMs, answered.signal).then((): never | undefined => {
    if (answered.signal.aborted) return undefined;
    throw late();
  });
  try {
    return (await Promise.race([work, limit])) as T; // `limit` resolves with undefined only after the work has ended
  } finally {
    answered.abort();
  }
}
