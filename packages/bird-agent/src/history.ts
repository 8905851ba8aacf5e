// Finds a resource's last valid value in etcd's history, for an agent on a new host, which has never seen that value.
import { type Change, type Etcd, EtcdError, type KeyValue } from '@calico-openstack/etcd';
import type { Understood } from './understood.ts';

/** How many earlier values are tried. */
const mostSteps = 20;

/**
 * Passes the former values of a key to `take`, newest first, until it accepts one, the resource has no earlier value, or etcd has compacted them (Neutron's driver keeps at least an
 * hour of history).
 * @param take returns whether the former value can replace the present one
 * Rejects with EtcdError.
 */
export async function recallFormer(etcd: Etcd, key: string, take: (now: Change, former: Understood) => boolean): Promise<void> {
  const { found: now } = await etcd.get(key);
  let each = now;
  for (let steps = 0; now && each && each.modRevision > each.createRevision && steps < mostSteps; steps += 1) {
    each = await valueAt(etcd, key, each.modRevision - 1);
    if (each && take(now, each)) return;
  }
}

/** The value at a revision; undefined when that was compacted. */
async function valueAt(etcd: Etcd, key: string, revision: number): Promise<KeyValue | undefined> {
  try {
    const { found } = await etcd.range(key, { revision });
    return found.find((each) => each.key === key);
  } catch (error) {
    if (error instanceof EtcdError && error.code === 'ETCD_COMPACTED') return undefined;
    throw error;
  }
}
