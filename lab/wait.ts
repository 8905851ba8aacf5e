import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { LabError } from './errors.ts';

/** How long the lab waits by default for what should happen at once. It is only reached when something is wrong, so it is long enough for a machine on which everything takes a hundred times as long. */
export const patienceMs = 180_000;

/** How long to wait, and how often to look. The default of `timeoutMs` is `patienceMs`. */
export type WaitOptions = {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
  /** Aborting it ends the wait with its reason. */
  readonly signal?: AbortSignal;
  /** Called before each look. It throws when what is waited for can no longer happen. */
  readonly hopeful?: () => void;
};

/**
 * Calls `look` again and again until it returns something, and returns that. For things that give no event.
 * A look that throws counts as having seen nothing. When the time is over, the wait rejects with NOT_READY and the last error.
 */
export async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined, options: WaitOptions = {}): Promise<T> {
  const { timeoutMs = patienceMs, intervalMs = 20, signal, hopeful } = options;
  const deadlineMs = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    signal?.throwIfAborted();
    hopeful?.();
    try {
      const seen = await look();
      if (seen !== undefined) return seen;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadlineMs) {
      const why = lastError instanceof Error ? `: ${lastError.message}` : '';
      throw new LabError('NOT_READY', `gave up waiting for ${what} after ${timeoutMs / 1000} s${why}`, { cause: lastError });
    }
    await delay(intervalMs);
  }
}

/** Waits for the work, and rejects with NOT_READY when it has not ended in time. The work itself is not stopped. */
export async function within<T>(what: string, limitMs: number, work: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = delay(limitMs, undefined, { signal: over.signal }).then(() => {
    throw new LabError('NOT_READY', `${what} has not ended within ${limitMs / 1000} s`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    late.catch(() => {}); // it is not wanted any more
    over.abort();
  }
}

/** The last lines of a log for an error message, or a remark that there are none. */
export function tailOf(log: string, lines = 15): string {
  let text: string;
  try {
    text = readFileSync(log, 'utf8').trimEnd();
  } catch {
    return `(no log at ${log})`;
  }
  return text === '' ? `(nothing in ${log})` : `last lines of ${log}:\n${text.split('\n').slice(-lines).join('\n')}`;
}

/** Waits for the work, and rejects as soon as the signal is aborted. */
export function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  work.catch(() => {}); // after an abort, the work's own failure no longer matters
  return Promise.race([
    work,
    new Promise<never>((_, reject) => {
      signal.throwIfAborted();
      signal.addEventListener('abort', () => reject(signal.reason));
    }),
  ]);
}
