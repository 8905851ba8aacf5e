// The level-triggered loop: "something changed, look again". However often it is woken, one run at a time looks at the facts as they are then.
import { type Backoff, backoffMs } from './backoff.ts';
import { type Clock, systemClock } from './clock.ts';

export type LoopOptions = {
  /**
   * One look at everything that is dirty. Says how long it may be at most until the next one even if nobody wakes (undefined: for ever).
   * A rejection is told to `onFailure` and followed by a run after a pause.
   */
  readonly run: () => Promise<number | undefined> | number | undefined;
  readonly onFailure: (error: unknown, failures: number, retryMs: number) => void;
  readonly backoff?: Backoff;
  readonly clock?: Clock;
};

export interface Loop {
  /** There is something to do. Cheap; may be called at any time, also from inside a run. */
  wake(): void;
  /** Resolves when a run that began after this call has ended well. */
  settled(): Promise<void>;
  /** No run begins any more; resolves when the one under way has ended. */
  close(): Promise<void>;
}

/** Starts idle: the first run follows the first `wake()`. Runs of one turn of the event loop are one. */
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
      await new Promise(setImmediate); // what else this turn of the event loop brings belongs to the same run
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

  /** Ends the wait that is under way; the next one is for the next alarm. */
  function ring(): void {
    alarm.resolve();
    alarm = Promise.withResolvers<void>();
  }

  /** A plain timer: to abort a pause costs as much as many a run. */
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
