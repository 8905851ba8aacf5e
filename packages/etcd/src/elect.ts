// Leader election by leased keys: the candidate that creates all of them leads until it resigns or its lease runs out.
import { type Backoff, backoffMs } from '@calico-openstack/agent/backoff';
import { type Clock, systemClock } from '@calico-openstack/agent/clock';
import { EtcdError } from './errors.ts';
import type { Compare, Etcd, Lease } from './types.ts';

/** How a candidate stands for election. */
export type ElectionOptions = {
  /** The keys that a leader holds, all or none; at least one. A candidate of another implementation that knows only one of the keys is held back by that one. */
  readonly keys: readonly string[];
  /** The keys' value: the candidate's name, for people to read. */
  readonly value: string;
  /** The lease's time to live: another candidate takes over within this time after a leader dies. Default: 60. */
  readonly ttlSeconds?: number;
  /** How often the leader renews its lease. Default: 10 000. */
  readonly refreshMs?: number;
  /** Called when this candidate becomes the leader. */
  readonly onElected: () => void;
  /** Called when this candidate stops being the leader, but not by close(). If the reason is that etcd did not answer, the lease still stands in etcd, so nobody else leads yet. */
  readonly onLost: (reason: string) => void;
  /** Called with the value of the present leader's key. It may be this candidate's own from an earlier term whose lease has not run out. */
  readonly onWaiting?: (leader: string) => void;
  /** Called for trouble with etcd; the election retries by itself. */
  readonly onError?: (error: unknown) => void;
  readonly clock?: Clock;
};

/** A candidacy. */
export interface Election {
  /** Whether this candidate leads now. It compares the clock, so it is right even after the process was stopped and no timer ran. */
  readonly leading: boolean;
  /** Comparisons for a leader's transactions: they fail once somebody else leads, however late the transaction arrives. Empty while not leading. */
  proof(): readonly Compare[];
  /** Resigns, so that another candidate can lead at once. Waits for a call that is under way; never rejects because etcd is away. */
  close(): Promise<void>;
}

/** The share of the lease's time for which a leader trusts its last renewal. The rest allows for clocks that differ and for ending its work. */
const trustedShare = 0.9;
/** The pauses after failed attempts. */
const retryPauses: Backoff = { firstMs: 100, maxMs: 5_000 };

/** Stands for election until the result is closed. */
export function elect(etcd: Etcd, options: ElectionOptions): Election {
  const { keys, value, ttlSeconds = 60, refreshMs = 10_000, onElected, onLost, onWaiting, onError, clock = systemClock } = options;
  const closing = new AbortController();
  /** The values that the keys have, as far as the follower reported. */
  const standing = new Map<string, string>();
  let inSync = false;
  let wake: () => void = () => {};
  let lease: Lease | undefined;
  let term: { readonly modRevision: number; trustedUntilMs: number; readonly over: AbortController; reason: string } | undefined;
  let failures = 0;

  const follower = etcd.follow(keys, {
    onChanges(changes) {
      for (const { key, value: content, modRevision } of changes) {
        if (!keys.includes(key)) continue; // a longer key that has one of ours as its prefix
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

  const leading = (): boolean => term !== undefined && clock.steadyMs() < term.trustedUntilMs;

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

  /** Resolves once none of the keys exists. */
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

  /** Tries to create the keys. Returns the revision at which they became ours, or undefined when somebody else holds one of them. */
  async function stand(mine: Lease): Promise<number | undefined> {
    const absent = keys.map((key) => ({ key, exists: false }));
    const puts = keys.map((key) => ({ put: key, value, lease: mine.id }));
    const { succeeded, revision, found } = await etcd.transact(
      absent,
      puts,
      keys.map((key) => ({ get: key })),
    );
    if (succeeded) return revision;
    // An earlier attempt may have succeeded although its answer was lost.
    return found.every((each) => each?.lease === mine.id) ? found[0]?.modRevision : undefined;
  }

  /** Leads until the term ends, renewing the lease. */
  async function lead(mine: Lease, modRevision: number, sinceMs: number): Promise<void> {
    const trustedMs = mine.ttlSeconds * 1000 * trustedShare;
    const reign = { modRevision, trustedUntilMs: sinceMs + trustedMs, over: new AbortController(), reason: '' };
    const over = AbortSignal.any([reign.over.signal, closing.signal]);
    term = reign;
    if (!leading()) {
      term = undefined;
      return;
    }
    onElected();
    void watchOver(reign, over);
    for (let pauseMs = refreshMs; ; ) {
      await clock.pause(pauseMs, over);
      if (over.aborted) break;
      const askedMs = clock.steadyMs();
      try {
        if (!(await mine.keepAlive())) end('the lease has expired');
        else if (leading()) reign.trustedUntilMs = askedMs + trustedMs;
        pauseMs = refreshMs;
      } catch (error) {
        onError?.(error);
        pauseMs = Math.min(refreshMs, 1_000);
      }
    }
    term = undefined;
    if (!closing.signal.aborted) onLost(reign.reason);
  }

  /** Ends the term when the lease's trusted time is over, whatever call is still waiting for etcd. */
  async function watchOver(reign: NonNullable<typeof term>, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      if (!leading()) end('the lease could not be renewed in time');
      else await clock.pause(reign.trustedUntilMs - clock.steadyMs(), over);
    }
  }

  /** Revokes the lease and retries that while etcd is away: an etcd that comes back grants each lease its whole time anew, and until then the keys would keep everybody from leading. */
  async function giveUp(mine: Lease): Promise<void> {
    lease = undefined;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await mine.revoke();
        return;
      } catch (error) {
        onError?.(error);
        if (closing.signal.aborted) return; // the lease runs out by itself
        await clock.pause(backoffMs(retryPauses, attempt), closing.signal);
      }
    }
  }

  async function run(): Promise<void> {
    let doubtful = false; // the outcome of an attempt is not known: the keys may already be ours
    while (!closing.signal.aborted) {
      try {
        if (!doubtful) await vacancy();
        if (closing.signal.aborted) return;
        const sinceMs = clock.steadyMs();
        if (!lease || !(await lease.keepAlive())) lease = await etcd.grantLease(ttlSeconds);
        doubtful = true;
        const modRevision = await stand(lease);
        doubtful = false;
        failures = 0;
        if (closing.signal.aborted) return;
        const toldSoon = news();
        if (modRevision !== undefined) await lead(lease, modRevision, sinceMs);
        if (closing.signal.aborted) return;
        await giveUp(lease);
        // Another candidate was quicker: the follower reports it in a moment.
        if (modRevision === undefined) await Promise.race([toldSoon, clock.pause(refreshMs, closing.signal)]);
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error; // thrown by a callback
        if (closing.signal.aborted) return;
        onError?.(error);
        failures += 1;
        await clock.pause(backoffMs(retryPauses, failures), closing.signal);
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
