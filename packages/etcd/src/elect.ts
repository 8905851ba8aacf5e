// Leader election by leased keys: who creates them all is the leader, until it resigns or its lease runs out.
import { backoff, type Clock, systemClock } from './clock.ts';
import { EtcdError } from './errors.ts';
import type { Compare, Etcd, Lease } from './types.ts';

export type ElectionOptions = {
  /** All of them, or none: candidates of another make that know only one of the keys are held back by it. At least one. */
  readonly keys: readonly string[];
  /** Who we are, for people to read. */
  readonly value: string;
  /** After a leader dies, another takes over within this time. [60] */
  readonly ttlSeconds?: number;
  /** [10] */
  readonly refreshSeconds?: number;
  /** We lead from now on. */
  readonly onElected: () => void;
  /** We lead no longer. Comes while the lease still stands in etcd, if it was for want of an answer: nobody else leads yet. Not called by close(). */
  readonly onLost: (reason: string) => void;
  /** The keys are held with this value: another's, or our own of an earlier term whose lease has yet to run out. */
  readonly onWaiting?: (leader: string) => void;
  /** Trouble with etcd; the election goes on by itself. */
  readonly onError?: (error: unknown) => void;
  readonly clock?: Clock;
};

export interface Election {
  /** Looks at the clock, so it is right even when the process was stopped for a while and no timer ran. */
  readonly leading: boolean;
  /** What a leader's transaction compares so that it fails once somebody else leads, however late it arrives. Empty while not leading. */
  proof(): readonly Compare[];
  /** Resigns: another may lead at once. Waits for a call that is under way; never rejects for want of etcd. */
  close(): Promise<void>;
}

/** Of the lease's time, how much a leader counts on since it last asked. The rest is for clocks that differ and for ending its work. */
const trustedShare = 0.9;
const retryCapMilliseconds = 5_000;

/** Stands for election until it is closed. */
export function elect(etcd: Etcd, options: ElectionOptions): Election {
  const { keys, value, ttlSeconds = 60, refreshSeconds = 10, onElected, onLost, onWaiting, onError, clock = systemClock } = options;
  const closing = new AbortController();
  /** Who stands under the keys, as far as we were told. */
  const standing = new Map<string, string>();
  let inSync = false;
  let wake: () => void = () => {};
  let lease: Lease | undefined;
  let term: { readonly modRevision: number; trustedUntil: number; readonly over: AbortController; reason: string } | undefined;
  let failures = 0;

  const follower = etcd.follow(keys, {
    onChanges(changes) {
      for (const { key, value: content, modRevision } of changes) {
        if (!keys.includes(key)) continue; // a longer key
        if (content === undefined) standing.delete(key);
        else standing.set(key, Buffer.from(content).toString());
        if (term && modRevision > term.modRevision) end(content === undefined ? `${key} was deleted` : `${key} was overwritten`);
      }
      wake();
    },
    onInSync() {
      inSync = true;
      wake();
    },
  });

  const leading = (): boolean => term !== undefined && clock.now() < term.trustedUntil;

  function end(reason: string): void {
    if (!term || term.over.signal.aborted) return;
    term.reason = reason;
    term.over.abort();
  }

  function news(): Promise<void> {
    return new Promise((resolve) => {
      wake = resolve;
    });
  }

  /** Resolves once nothing stands under any of the keys. */
  async function vacancy(): Promise<void> {
    let told: string | undefined;
    while (!closing.signal.aborted && (!inSync || standing.size > 0)) {
      const leader = standing.values().next().value;
      if (inSync && leader !== undefined && leader !== told) {
        told = leader;
        onWaiting?.(leader);
      }
      await news();
    }
  }

  /** Creates the keys. The revision since when they are ours, or undefined when somebody else has one of them. */
  async function stand(mine: Lease): Promise<number | undefined> {
    const absent = keys.map((key) => ({ key, exists: false }));
    const puts = keys.map((key) => ({ put: key, value, lease: mine.id }));
    const { succeeded, revision, found } = await etcd.transact(
      absent,
      puts,
      keys.map((key) => ({ get: key })),
    );
    if (succeeded) return revision;
    // An earlier attempt whose answer was lost may have succeeded.
    return found.every((each) => each?.lease === mine.id) ? found[0]?.modRevision : undefined;
  }

  /** Leads until that is over. */
  async function lead(mine: Lease, modRevision: number, since: number): Promise<void> {
    const trustedMilliseconds = mine.ttlSeconds * 1000 * trustedShare;
    const reign = { modRevision, trustedUntil: since + trustedMilliseconds, over: new AbortController(), reason: '' };
    const over = AbortSignal.any([reign.over.signal, closing.signal]);
    term = reign;
    if (!leading()) {
      term = undefined;
      return;
    }
    onElected();
    void watchOver(reign, over);
    for (let pause = refreshSeconds * 1000; ; ) {
      await clock.wait(pause, over);
      if (over.aborted) break;
      const asked = clock.now();
      try {
        if (!(await mine.keepAlive())) end('the lease has expired');
        else if (leading()) reign.trustedUntil = asked + trustedMilliseconds;
        pause = refreshSeconds * 1000;
      } catch (error) {
        onError?.(error);
        pause = Math.min(refreshSeconds * 1000, 1_000);
      }
    }
    term = undefined;
    if (!closing.signal.aborted) onLost(reign.reason);
  }

  /** Ends the term when its time is over, whatever a call is waiting for. */
  async function watchOver(reign: NonNullable<typeof term>, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      if (!leading()) end('the lease could not be renewed in time');
      else await clock.wait(reign.trustedUntil - clock.now(), over);
    }
  }

  async function giveUp(mine: Lease): Promise<void> {
    lease = undefined;
    try {
      await mine.revoke();
    } catch (error) {
      onError?.(error); // it runs out by itself
    }
  }

  async function run(): Promise<void> {
    let doubtful = false; // an attempt's outcome is not known: the key that stands may be our own
    while (!closing.signal.aborted) {
      try {
        if (!doubtful) await vacancy();
        if (closing.signal.aborted) return;
        const since = clock.now();
        if (!lease || !(await lease.keepAlive())) lease = await etcd.grantLease(ttlSeconds);
        doubtful = true;
        const modRevision = await stand(lease);
        doubtful = false;
        failures = 0;
        if (closing.signal.aborted) return;
        const toldSoon = news();
        if (modRevision !== undefined) await lead(lease, modRevision, since);
        if (closing.signal.aborted) return;
        await giveUp(lease);
        // Who was quicker shows in the keys in a moment.
        if (modRevision === undefined) await Promise.race([toldSoon, clock.wait(refreshSeconds * 1000, closing.signal)]);
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error; // a callback's own
        if (closing.signal.aborted) return;
        onError?.(error);
        failures += 1;
        await clock.wait(backoff(failures, retryCapMilliseconds), closing.signal);
      }
    }
  }
  const running = run();

  return {
    get leading() {
      return !closing.signal.aborted && leading();
    },
    proof: () => (term && leading() ? keys.map((key) => ({ key, modRevision: term?.modRevision ?? 0 })) : []),
    async close() {
      closing.abort();
      wake();
      follower.close();
      await running;
      if (lease) await giveUp(lease);
    },
  };
}
