// Follows prefixes: reads a snapshot, then watches, and repeats that after failures. No change is lost, and no key is reported as deleted too early.
import { backoffMs } from '@calico-openstack/agent/backoff';
import type { Clock } from '@calico-openstack/agent/clock';
import { Deliveries, type SnapshotSoFar } from './deliveries.ts';
import { EtcdError, isTransient } from './errors.ts';
import type { Header } from './messages.ts';
import { adaptingPageSize, type PageSize, type ReadPage, readSnapshot, type Snapshot } from './pages.ts';
import { type WatchedRange, watchedRanges } from './ranges.ts';
import type { Change, Follower, FollowListener, FollowState } from './types.ts';
import { watchUntilLost } from './watching.ts';

/** The interface of a datastore for a follower. client.ts provides it over gRPC, fake.ts in memory. All its failures are EtcdErrors. */
export interface WatchSource {
  readonly clock: Clock;
  random(): number;
  readonly readPage: ReadPage;
  /** The header of a linearizable read of this one key: the present history, as a majority of the cluster knows it. */
  readHeader(key: string): Promise<Header>;
  /** Opens one stream with a watch for each range, from `fromRevision` on, that revision included. No event comes before this returns, and none after close(). */
  watch(ranges: readonly StartedRange[], events: WatchEvents): { close(): void };
}

/** A range, and the first revision to watch. */
export type StartedRange = WatchedRange & { readonly fromRevision: number };

/** The events of a watch. `range` is the index of the range. */
export type WatchEvents = {
  onCreated(range: number, header: Header): void;
  /** Whole revisions, in order. No changes: nothing happened in the range up to the header's revision. */
  onChanges(range: number, header: Header, changes: readonly Change[]): void;
  /** The stream has ended. ETCD_COMPACTED: the history that follows a range's revision no longer exists. */
  onLost(error: EtcdError): void;
};

/** After a watch that lasted this long, the pauses between attempts start with the shortest again. */
const steadyMs = 5_000;
const retryCapMs = 2_000;
/** Reading a whole snapshot loads etcd, and thousands of agents may retry at once: the pause grows longer than for a watch. */
const rereadCapMs = 15_000;
const refusedCapMs = 30_000;

/**
 * Follows the prefixes until the follower is closed; `Etcd.follow` in types.ts says what the listener may rely on.
 * @throws ETCD_REFUSED when there is no prefix
 */
export function followPrefixes(
  source: WatchSource,
  prefixes: readonly string[],
  listener: FollowListener,
  { apart = false, pageSize = adaptingPageSize() } = {},
): Follower {
  if (prefixes.length === 0) throw new EtcdError('ETCD_REFUSED', 'nothing to follow: no prefix is given');
  return new PrefixFollower(source, watchedRanges(prefixes, apart), listener, pageSize);
}

/** Snapshot and watch in turn, and what follows a failure of either: a pause, the same again, or a new snapshot. */
class PrefixFollower implements Follower {
  readonly #source: WatchSource;
  readonly #ranges: readonly WatchedRange[];
  readonly #listener: FollowListener;
  readonly #pageSize: PageSize;
  readonly #closing = new AbortController();
  readonly #deliveries: Deliveries;
  #watching: { close(): void } | undefined;
  /** The snapshot that is being read. After a failure it continues behind its last key: starting over would never finish on a slow or shared link. */
  #reading: { readonly pages: Snapshot; readonly soFar: SnapshotSoFar } | undefined;
  /** How many attempts in a row failed without receiving anything. */
  #failures = 0;
  #followingSince = Number.POSITIVE_INFINITY;
  #state: FollowState = 'connecting';
  #trouble: string | undefined;

  constructor(source: WatchSource, ranges: readonly WatchedRange[], listener: FollowListener, pageSize: PageSize) {
    this.#source = source;
    this.#ranges = ranges;
    this.#listener = listener;
    this.#pageSize = pageSize;
    this.#deliveries = new Deliveries(ranges, listener, () => this.#isClosed);
    void this.#run();
  }

  get state(): FollowState {
    return this.#state;
  }

  get revision(): number {
    return this.#deliveries.revision;
  }

  close(): void {
    this.#closing.abort();
    this.#watching?.close();
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#source;
    let toRead = true;
    while (!this.#isClosed) {
      try {
        if (toRead) await this.#read();
        toRead = false;
        if (this.#isClosed) return;
        await this.#watch();
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error; // thrown by the listener, whose state is unknown now
        if (this.#isClosed || error.code === 'ETCD_CLOSED') return;
        if (clock.steadyMs() - this.#followingSince > steadyMs) this.#failures = 0;
        this.#followingSince = Number.POSITIVE_INFINITY;
        this.#failures += 1;
        if (!isTransient(error)) this.#reading = undefined;
        // The snapshot belongs to another history, in which an equal revision does not mean an equal value. (A watch only raises the suspicion; the next snapshot's header decides.)
        if (error.code === 'ETCD_REPLACED' && toRead) this.#deliveries.distrustRevisions();
        if (error.code === 'ETCD_COMPACTED' || error.code === 'ETCD_REPLACED') {
          toRead = true;
          if (this.#failures === 1) continue;
        }
        this.#enter('lost', error);
        await clock.pause(backoffMs({ firstMs: 100, maxMs: capOf(error, toRead) }, this.#failures, random), this.#closing.signal);
      }
    }
  }

  /** Starts or continues a snapshot, and delivers how it differs from what the listener knows. */
  async #read(): Promise<void> {
    const wanted = this.#ranges.flatMap((range) => range.prefixes);
    this.#reading ??= { pages: readSnapshot(this.#source.readPage, wanted, this.#pageSize), soFar: this.#deliveries.beginSnapshot() };
    const { pages, soFar } = this.#reading;
    for (;;) {
      const page = await pages.next();
      if (this.#isClosed) return;
      if (!page) break;
      this.#failures = Math.min(this.#failures, 1);
      this.#enter('reading');
      this.#deliveries.addPage(soFar, page);
      if (this.#isClosed) return; // by the listener
    }
    this.#reading = undefined;
    this.#deliveries.completeSnapshot(soFar);
  }

  #watch(): Promise<never> {
    return watchUntilLost({
      source: this.#source,
      ranges: this.#ranges,
      deliveries: this.#deliveries,
      isClosed: () => this.#isClosed,
      onOpen: (watch) => {
        this.#watching = watch;
      },
      onFollowing: () => {
        this.#enter('following');
        this.#followingSince = this.#source.clock.steadyMs();
      },
    });
  }

  #enter(next: FollowState, error?: EtcdError): void {
    if (this.#isClosed || (next === this.#state && error?.code === this.#trouble)) return;
    [this.#state, this.#trouble] = [next, error?.code];
    if (error) this.#listener.onState?.(next, `${error.code}: ${error.message}`);
    else this.#listener.onState?.(next);
  }
}

function capOf({ code }: EtcdError, reads: boolean): number {
  if (code === 'ETCD_DENIED' || code === 'ETCD_REFUSED') return refusedCapMs;
  return reads ? rereadCapMs : retryCapMs;
}
