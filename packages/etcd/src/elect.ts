// Leader election by leased keys: the candidate that creates all of them leads until it resigns or its lease runs out.
import { type Backoff, backoffMs } from '@calico-openstack/agent/backoff';
import { type Clock, systemClock } from '@calico-openstack/agent/clock';
import { EtcdError } from './errors.ts';
import type { Compare, Etcd, Follower, Lease } from './types.ts';

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
export const elect = (etcd: Etcd, options: ElectionOptions): Election => new Candidacy(etcd, options);

class Candidacy implements Election {
  readonly #etcd: Etcd;
  readonly #options: ElectionOptions & { readonly ttlSeconds: number; readonly refreshMs: number };
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #standing: StandingKeys;
  readonly #running: Promise<void>;
  #lease: Lease | undefined;
  #term: Term | undefined;

  constructor(etcd: Etcd, options: ElectionOptions) {
    this.#etcd = etcd;
    this.#options = { ...options, ttlSeconds: options.ttlSeconds ?? 60, refreshMs: options.refreshMs ?? 10_000 };
    this.#clock = options.clock ?? systemClock;
    this.#standing = new StandingKeys(etcd, options.keys, (modRevision, what) => {
      if (this.#term && modRevision > this.#term.modRevision) this.#term.end(what);
    });
    this.#running = this.#run();
  }

  get leading(): boolean {
    return !this.#isClosing && (this.#term?.isTrusted ?? false);
  }

  proof(): readonly Compare[] {
    const term = this.#term;
    return term?.isTrusted ? this.#options.keys.map((key) => ({ key, modRevision: term.modRevision })) : [];
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#standing.close();
    await this.#running;
    if (this.#lease) await this.#giveUp(this.#lease);
  }

  get #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    const { refreshMs, onError } = this.#options;
    let failures = 0;
    let doubtful = false; // the outcome of an attempt is not known: the keys may already be ours
    while (!this.#isClosing) {
      try {
        if (!doubtful) await this.#vacancy();
        if (this.#isClosing) return;
        const sinceMs = this.#clock.steadyMs();
        const lease = await this.#renewedLease();
        doubtful = true;
        const modRevision = await this.#stand(lease);
        doubtful = false;
        failures = 0;
        if (this.#isClosing) return;
        const toldSoon = this.#standing.news();
        if (modRevision !== undefined) await this.#lead(lease, modRevision, sinceMs);
        if (this.#isClosing) return;
        await this.#giveUp(lease);
        // Another candidate was quicker: the follower reports it in a moment.
        if (modRevision === undefined) await Promise.race([toldSoon, this.#clock.pause(refreshMs, this.#closing.signal)]);
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error; // thrown by a callback
        if (this.#isClosing) return;
        onError?.(error);
        failures += 1;
        await this.#clock.pause(backoffMs(retryPauses, failures), this.#closing.signal);
      }
    }
  }

  /** Resolves once none of the keys exists, or after close(). */
  async #vacancy(): Promise<void> {
    let told: string | undefined;
    while (!this.#isClosing && !this.#standing.areVacant) {
      const leader = this.#standing.leader;
      if (leader !== undefined && leader !== told) {
        told = leader;
        this.#options.onWaiting?.(leader);
      }
      await this.#standing.news();
    }
  }

  /** The lease of the attempt before if it still stands, or a new one. */
  async #renewedLease(): Promise<Lease> {
    if (!this.#lease || !(await this.#lease.keepAlive())) this.#lease = await this.#etcd.grantLease(this.#options.ttlSeconds);
    return this.#lease;
  }

  /** Tries to create the keys. Returns the revision at which they became ours, or undefined when somebody else holds one of them. */
  async #stand(mine: Lease): Promise<number | undefined> {
    const { keys, value } = this.#options;
    const absent = keys.map((key) => ({ key, exists: false }));
    const puts = keys.map((key) => ({ put: key, value, lease: mine.id }));
    const { succeeded, revision, found } = await this.#etcd.transact(
      absent,
      puts,
      keys.map((key) => ({ get: key })),
    );
    if (succeeded) return revision;
    // An earlier attempt may have succeeded although its answer was lost.
    return found.every((each) => each?.lease === mine.id) ? found[0]?.modRevision : undefined;
  }

  /** Leads until the term ends, renewing the lease. */
  async #lead(mine: Lease, modRevision: number, sinceMs: number): Promise<void> {
    const { refreshMs, onElected, onLost, onError } = this.#options;
    const term = new Term(modRevision, mine.ttlSeconds, sinceMs, this.#clock);
    const over = AbortSignal.any([term.over, this.#closing.signal]);
    if (!term.isTrusted) return;
    this.#term = term;
    onElected();
    void term.watchOver(over);
    for (let pauseMs = refreshMs; ; ) {
      await this.#clock.pause(pauseMs, over);
      if (over.aborted) break;
      const askedMs = this.#clock.steadyMs();
      try {
        if (await mine.keepAlive()) term.renewed(askedMs);
        else term.end('the lease has expired');
        pauseMs = refreshMs;
      } catch (error) {
        onError?.(error);
        pauseMs = Math.min(refreshMs, 1_000);
      }
    }
    this.#term = undefined;
    if (!this.#isClosing) onLost(term.reason);
  }

  /** Revokes the lease and retries that while etcd is away: an etcd that comes back grants each lease its whole time anew, and until then the keys would keep everybody from leading. */
  async #giveUp(mine: Lease): Promise<void> {
    this.#lease = undefined;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await mine.revoke();
        return;
      } catch (error) {
        this.#options.onError?.(error);
        if (this.#isClosing) return; // the lease runs out by itself
        await this.#clock.pause(backoffMs(retryPauses, attempt), this.#closing.signal);
      }
    }
  }
}

/** The time for which a candidate leads. */
class Term {
  /** The revision at which the keys became the candidate's. */
  readonly modRevision: number;
  readonly #trustedMs: number;
  readonly #clock: Clock;
  readonly #over = new AbortController();
  #trustedUntilMs: number;
  #reason = '';

  /** @param sinceMs a steady time at which the lease certainly stood */
  constructor(modRevision: number, ttlSeconds: number, sinceMs: number, clock: Clock) {
    this.modRevision = modRevision;
    this.#trustedMs = ttlSeconds * 1000 * trustedShare;
    this.#trustedUntilMs = sinceMs + this.#trustedMs;
    this.#clock = clock;
  }

  /** Whether the lease certainly stands. */
  get isTrusted(): boolean {
    return this.#clock.steadyMs() < this.#trustedUntilMs;
  }

  /** Is aborted when the term ends. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Why the term has ended. */
  get reason(): string {
    return this.#reason;
  }

  /** Ends the term. Of several reasons the first counts. */
  end(reason: string): void {
    if (this.over.aborted) return;
    this.#reason = reason;
    this.#over.abort();
  }

  /** Says that the lease was renewed, by a call that was sent at this time. A term whose time was over stays over. */
  renewed(askedMs: number): void {
    if (this.isTrusted) this.#trustedUntilMs = askedMs + this.#trustedMs;
  }

  /** Ends the term when the lease's trusted time is over, whatever call is still waiting for etcd. */
  async watchOver(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      if (!this.isTrusted) this.end('the lease could not be renewed in time');
      else await this.#clock.pause(this.#trustedUntilMs - this.#clock.steadyMs(), over);
    }
  }
}

/** The election's keys as they are in etcd, as far as that is known. */
class StandingKeys {
  readonly #values = new Map<string, string>();
  readonly #follower: Follower;
  #isInSync = false;
  #wake: () => void = () => {};

  /** @param onChange called for each change of one of the keys, with its revision and a sentence for people */
  constructor(etcd: Etcd, keys: readonly string[], onChange: (modRevision: number, what: string) => void) {
    this.#follower = etcd.follow(keys, {
      onChanges: (changes) => {
        for (const { key, value, modRevision } of changes) {
          if (!keys.includes(key)) continue; // a longer key that has one of ours as its prefix
          if (value === undefined) this.#values.delete(key);
          else this.#values.set(key, Buffer.from(value).toString());
          onChange(modRevision, value === undefined ? `${key} was deleted` : `${key} was overwritten`);
        }
        this.#wake();
      },
      onInSync: () => {
        this.#isInSync = true;
        this.#wake();
      },
    });
  }

  /** Whether none of the keys exists. False until that is known. */
  get areVacant(): boolean {
    return this.#isInSync && this.#values.size === 0;
  }

  /** The value of one of the keys; undefined when none exists, or until that is known. */
  get leader(): string | undefined {
    return this.#isInSync ? this.#values.values().next().value : undefined;
  }

  /** Resolves at the next change, or at close(). */
  news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  close(): void {
    this.#follower.close();
    this.#wake();
  }
}
