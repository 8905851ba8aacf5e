// One gRPC stream that carries the watches of one follower.
import type { Connection, Stream } from './connection.ts';
import { EtcdError } from './errors.ts';
import type { StartedRange, WatchEvents } from './follow.ts';
import { methods, type WatchAnswer, watchRequest } from './messages.ts';

/** A member that is connected but does not open a watch within this time is given up. */
const createMilliseconds = 10_000;

export function openWatch(connection: Connection, ranges: readonly StartedRange[], events: WatchEvents): { close(): void } {
  const what = `watch ${ranges.flatMap(({ prefixes }) => prefixes).join(', ')}`;
  let waitingFor = ranges.length;
  let over = false;
  let stream: Stream | undefined;
  let timer: NodeJS.Timeout | undefined;

  function close(): void {
    over = true;
    clearTimeout(timer);
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

  async function open(): Promise<void> {
    stream = await connection.stream(methods.watch, what, { onAnswer, onLost: lose });
    if (over) return stream.close();
    for (const range of ranges) stream.send(watchRequest(range, range.fromRevision));
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
