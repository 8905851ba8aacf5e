// Keys that exist as long as their writer: they are put again and again under one lease.
import { type Clock, systemClock } from '@calico-openstack/agent/clock';
import { EtcdError } from './errors.ts';
import type { Etcd, Lease, Operation } from './types.ts';

/** What to write, and how often. */
export type LeasedWriterOptions = {
  /** The lease's time to live: the leased keys are deleted this long after the last renewal. */
  readonly ttlSeconds: number;
  readonly intervalMs: number;
  /** Returns what to write this time. Puts that shall end with the writer carry the lease's id. `nowMs` is the time of day, in milliseconds since 1970. */
  readonly operations: (lease: string, nowMs: number) => readonly Operation[];
  readonly onWritten?: () => void;
  /** Called when a write fails; it is retried at the next interval. `failures` counts those in a row: 1 for the first one. */
  readonly onError?: (error: unknown, failures: number) => void;
  readonly clock?: Clock;
};

/** A writer that runs until it is closed. */
export interface LeasedWriter {
  /** Stops after the write that is under way. The leased keys stay until their lease expires; with `revoke` they are deleted at once. */
  close(options?: { readonly revoke: boolean }): Promise<void>;
}

/** Writes at once and then at every interval. */
export function writeUnderLease(etcd: Etcd, options: LeasedWriterOptions): LeasedWriter {
  const { ttlSeconds, intervalMs, operations, onWritten, onError, clock = systemClock } = options;
  const closing = new AbortController();
  let lease: Lease | undefined;
  let failures = 0;

  async function write(): Promise<boolean> {
    try {
      if (!lease || !(await lease.keepAlive())) lease = await etcd.grantLease(ttlSeconds);
      await etcd.transact([], operations(lease.id, clock.nowMs()));
      failures = 0;
      return true;
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error; // thrown by the caller's function
      failures += 1;
      if (!closing.signal.aborted) onError?.(error, failures);
      return false;
    }
  }

  async function run(): Promise<void> {
    let dueMs = clock.steadyMs();
    while (!closing.signal.aborted) {
      if (await write()) onWritten?.();
      dueMs = Math.max(dueMs + intervalMs, clock.steadyMs());
      await clock.pause(dueMs - clock.steadyMs(), closing.signal);
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
        onError?.(error, failures + 1);
      }
    },
  };
}
