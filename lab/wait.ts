import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { LabError } from './errors.ts';

export type WaitOptions = {
  readonly timeoutSeconds?: number;
  readonly intervalMs?: number;
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal;
  /** Called before each look; throws when what is waited for can no longer come. */
  readonly hopeful?: () => void;
};

/**
 * Looks again and again until there is something to see, and returns it: for what gives no event.
 * A look that throws counts as nothing seen yet; its last error is told when the time is over (NOT_READY).
 */
export async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined, options: WaitOptions = {}): Promise<T> {
  const { timeoutSeconds = 60, intervalMs = 20, signal, hopeful } = options;
  const deadline = performance.now() + timeoutSeconds * 1000;
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
    if (performance.now() > deadline) {
      const why = lastError instanceof Error ? `: ${lastError.message}` : '';
      throw new LabError('NOT_READY', `${what}: not within ${timeoutSeconds} s${why}`, { cause: lastError });
    }
    await delay(intervalMs);
  }
}

/** The last lines of a log, for the message of an error; says so when there are none. */
export function tailOf(log: string, lines = 15): string {
  let text: string;
  try {
    text = readFileSync(log, 'utf8').trimEnd();
  } catch {
    return `(no log at ${log})`;
  }
  return text === '' ? `(nothing in ${log})` : `last lines of ${log}:\n${text.split('\n').slice(-lines).join('\n')}`;
}
