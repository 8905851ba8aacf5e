// Handles values and keys that anybody may have written to the datastore, in the same way for every agent that follows it.
import type { Logger } from './log.ts';

type KeyChange = { readonly key: string; readonly value: Uint8Array | undefined };

/**
 * Applies changes one by one, so that none prevents another. A change for which `take` throws is a fault of ours, whatever its value is. Its key then counts as absent: `take` is called
 * again for the key without a value. `onFault` reports it.
 * @returns how many changes threw
 */
export function takeEach<Change extends KeyChange>(
  changes: Iterable<Change>,
  take: (change: Change) => void,
  onFault: (error: unknown, key: string) => void,
): number {
  let faults = 0;
  for (const change of changes) {
    try {
      take(change);
    } catch (error) {
      faults += 1;
      onFault(error, change.key);
      if (change.value !== undefined) takeEach([{ ...change, value: undefined }], take, onFault);
    }
  }
  return faults;
}

/** Logs when the datastore has its first key that is not UTF-8, and when it has no such key any more. For `FollowListener.onUnreadable`. */
export function tellUnreadable(log: Logger): (keys: number, example: string) => void {
  let there = false;
  return (keys, example) => {
    if (keys > 0 && !there)
      log.warn({ keys, example }, 'etcd holds keys that are not UTF-8; they are ignored; neither OpenStack nor Calico writes such keys, so find out who does');
    if (keys === 0 && there) log.info('etcd holds no keys any more that are not UTF-8');
    there = keys > 0;
  };
}

/** Logs the first of an agent's heartbeats in a row that could not be written. `failures` counts them. `agent` is the agent's name for people. */
export function heartbeatFailed(log: Logger, agent: string): (error: unknown, failures: number) => void {
  return (error, failures) => {
    if (failures > 1) return;
    log.warn(
      { err: error },
      `the heartbeat cannot be written to etcd, so Neutron shows this ${agent} as dead; retrying; see that etcd runs and that this user has the rights that calico-openstack etcd-roles gives`,
    );
  };
}
