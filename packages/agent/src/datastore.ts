// What every agent that follows the datastore does alike with what anybody may have written there.
import type { Logger } from './log.ts';

type KeyChange = { readonly key: string; readonly value: Uint8Array | undefined };

/**
 * Takes changes in one by one, so that none hinders another. One that throws is a fault of ours, whatever its value says: its key counts as absent, and `onFault` tells of it.
 * @returns how many threw
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

/** Tells of keys that are no UTF-8 when the first is there, and when there is none any more. For `FollowListener.onUnreadable`. */
export function tellUnreadable(log: Logger): (keys: number, example: string) => void {
  let there = false;
  return (keys, example) => {
    if (keys > 0 && !there)
      log.warn({ keys, example }, 'etcd holds keys that are no UTF-8; they are ignored: nothing of OpenStack or Calico writes such, so find out who does');
    if (keys === 0 && there) log.info('etcd holds no key any more that is no UTF-8');
    there = keys > 0;
  };
}
