// Snapshot, then watch, for ever: what makes a datastore of keys into a stream of changes that loses nothing and takes nothing away too early.
import { backoff, type Clock } from './clock.ts';
import { EtcdError, isTransient } from './errors.ts';
import { isReadable, shownKey } from './keys.ts';
import type { Header } from './messages.ts';
import { adaptingPageSize, type ReadPage, readSnapshot, type Snapshot } from './pages.ts';
import { type WatchedRange, watchedRanges } from './ranges.ts';
import type { Change, Follower, FollowListener, FollowState } from './types.ts';

/** What a follower needs of a datastore: client.ts gives it over gRPC, fake.ts in memory. All its failures are EtcdErrors. */
export interface WatchSource {
  readonly clock: Clock;
  random(): number;
  readonly readPage: ReadPage;
  /** What a majority of the cluster says of itself now, asked by a read of this one key. */
  readHeader(key: string): Promise<Header>;
  /** Opens one stream that carries a watch for each range, each from its revision on, that one included. No event comes before this returns, and none after close(). */
  watch(ranges: readonly StartedRange[], events: WatchEvents): { close(): void };
}

export type StartedRange = WatchedRange & { readonly fromRevision: number };

export type WatchEvents = {
  onCreated(range: number, header: Header): void;
  /** Whole revisions, in order. None: nothing happened in the range up to the header's revision. */
  onChanges(range: number, header: Header, changes: readonly Change[]): void;
  /** The end of the stream. ETCD_COMPACTED: the history after a range's revision is no longer there. */
  onLost(error: EtcdError): void;
};

/** A watch that held this long was a good one: the next loss starts with the shortest pause again. */
const steadyMilliseconds = 5_000;
const retryCapMilliseconds = 2_000;
/** Who reads everything and fails may be one of thousands who do the same. */
const rereadCapMilliseconds = 15_000;
const refusedCapMilliseconds = 30_000;

type Reading = {
  readonly pages: Snapshot;
  /** Revision of each key that was read. */
  readonly next: Map<string, number>;
  /** What is told when all is read, if the listener was in sync before. */
  readonly changes: Change[];
  readonly illegible: Set<string>;
  /** Of its first page. */
  header?: Header;
};

export function followPrefixes(
  source: WatchSource,
  prefixes: readonly string[],
  listener: FollowListener,
  { apart = false, pageSize = adaptingPageSize() } = {},
): Follower {
  if (prefixes.length === 0) throw new EtcdError('ETCD_REFUSED', 'nothing to follow: no prefix is given');
  const ranges = watchedRanges(prefixes, apart);
  const wanted = ranges.flatMap((range) => range.prefixes);
  const closing = new AbortController();
  /** Revision of each key that the listener knows of. */
  let known = new Map<string, number>();
  /** Up to where each range was delivered; and the key that was changed there, if one was. */
  const delivered = ranges.map(() => 0);
  const anchors = ranges.map((): string | undefined => undefined);
  /** The history that those revisions belong to. */
  let history: Header | undefined;
  let watching: { close(): void } | undefined;
  /** The snapshot that is being read. After a failure it goes on behind the last key: who begins again on a slow or shared link never finishes. */
  let reading: Reading | undefined;
  /** In a row, without anything that came meanwhile. */
  let failures = 0;
  let unreadable = new Set<string>();
  let toldUnreadable = 0;
  let inSync = false;
  let state: FollowState = 'connecting';
  let trouble: string | undefined;

  const closed = (): boolean => closing.signal.aborted;

  function enter(next: FollowState, error?: EtcdError): void {
    if (closed() || (next === state && error?.code === trouble)) return;
    [state, trouble] = [next, error?.code];
    if (error) listener.onState?.(next, `${error.code}: ${error.message}`);
    else listener.onState?.(next);
  }

  function deliver(changes: readonly Change[], revision: number): void {
    if (changes.length > 0 && !closed()) listener.onChanges(changes, revision);
  }

  function tellUnreadable(): void {
    if (unreadable.size === toldUnreadable || closed()) return;
    toldUnreadable = unreadable.size;
    listener.onUnreadable?.(toldUnreadable, shownKey(unreadable.values().next().value ?? ''));
  }

  /** Whether a header can belong to the history that we know up to `revision`. */
  function continues(header: Header, revision: number): boolean {
    return !history || (header.clusterId === history.clusterId && header.term >= history.term && header.revision >= revision);
  }

  /** Whether the first that a new watch brings can follow what was delivered: the last delivered change comes again, unless the history is another one. */
  function holds(range: number, changes: readonly Change[]): boolean {
    const anchor = anchors[range];
    return anchor === undefined || changes.some(({ key, modRevision }) => key === anchor && modRevision === delivered[range]);
  }

  /** Reads on, or begins to, and delivers what is new, other or gone since the last time. */
  async function read(): Promise<void> {
    reading ??= {
      pages: readSnapshot(source.readPage, wanted, pageSize),
      next: inSync || known.size > 0 ? new Map() : known,
      changes: [],
      illegible: new Set(),
    };
    const { pages, next, changes, illegible } = reading;
    while (!closed()) {
      const page = await pages.next();
      if (closed()) return;
      if (!page) break;
      failures = Math.min(failures, 1);
      enter('reading');
      // In another history an equal revision does not mean an equal value.
      if (!reading.header && !continues(page.header, Math.max(...delivered))) for (const key of known.keys()) known.set(key, 0);
      reading.header = page.header;
      const fresh: Change[] = [];
      for (const { key, value, modRevision } of page.found) {
        if (!isReadable(key)) illegible.add(key);
        else if (known.get(key) !== modRevision) fresh.push({ key, value, modRevision });
        if (isReadable(key)) next.set(key, modRevision);
      }
      if (inSync) changes.push(...fresh);
      else {
        for (const { key, modRevision } of fresh) known.set(key, modRevision);
        deliver(fresh, page.header.revision);
      }
    }
    if (reading.header && !closed()) complete(reading, reading.header);
  }

  /** All pages of a snapshot were read. */
  function complete({ next, changes, illegible }: Reading, header: Header): void {
    const { revision } = header;
    changes.sort((one, other) => one.modRevision - other.modRevision);
    for (const key of known.keys()) if (!next.has(key)) changes.push({ key, value: undefined, modRevision: revision });
    reading = undefined;
    known = next;
    history = header;
    delivered.fill(revision);
    anchors.fill(undefined);
    unreadable = illegible;
    deliver(changes, revision);
    tellUnreadable();
    if (inSync || closed()) return;
    inSync = true;
    listener.onInSync?.(revision);
  }

  function take(range: number, header: Header, changes: readonly Change[]): void {
    if (closed()) return;
    const since = delivered[range]!;
    const revision = changes.at(-1)?.modRevision ?? header.revision;
    if (revision <= since) return;
    delivered[range] = revision;
    anchors[range] = changes.at(-1)?.key;
    const fresh: Change[] = [];
    for (const change of changes) {
      const { key, value, modRevision } = change;
      if (modRevision <= since || !ranges[range]!.prefixes.some((prefix) => key.startsWith(prefix))) continue;
      if (!isReadable(key)) {
        if (value === undefined) unreadable.delete(key);
        else unreadable.add(key);
        continue;
      }
      const wasKnown = value === undefined ? known.delete(key) : known.set(key, modRevision).has(key);
      if (wasKnown) fresh.push(change);
    }
    deliver(fresh, revision);
    tellUnreadable();
  }

  /** Watches until that is lost; rejects with the reason. */
  function watchUntilLost(onFollowing: () => void): Promise<never> {
    return new Promise((_, reject) => {
      let waitingFor = ranges.length;
      const anchored = new Set<number>();
      let over = false;
      let held: (() => void)[] | undefined; // what came while its history was in doubt

      function lose(error: EtcdError): void {
        over = true;
        watch.close();
        reject(error);
      }
      function act(what: () => void): void {
        if (held) held.push(what);
        else if (!over && !closed()) what();
      }
      /** The member's history looks shorter than ours. It may merely lag behind: its majority knows. */
      async function verify(): Promise<void> {
        held = [];
        const header = await source.readHeader(wanted[0]!);
        if (!continues(header, Math.max(...delivered))) {
          throw new EtcdError(
            'ETCD_REPLACED',
            `etcd is at revision ${header.revision} of another history than before (was at ${Math.max(...delivered)}): restored or replaced`,
          );
        }
        const acts = held;
        held = undefined;
        for (const what of acts) act(what);
      }

      const watch = source.watch(
        ranges.map((range, index) => ({ ...range, fromRevision: delivered[index]! })),
        {
          // From the last revision delivered, not from the next one: etcd takes a watch from the very revision that was compacted, but a deletion there may be gone by then.
          onCreated(range, header) {
            if (!continues(header, delivered[range]!)) {
              if (!held) verify().catch(lose);
            } else if (history) history = { ...history, term: Math.max(history.term, header.term) };
            act(() => {
              waitingFor -= 1;
              if (waitingFor > 0) return;
              enter('following');
              onFollowing();
            });
          },
          onChanges(range, header, changes) {
            act(() => {
              if (!anchored.has(range) && !holds(range, changes))
                lose(new EtcdError('ETCD_REPLACED', `revision ${delivered[range]} of etcd is not what it was: restored or replaced`));
              else take(range, header, changes);
              anchored.add(range);
            });
          },
          onLost: lose,
        },
      );
      watching = watch;
    });
  }

  async function run(): Promise<void> {
    let toRead = true;
    let followingSince = Number.POSITIVE_INFINITY;
    while (!closed()) {
      try {
        if (toRead) await read();
        toRead = false;
        if (closed()) return;
        await watchUntilLost(() => {
          followingSince = source.clock.now();
        });
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error; // the listener's own: nobody could carry on after it
        if (closed() || error.code === 'ETCD_CLOSED') return;
        if (source.clock.now() - followingSince > steadyMilliseconds) failures = 0;
        followingSince = Number.POSITIVE_INFINITY;
        failures += 1;
        if (!isTransient(error)) reading = undefined;
        // What was read belongs to another history, in which an equal revision does not mean an equal value. (Of a watch it is a suspicion; the next snapshot's header tells.)
        if (error.code === 'ETCD_REPLACED' && toRead) for (const key of known.keys()) known.set(key, 0);
        if (error.code === 'ETCD_COMPACTED' || error.code === 'ETCD_REPLACED') {
          toRead = true;
          if (failures === 1) continue;
        }
        enter('lost', error);
        await source.clock.wait(backoff(failures, capOf(error, toRead), source.random), closing.signal);
      }
    }
  }
  void run();

  return {
    get state() {
      return state;
    },
    get revision() {
      return Math.min(...delivered);
    },
    close() {
      closing.abort();
      watching?.close();
    },
  };
}

function capOf({ code }: EtcdError, reads: boolean): number {
  if (code === 'ETCD_DENIED' || code === 'ETCD_REFUSED') return refusedCapMilliseconds;
  return reads ? rereadCapMilliseconds : retryCapMilliseconds;
}
