// Reports that this agent is alive: a key with a lease, written again at an interval. When the key expires, Neutron counts the agent as dead.
import type { Clock } from '@calico-openstack/agent';
import { felixLastStatusKey, felixStatusKey, heartbeatTexts } from '@calico-openstack/datamodel';
import { type Etcd, type LeasedWriter, writeUnderLease } from '@calico-openstack/etcd';

/** What is reported, and how often. */
export type HeartbeatOptions = {
  readonly region: string | undefined;
  readonly host: string;
  readonly intervalMs: number;
  /** How long a report is valid. etcd has whole seconds, so this is rounded up. */
  readonly ttlSeconds: number;
  /** When the process started, in ms since the epoch. */
  readonly startedAtMs: number;
  /** Called for each report that could not be written. */
  readonly onError: (error: unknown) => void;
  readonly clock: Clock;
};

/**
 * Writes a report now and then at every interval, until it is closed. The key `last_reported_status` has the same value without the lease.
 * The report's field `first_update` is true until one was written.
 */
export function startHeartbeat(etcd: Etcd, options: HeartbeatOptions): LeasedWriter {
  const { region, host, intervalMs, ttlSeconds, startedAtMs, onError, clock } = options;
  const texts = heartbeatTexts(startedAtMs);
  return writeUnderLease(etcd, {
    intervalMs,
    ttlSeconds: Math.max(1, Math.ceil(ttlSeconds)),
    operations(lease) {
      const value = texts.at(clock.nowMs());
      return [
        { put: felixStatusKey(region, host), value, lease },
        { put: felixLastStatusKey(region, host), value },
      ];
    },
    onWritten: texts.written,
    onError,
    clock,
  });
}
