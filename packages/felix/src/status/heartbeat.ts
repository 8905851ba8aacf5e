// "This agent lives": a key on a lease, rewritten at an interval; when it expires, the agent counts as dead.
import { encodeAgentStatus, felixLastStatusKey, felixStatusKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import type { Etcd, Lease } from '@calico-openstack/etcd/types';

export type HeartbeatOptions = { readonly region: string | undefined; readonly host: string; readonly intervalSeconds: number; readonly ttlSeconds: number };

export interface Heartbeat {
  /** Writes one report. Rejects when it could not; the next one tries anew. */
  beat(): Promise<void>;
  setOptions(options: Pick<HeartbeatOptions, 'intervalSeconds' | 'ttlSeconds'>): void;
  readonly intervalSeconds: number;
}

/**
 * @param startedAtMs and `now`: when the process started, and the time, in ms since the epoch
 */
export function createHeartbeat(etcd: Etcd, initial: HeartbeatOptions, startedAtMs: number, now: () => number = Date.now): Heartbeat {
  let { intervalSeconds, ttlSeconds } = initial;
  let lease: Lease | undefined;
  let firstUpdate = true;
  return {
    get intervalSeconds() {
      return intervalSeconds;
    },
    setOptions(options) {
      if (options.ttlSeconds !== ttlSeconds) lease = undefined; // the old one runs out by itself
      ({ intervalSeconds, ttlSeconds } = options);
    },
    async beat() {
      if (!lease || !(await lease.keepAlive())) lease = await etcd.grantLease(Math.max(1, Math.ceil(ttlSeconds)));
      const value = encodeAgentStatus({ time: rfc3339Seconds(new Date(now())), uptimeSeconds: (now() - startedAtMs) / 1000, firstUpdate });
      const { id } = lease;
      await etcd
        .transact(
          [],
          [
            { put: felixStatusKey(initial.region, initial.host), value, lease: id },
            { put: felixLastStatusKey(initial.region, initial.host), value },
          ],
        )
        .catch((error: unknown) => {
          lease = undefined; // whatever was wrong, a fresh one cannot hurt
          throw error;
        });
      firstUpdate = false;
    },
  };
}
