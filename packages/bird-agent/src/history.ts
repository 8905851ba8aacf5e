// What a resource was before a slip was made in it, from etcd's own history: for an agent that has never seen it otherwise, on a host that is new.
import { type Change, type Etcd, EtcdError, type KeyValue } from '@calico-openstack/etcd';
import type { Understood } from './understood.ts';

/** Whoever needs more attempts is not making a slip. */
const mostSteps = 20;

/**
 * Shows the former values of a key to `take`, the newest first, until one is taken, none is left of this resource's life, or etcd has forgotten them (Neutron's driver keeps at least an
 * hour of history).
 * @param take whether that value can stand for the one that is there now
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

/** undefined: etcd has forgotten it. */
async function valueAt(etcd: Etcd, key: string, revision: number): Promise<KeyValue | undefined> {
  try {
    const { found } = await etcd.range(key, { revision });
    return found.find((each) => each.key === key);
  } catch (error) {
    if (error instanceof EtcdError && error.code === 'ETCD_COMPACTED') return undefined;
    throw error;
  }
}
