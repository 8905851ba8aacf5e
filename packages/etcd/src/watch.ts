// One gRPC stream that carries the watches of one follower.
import type { Connection, Stream } from './connection.ts';
import { EtcdError } from './errors.ts';
import type { StartedRange, WatchEvents } from './follow.ts';
import { type Header, methods, type WatchAnswer, watchRequest } from './messages.ts';

/** A member that is connected but does not open a watch within this time is given up. */
const createMilliseconds = 10_000;

export type WatchCheck = {
  readHeader(key: string): Promise<Header>;
  /** How often. */
  readonly checkMilliseconds: number;
};

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

  /** Watches get their ids, from 0, in the order in which they were asked for. */
  function onAnswer(answer: WatchAnswer): void {
    const error = over ? undefined : refusal(answer);
    if (error) lose(error);
    if (over || !ranges[answer.watchId]) return; // a progress of the stream as a whole would have no range, but nobody asks for it
    if (answer.created) {
      waitingFor -= 1;
      if (waitingFor === 0) clearTimeout(timer);
      events.onCreated(answer.watchId, answer.header);
    } else events.onChanges(answer.watchId, answer.header, answer.changes);
  }

  function refusal({ created, canceled, compactRevision, cancelReason }: WatchAnswer): EtcdError | undefined {
    if (compactRevision !== 0) return new EtcdError('ETCD_COMPACTED', `cannot ${what}: compacted up to revision ${compactRevision}`);
    if (!canceled) return undefined;
    // An expired token shows like a missing permission: the next attempt has a new one.
    if (created) stream?.refused();
    return new EtcdError(created ? 'ETCD_DENIED' : 'ETCD_UNAVAILABLE', `cannot ${what}: etcd canceled it (${cancelReason || 'no reason given'})`);
  }

  /**
   * Whether etcd is still the one whose changes are awaited. A watch on etcd itself breaks with it; its grpc-proxy goes on as if nothing had happened when it finds another etcd,
   * restored from a backup or new, in the place of the one before, and waits until that has come to the old one's revision.
   */
  async function compareHistory(): Promise<void> {
    const header = await check.readHeader(ranges[0]!.prefixes[0]!);
    const { clusterId, term, revision } = history ?? { clusterId: header.clusterId, term: 0, revision: ranges[0]!.fromRevision };
    if (header.clusterId !== clusterId || header.term < term || header.revision < revision)
      lose(new EtcdError('ETCD_REPLACED', `etcd is at revision ${header.revision} of another history than before (was at ${revision}): restored or replaced`));
    history = header;
  }

  /** Again and again, and not in step with a thousand others. */
  function checkLater(): void {
    checks = setTimeout(
      () => {
        const done = (): void => {
          if (!over) checkLater();
        };
        compareHistory().then(done, done); // whether etcd answers, other calls tell
      },
      check.checkMilliseconds * (0.75 + Math.random() / 2),
    ).unref();
  }

  async function open(): Promise<void> {
    stream = await connection.stream(methods.watch, what, { onAnswer, onLost: lose });
    if (over) return stream.close();
    for (const range of ranges) stream.send(watchRequest(range, range.fromRevision));
    checkLater();
    timer = setTimeout(() => {
      stream?.abandon();
      lose(new EtcdError('ETCD_TIMEOUT', `cannot ${what}: no answer within ${createMilliseconds / 1000} s`));
    }, createMilliseconds);
  }
  open().catch((error: unknown) => {
    if (!(error instanceof EtcdError)) throw error;
    lose(error);
  });

  return { close };
}
