// Time, handed in so that tests hold it.

export type Clock = {
  /** Milliseconds since some moment, never backwards: for how long something takes. */
  steadyMs(): number;
  /** Milliseconds since 1970 by the machine's clock: for times that others, or a later run, compare with theirs. */
  nowMs(): number;
  /** Calls `action` once, after that many milliseconds; gives what prevents it. Cheaper than a pause that is mostly ended early. */
  after(ms: number, action: () => void): () => void;
  /** Resolves after that many milliseconds, or as soon as the signal is aborted; never rejects. */
  pause(ms: number, signal?: AbortSignal): Promise<void>;
};

export const systemClock: Clock = {
  steadyMs: () => performance.now(),
  nowMs: () => Date.now(),
  after(ms, action) {
    const timer = setTimeout(action, Math.max(0, ms));
    return () => clearTimeout(timer);
  },
  pause,
};

/** Waits `ms` milliseconds of real time; ends early, without error, when the signal is aborted. */
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

/**
 * Gives what `work` gives, if that comes within `limitMs`. The work itself is not stopped.
 * @throws what the work throws; or, when it is late, the error that `late` makes
 */
export async function within<T>(work: Promise<T>, limitMs: number, clock: Pick<Clock, 'pause'>, late: () => Error): Promise<T> {
  const answered = new AbortController();
  const limit = clock.pause(limitMs, answered.signal).then((): never | undefined => {
    if (answered.signal.aborted) return undefined;
    throw late();
  });
  try {
    return (await Promise.race([work, limit])) as T; // `limit` comes to nothing only behind the work
  } finally {
    answered.abort();
  }
}
