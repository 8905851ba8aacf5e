// Keys that live as long as their writer: put again and again under one lease.
import { type Clock, systemClock } from './clock.ts';
import { EtcdError } from './errors.ts';
import type { Etcd, Lease, Operation } from './types.ts';

export type LeasedWriterOptions = {
  /** So long after the last renewal the leased keys go away by themselves. */
  readonly ttlSeconds: number;
  readonly intervalSeconds: number;
  /** What to write this time; the lease's id goes into the puts that are to live with it. */
  readonly operations: (lease: string) => readonly Operation[];
  readonly onWritten?: () => void;
  /** A failed write is tried again at the next interval. */
  readonly onError?: (error: unknown) => void;
  readonly clock?: Clock;
};

export interface LeasedWriter {
  /** Stops writing, after the write that is under way. The keys stay until their lease runs out, unless `revoke` takes them away now. */
  close(options?: { readonly revoke: boolean }): Promise<void>;
}

/** Writes at once, and then at every interval. */
export function writeUnderLease(etcd: Etcd, options: LeasedWriterOptions): LeasedWriter {
  const { ttlSeconds, intervalSeconds, operations, onWritten, onError, clock = systemClock } = options;
  const closing = new AbortController();
  let lease: Lease | undefined;

  async function write(): Promise<boolean> {
    try {
      if (!lease || !(await lease.keepAlive())) lease = await etcd.grantLease(ttlSeconds);
      await etcd.transact([], operations(lease.id));
      return true;
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error; // the caller's own
      if (!closing.signal.aborted) onError?.(error);
      return false;
    }
  }

  async function run(): Promise<void> {
    let due = clock.now();
    while (!closing.signal.aborted) {
      if (await write()) onWritten?.();
      due = Math.max(due + intervalSeconds * 1000, clock.now());
      await clock.wait(due - clock.now(), closing.signal);
    }
  }
  const running = run();

  return {
    async close({ revoke } = { revoke: false }) {
      closing.abort();
      await running;
      if (!revoke || !lease) return;
      try {
        await lease.revoke();
      } catch (error) {
        onError?.(error);
      }
    },
  };
}
