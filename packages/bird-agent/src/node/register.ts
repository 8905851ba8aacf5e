// Writes this host's Node with compare-and-swap.
import { randomUUID } from 'node:crypto';
import { resourceKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import { type Registration, registerInNode } from './registration.ts';

/** The result of registering. */
export type Registered =
  | {
      /** `right` when there was nothing to write; `overtaken` when somebody else wrote meanwhile, so that the Node has to be read again; `contested` when it differs and `mayRewrite` forbids to write it. */
      readonly outcome: 'right' | 'written' | 'overtaken' | 'contested';
    }
  | { readonly outcome: 'refused'; readonly reason: string };

/**
 * Writes this host's Node if it differs. `wanted` is called after the Node was read, so that of two racing writers the later one uses the newer facts.
 * @param mayRewrite whether an existing Node may be written now
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
