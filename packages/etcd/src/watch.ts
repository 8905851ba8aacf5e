// The watches of one follower, in one gRPC stream.

import type { Connection, Stream } from './connection.ts';
import { EtcdError } from './errors.ts';
import type { StartedRange, WatchEvents } from './follow.ts';
import { type Header, methods, type WatchAnswer, watchRequest } from './messages.ts';
import { isSameEtcd } from './origin.ts';

/** A member that does not open the watches within this time is abandoned for another one. */
const createMs = 10_000;

/** How a watch checks that etcd's history is still the same. */
export type WatchCheck = {
  readHeader(key: string): Promise<Header>;
  /** How often it checks. */
  readonly checkMs: number;
};

/** Opens a stream with a watch for each range. Errors, those of opening it too, are reported by `events.onLost`. */
export function openWatch(connection: Connection, ranges: readonly StartedRange[], events: WatchEvents, check: WatchCheck): { close(): void } {
  const what = `watch ${ranges.flatMap(({ prefixes }) => prefixes).join(', ')}`;
  let waitingFor = ranges.length;
  let over = false;
  let stream: Stream | undefined;
  let timer: NodeJS.Timeout | undefined;
  let checks: NodeJS.Timeout | undefined;
  let history: Header | undefined;

  function close(): void {
    over = true;
    clearTimeout(timer);
    clearTimeout(checks);
    stream?.close();
  }

  function lose(error: EtcdError): void {
    if (over) return;
    close();
    events.onLost(error);
  }

  /** Handles a message. etcd numbers the watches from 0, in the order of the requests. */
  function onAnswer(answer: WatchAnswer): void {
    const error = over ? undefined : refusal(answer);
    if (error) lose(error);
    if (over || !ranges[answer.watchId]) return; // a progress report of the whole stream has no range; none is requested
    if (answer.created) {
      waitingFor -= 1;
      if (waitingFor === 0) clearTimeout(timer);
      events.onCreated(answer.watchId, answer.header);
    } else events.onChanges(answer.watchId, answer.header, answer.changes);
  }

  function refusal({ created, canceled, compactRevision, cancelReason }: WatchAnswer): EtcdError | undefined {
    if (compactRevision !== 0) return new EtcdError('ETCD_COMPACTED', `cannot ${what}: compacted up to revision ${compactRevision}`);
    if (!canceled) return undefined;
    // An expired token looks like a missing permission. The next attempt requests a new token.
    if (created) stream?.refused();
    return new EtcdError(created ? 'ETCD_DENIED' : 'ETCD_UNAVAILABLE', `cannot ${what}: etcd canceled it (${cancelReason || 'no reason given'})`);
  }

  /**
   * Checks that etcd is still the one that is being watched. A watch on etcd itself breaks when etcd is replaced. Its grpc-proxy hides that: when it finds a new or restored etcd in its place,
   * it keeps the watch open and waits until the new one has reached the old one's revision.
   */
  async function compareHistory(): Promise<void> {
    const header = await check.readHeader(ranges[0]!.prefixes[0]!);
    const before = history ?? { ...header, revision: ranges[0]!.fromRevision };
    if (!isSameEtcd(header, before) || header.revision < before.revision)
      lose(
        new EtcdError(
          'ETCD_REPLACED',
          `etcd is at revision ${header.revision} and was at ${before.revision} of another history before: it was restored or replaced, and is read again`,
        ),
      );
    history = header;
  }

  /** Checks at intervals that differ by chance, so that a thousand agents do not check at once. */
  function checkLater(): void {
    checks = setTimeout(
      () => {
        const done = (): void => {
          if (!over) checkLater();
        };
        compareHistory().then(done, done); // an etcd that does not answer shows in other calls
      },
      check.checkMs * (0.75 + Math.random() / 2),
    ).unref();
  }

  async function open(): Promise<void> {
    stream = await connection.stream(methods.watch, what, { onAnswer, onLost: lose });
    if (over) return stream.close();
    for (const range of ranges) stream.send(watchRequest(range, range.fromRevision));
    checkLater();
    timer = setTimeout(() => {
      stream?.abandon();
      lose(new EtcdError('ETCD_TIMEOUT', `cannot ${what}: no answer within ${createMs / 1000} s`));
    }, createMs);
  }
  open().catch((error: unknown) => {
    if (!(error instanceof EtcdError)) throw error;
    lose(error);
  });

  return { close };
}
