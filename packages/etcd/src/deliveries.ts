// Keeps what a follower's listener knows, and delivers what is new to it from snapshots and watches. Knows nothing of connections, pauses and failures.
import { isReadable, shownKey } from './keys.ts';
import type { Header } from './messages.ts';
import { isSameEtcd } from './origin.ts';
import type { Page } from './pages.ts';
import type { WatchedRange } from './ranges.ts';
import type { Change, FollowListener } from './types.ts';

/** The part of a snapshot that was read so far. */
export type SnapshotSoFar = {
  /** The revision of each key that was read. */
  readonly next: Map<string, number>;
  /** The changes to deliver once the whole snapshot is read, if the listener was in sync before. */
  readonly changes: Change[];
  readonly illegible: Set<string>;
  /** The header of the first page. */
  header?: Header;
};

/** The deliveries to one listener. */
export class Deliveries {
  readonly #ranges: readonly WatchedRange[];
  readonly #listener: FollowListener;
  readonly #isClosed: () => boolean;
  /** The revision of each key that the listener knows. */
  #known = new Map<string, number>();
  /** For each range: the revision up to which it was delivered (`#delivered`), and a key that was changed at that revision, if there was one (`#anchors`). */
  readonly #delivered: number[];
  readonly #anchors: (string | undefined)[];
  /** The header of the history to which those revisions belong. */
  #history: Header | undefined;
  #unreadable = new Set<string>();
  #toldUnreadable = 0;
  #inSync = false;

  /** @param isClosed whether the follower is closed; nothing is delivered any more then, not even within one call, since the listener may close its follower at any time */
  constructor(ranges: readonly WatchedRange[], listener: FollowListener, isClosed: () => boolean) {
    this.#ranges = ranges;
    this.#listener = listener;
    this.#isClosed = isClosed;
    this.#delivered = ranges.map(() => 0);
    this.#anchors = ranges.map(() => undefined);
  }

  /** Every range was delivered up to this revision. */
  get revision(): number {
    return Math.min(...this.#delivered);
  }

  /** Some range was delivered up to this revision. */
  get newestRevision(): number {
    return Math.max(...this.#delivered);
  }

  revisionOf(range: number): number {
    return this.#delivered[range]!;
  }

  /** Whether a header can belong to the known history, which reaches up to `revision`. */
  continues(header: Header, revision: number): boolean {
    const history = this.#history;
    return !history || (isSameEtcd(header, history) && header.revision >= revision);
  }

  /** A member whose header continues the known history has answered. */
  noteHeader({ term }: Header): void {
    if (this.#history) this.#history = { ...this.#history, term: Math.max(this.#history.term, term) };
  }

  /** Whether the first changes of a new watch continue what was delivered. A watch starts at the last delivered revision, so the change of the anchor comes again, unless the history is another one. */
  holds(range: number, changes: readonly Change[]): boolean {
    const anchor = this.#anchors[range];
    return anchor === undefined || changes.some(({ key, modRevision }) => key === anchor && modRevision === this.#delivered[range]);
  }

  /** In another history an equal revision does not mean an equal value: every key counts as changed. */
  distrustRevisions(): void {
    for (const key of this.#known.keys()) this.#known.set(key, 0);
  }

  beginSnapshot(): SnapshotSoFar {
    return { next: this.#inSync || this.#known.size > 0 ? new Map() : this.#known, changes: [], illegible: new Set() };
  }

  /** A page of a snapshot was read. It is delivered at once before the listener is in sync, and afterwards with the whole snapshot. */
  addPage(snapshot: SnapshotSoFar, { header, found }: Page): void {
    if (!snapshot.header && !this.continues(header, this.newestRevision)) this.distrustRevisions();
    snapshot.header = header;
    const fresh: Change[] = [];
    for (const { key, value, modRevision } of found) {
      if (!isReadable(key)) snapshot.illegible.add(key);
      else if (this.#known.get(key) !== modRevision) fresh.push({ key, value, modRevision });
      if (isReadable(key)) snapshot.next.set(key, modRevision);
    }
    if (this.#inSync) snapshot.changes.push(...fresh);
    else {
      for (const { key, modRevision } of fresh) this.#known.set(key, modRevision);
      this.#deliver(fresh, header.revision, false);
    }
  }

  /** All pages of a snapshot were read: delivers the differences, deletions included. */
  completeSnapshot({ next, changes, illegible, header }: SnapshotSoFar): void {
    if (!header) return;
    const { revision } = header;
    changes.sort((one, other) => one.modRevision - other.modRevision);
    for (const key of this.#known.keys()) if (!next.has(key)) changes.push({ key, value: undefined, modRevision: revision });
    this.#known = next;
    this.#history = header;
    this.#delivered.fill(revision);
    this.#anchors.fill(undefined);
    this.#unreadable = illegible;
    this.#deliver(changes, revision, false);
    this.#tellUnreadable();
    if (this.#inSync || this.#isClosed()) return;
    this.#inSync = true;
    this.#listener.onInSync?.(revision);
  }

  /** Delivers the changes of a watch that the listener does not know yet. */
  take(range: number, header: Header, changes: readonly Change[]): void {
    if (this.#isClosed()) return;
    const since = this.#delivered[range]!;
    const revision = changes.at(-1)?.modRevision ?? header.revision;
    if (revision <= since) return;
    this.#delivered[range] = revision;
    this.#anchors[range] = changes.at(-1)?.key;
    const fresh: Change[] = [];
    for (const change of changes) {
      const { key, value, modRevision } = change;
      if (modRevision <= since || !this.#ranges[range]!.prefixes.some((prefix) => key.startsWith(prefix))) continue;
      if (!isReadable(key)) {
        if (value === undefined) this.#unreadable.delete(key);
        else this.#unreadable.add(key);
        continue;
      }
      const wasKnown = value === undefined ? this.#known.delete(key) : this.#known.set(key, modRevision).has(key);
      if (wasKnown) fresh.push(change);
    }
    this.#deliver(fresh, revision, true);
    this.#tellUnreadable();
  }

  #deliver(changes: readonly Change[], revision: number, isHistory: boolean): void {
    if (changes.length > 0 && !this.#isClosed()) this.#listener.onChanges(changes, revision, isHistory);
  }

  #tellUnreadable(): void {
    if (this.#unreadable.size === this.#toldUnreadable || this.#isClosed()) return;
    this.#toldUnreadable = this.#unreadable.size;
    this.#listener.onUnreadable?.(this.#toldUnreadable, shownKey(this.#unreadable.values().next().value ?? ''));
  }
}
