// A level-triggered loop. Being woken means that something has changed. However often that happens, one run at a time acts on the facts as they are then.
import { type Backoff, backoffMs } from './backoff.ts';
import { type Clock, systemClock } from './clock.ts';

/** What a loop does, and how it retries. */
export type LoopOptions = {
  /**
   * Handles everything that has changed. Returns after how many milliseconds the next run begins at the latest, even if nobody wakes the loop; undefined for no such limit.
   * An error that it throws goes to `onFailure`, and the next run begins after a pause.
   */
  readonly run: () => Promise<number | undefined> | number | undefined;
  /** Reports a failed run: the failures in a row so far, and the milliseconds until the next run. */
  readonly onFailure: (error: unknown, failures: number, retryMs: number) => void;
  /** The pauses after failures, from 100 ms to 10 s unless given. */
  readonly backoff?: Backoff;
  readonly clock?: Clock;
};

/** A loop that runs until it is closed. */
export interface Loop {
  /** Says that there is something to do. It costs little, and may be called at any time, also from inside a run. */
  wake(): void;
  /** Wakes the loop, and resolves when a run that began after this call has succeeded. */
  settled(): Promise<void>;
  /** Prevents further runs. Resolves when the current run has ended. */
  close(): Promise<void>;
}

/** Starts a loop that is idle until the first `wake()`. Several calls of `wake()` in one turn of the event loop lead to one run. */
export function startLoop({ run, onFailure, backoff = { firstMs: 100, maxMs: 10_000 }, clock = systemClock }: LoopOptions): Loop {
  const stop = new AbortController();
  let dirty = false;
  let alarm = Promise.withResolvers<void>();
  let waiting: (() => void)[] = [];

  async function turn(): Promise<void> {
    let failures = 0;
    let restMs: number | undefined;
    while (!stop.signal.aborted) {
      if (!dirty) await untilWoken(restMs);
      if (stop.signal.aborted) break;
      await new Promise(setImmediate); // so that all changes of this turn of the event loop are handled by the same run
      dirty = false;
      const asking = waiting;
      waiting = [];
      try {
        restMs = await run();
        failures = 0;
        for (const resolve of asking) resolve();
      } catch (error) {
        waiting = [...asking, ...waiting];
        failures += 1;
        const retryMs = backoffMs(backoff, failures);
        onFailure(error, failures, retryMs);
        dirty = true;
        await clock.pause(retryMs, stop.signal);
      }
    }
  }

  /** Ends the current wait, and prepares the next one. */
  function ring(): void {
    alarm.resolve();
    alarm = Promise.withResolvers<void>();
  }

  /** Waits until the loop is woken, at most `restMs`. It uses a plain timer, because aborting a pause costs as much as a short run. */
  async function untilWoken(restMs: number | undefined): Promise<void> {
    const cancel = restMs === undefined ? undefined : clock.after(restMs, ring);
    await alarm.promise;
    cancel?.();
  }

  const ended = turn();
  const wake = (): void => {
    dirty = true;
    ring();
  };
  return {
    wake,
    settled: () =>
      new Promise((resolve) => {
        waiting.push(resolve);
        wake();
      }),
    close: () => {
      stop.abort();
      alarm.resolve();
      return ended;
    },
  };
}
