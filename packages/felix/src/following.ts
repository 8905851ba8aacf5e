// Follows the datastore for the agent. The values of the first reading are processed at once. Later changes wait until the loop processes them, in portions.
import { type Clock, type Component, type Logger, takeEach, tellUnreadable } from '@calico-openstack/agent';
import { resourceRoot } from '@calico-openstack/datamodel';
import type { Change, Etcd } from '@calico-openstack/etcd';
import { boundLargeHeap } from './large-heap.ts';
import type { Metrics } from './metrics.ts';
import type { Notices } from './notices.ts';
import { WaitingChanges } from './waiting-changes.ts';

/** What `Following` works with. */
export type FollowingParts = {
  readonly etcd: Pick<Etcd, 'follow'>;
  readonly metrics: Metrics;
  readonly notices: Notices;
  /** The component that reports whether the datastore is followed. */
  readonly component: Component;
  readonly log: Logger;
  readonly clock: Clock;
  /** Processes one change. An error of it is reported, and the other changes are processed all the same. */
  readonly update: (key: string, value: Uint8Array | undefined) => void;
  /** Called when changes wait, and when the first reading is complete. */
  readonly onChange: () => void;
  /** Called when a reading of the datastore is complete. */
  readonly onInSync: () => void;
};

/** Follows the datastore from its construction until it is closed. */
export class Following {
  readonly #parts: FollowingParts;
  /** The changes of the datastore, since it was read, that have not been processed. */
  readonly #waiting = new WaitingChanges();
  readonly #follower: { close(): void };
  #inSync = false;

  constructor(parts: FollowingParts) {
    this.#parts = parts;
    const { etcd, metrics, log, clock } = parts;
    const unreadable = tellUnreadable(log);
    const boundHeap = boundLargeHeap();
    this.#follower = etcd.follow([resourceRoot], {
      onChanges: (changes, _revision, isHistory) => {
        if (this.#inSync) this.#waiting.add(changes, isHistory);
        else this.#takeIn(changes); // nothing is programmed yet, so a long turn of the loop delays nothing
        boundHeap();
        if (this.#inSync) parts.onChange();
      },
      onInSync: (revision) => {
        this.#inSync = true;
        log.info({ revision, sinceStartMs: Math.round(clock.steadyMs()) }, 'the datastore has been read');
        parts.onChange();
        parts.onInSync();
      },
      onUnreadable: (keys, example) => {
        metrics.unreadableKeys.set(keys);
        unreadable(keys, example);
      },
      onState: (state, reason) => {
        metrics.resyncState.set({ connecting: 1, lost: 1, reading: 2, following: 3 }[state]);
        if (state === 'reading') metrics.resyncsStarted.inc();
        parts.component.report({ live: true, ready: state === 'following', ...(reason && { detail: reason }) });
        if (state === 'lost') log.warn({ reason }, 'etcd is away; the kernel keeps its rules and routes, and changes wait until etcd is back');
        else log.info({ state }, 'the state of the connection to the datastore has changed');
      },
    });
  }

  /** Whether the datastore has been read. It stays true while etcd is away. */
  get inSync(): boolean {
    return this.#inSync;
  }

  /** Processes the next portion of the changes that wait. Returns whether more of them wait. */
  takePortion(): boolean {
    this.#takeIn(this.#waiting.take());
    return !this.#waiting.isEmpty;
  }

  /** Says how long the loop's turn with the last portion took. The next portions are smaller or greater accordingly. */
  noteTook(tookMs: number): void {
    this.#waiting.noteTook(tookMs);
  }

  #takeIn(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const { clock, metrics, notices, update } = this.#parts;
    const fromMs = clock.steadyMs();
    takeEach(
      changes,
      ({ key, value }) => update(key, value),
      (error, key) => notices.fault(error, key),
    );
    metrics.calculationSeconds.observe((clock.steadyMs() - fromMs) / 1000);
    metrics.noteUpdates(changes.map(({ key }) => key));
  }

  /** Ends it. Nothing is called back any more. */
  close(): void {
    this.#follower.close();
  }
}
