// Writes this host's Node by compare-and-swap.
import { randomUUID } from 'node:crypto';
import { resourceKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import { type Registration, registerInNode } from './registration.ts';

export type Registered =
  | {
      readonly outcome:
        | 'right'
        | 'written' /** Somebody else wrote meanwhile: look again. */
        | 'overtaken' /** It is not right, and `mayRewrite` forbids to write. */
        | 'contested';
    }
  | { readonly outcome: 'refused'; readonly reason: string };

/**
 * Makes this host's Node say what the host is. `wanted` is asked after the Node was read, so that of two writers the later knew the newer facts.
 * @param mayRewrite whether a Node that is there may be written now
 * Rejects with EtcdError.
 */
export async function registerNode(
  etcd: Etcd,
  name: string,
  wanted: () => Registration,
  now: () => Date = () => new Date(),
  mayRewrite: (wanted: Registration) => boolean = () => true,
): Promise<Registered> {
  const key = resourceKey({ plural: 'nodes', name });
  const { found } = await etcd.get(key);
  const registration = wanted();
  const value = registerInNode(found?.value, name, registration, () => ({ uid: randomUUID(), creationTimestamp: rfc3339Seconds(now()) }));
  if (!value.ok) return { outcome: 'refused', reason: value.reason };
  if (value.value === undefined) return { outcome: 'right' };
  if (found && !mayRewrite(registration)) return { outcome: 'contested' };
  const { succeeded } = await etcd.transact([{ key, modRevision: found?.modRevision ?? 0 }], [{ put: key, value: value.value }]);
  return { outcome: succeeded ? 'written' : 'overtaken' };
}
