// One watch of a follower's ranges, from its opening until it is lost. It checks that the watch continues what was delivered, and passes changes on.
import type { Deliveries } from './deliveries.ts';
import { EtcdError } from './errors.ts';
import type { WatchSource } from './follow.ts';
import type { Header } from './messages.ts';
import type { WatchedRange } from './ranges.ts';
import type { Change } from './types.ts';

/** The parts and callbacks of a watch. */
export type WatchingOptions = {
  readonly source: Pick<WatchSource, 'watch' | 'readHeader'>;
  readonly ranges: readonly WatchedRange[];
  readonly deliveries: Deliveries;
  readonly isClosed: () => boolean;
  /** Called when the watch is open and can be closed. */
  readonly onOpen: (watch: { close(): void }) => void;
  /** Called when etcd has confirmed the watches of all ranges. */
  readonly onFollowing: () => void;
};

/** Watches until the stream is lost; rejects with the reason. */
export function watchUntilLost(options: WatchingOptions): Promise<never> {
  return new Promise((_, reject) => new Watching(options, reject));
}

class Watching {
  readonly #options: WatchingOptions;
  readonly #reject: (error: EtcdError) => void;
  readonly #watch: { close(): void };
  /** How many ranges etcd has not confirmed yet. */
  #waitingFor: number;
  /** Ranges whose first changes were held against what was delivered. */
  readonly #anchored = new Set<number>();
  #over = false;
  /** Events that arrived while the member's history was in doubt. */
  #held: (() => void)[] | undefined;

  constructor(options: WatchingOptions, reject: (error: EtcdError) => void) {
    const { source, ranges, deliveries, onOpen } = options;
    this.#options = options;
    this.#reject = reject;
    this.#waitingFor = ranges.length;
    this.#watch = source.watch(
      // Why the last delivered revision and not the next one: after a compaction of the next one, etcd accepts a watch from there, though a deletion at that revision may be gone.
      ranges.map((range, index) => ({ ...range, fromRevision: deliveries.revisionOf(index) })),
      {
        onCreated: (range, header) => this.#noteCreated(range, header),
        onChanges: (range, header, changes) => this.#act(() => this.#take(range, header, changes)),
        onLost: (error) => this.#lose(error),
      },
    );
    onOpen(this.#watch);
  }

  #lose(error: EtcdError): void {
    this.#over = true;
    this.#watch.close();
    this.#reject(error);
  }

  #act(what: () => void): void {
    if (this.#held) this.#held.push(what);
    else if (!this.#over && !this.#options.isClosed()) what();
  }

  #noteCreated(range: number, header: Header): void {
    const { deliveries, onFollowing } = this.#options;
    if (deliveries.continues(header, deliveries.revisionOf(range))) deliveries.noteHeader(header);
    else if (!this.#held) this.#verify().catch((error) => this.#lose(error));
    this.#act(() => {
      this.#waitingFor -= 1;
      if (this.#waitingFor === 0) onFollowing();
    });
  }

  #take(range: number, header: Header, changes: readonly Change[]): void {
    const { deliveries } = this.#options;
    if (!this.#anchored.has(range) && !deliveries.holds(range, changes))
      this.#lose(
        new EtcdError(
          'ETCD_REPLACED',
          `revision ${deliveries.revisionOf(range)} of etcd has other content than before: etcd was restored or replaced, and is read again`,
        ),
      );
    else deliveries.take(range, header, changes);
    this.#anchored.add(range);
  }

  /** Called when the member's history looks shorter than the known one. The member may merely lag behind, so the key is read from a majority. */
  async #verify(): Promise<void> {
    const { source, ranges, deliveries } = this.#options;
    const held: (() => void)[] = [];
    this.#held = held;
    const header = await source.readHeader(ranges[0]!.prefixes[0]!);
    const revision = deliveries.newestRevision;
    if (!deliveries.continues(header, revision))
      throw new EtcdError(
        'ETCD_REPLACED',
        `etcd is at revision ${header.revision} and was at ${revision} of another history before: it was restored or replaced, and is read again`,
      );
    this.#held = undefined;
    for (const what of held) this.#act(what);
  }
}
