// "This agent lives": a key on a lease, rewritten at an interval; when it expires, the agent counts as dead.
import type { Clock } from '@calico-openstack/agent';
import { encodeAgentStatus, felixLastStatusKey, felixStatusKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import { type Etcd, type LeasedWriter, writeUnderLease } from '@calico-openstack/etcd';

export type HeartbeatOptions = {
  readonly region: string | undefined;
  readonly host: string;
  readonly intervalMs: number;
  readonly ttlSeconds: number;
  /** When the process started, in ms since the epoch. */
  readonly startedAtMs: number;
  readonly onError: (error: unknown) => void;
  readonly clock: Clock;
};

/** Writes a report at once and then at every interval; `last_reported_status` is the same without the lease. `first_update` is true until one was written. */
export function startHeartbeat(etcd: Etcd, options: HeartbeatOptions): LeasedWriter {
  const { region, host, intervalMs, ttlSeconds, startedAtMs, onError, clock } = options;
  let firstUpdate = true;
  return writeUnderLease(etcd, {
    intervalMs,
    ttlSeconds: Math.max(1, Math.ceil(ttlSeconds)),
    operations(lease) {
      const nowMs = clock.nowMs();
      const value = encodeAgentStatus({ time: rfc3339Seconds(new Date(nowMs)), uptimeSeconds: (nowMs - startedAtMs) / 1000, firstUpdate });
      return [
        { put: felixStatusKey(region, host), value, lease },
        { put: felixLastStatusKey(region, host), value },
      ];
    },
    onWritten: () => {
      firstUpdate = false;
    },
    onError,
    clock: { now: clock.steadyMs, wait: clock.pause },
  });
}
