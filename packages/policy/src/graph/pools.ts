// IP pools, by prefix. Of two pools with the same prefix, the one with the lower name counts.
import type { IpPool } from '@calico-openstack/datamodel';
import { Claims } from './claims.ts';
import { Outbox } from './outbox.ts';

/** The IP pools. */
export class Pools {
  readonly #pools = new Map<string, IpPool>();
  readonly #claims = new Claims<string>();
  readonly #outbox = new Outbox<string, IpPool>();

  /** Sets a pool; undefined removes it. */
  set(name: string, pool: IpPool | undefined): void {
    const before = this.#pools.get(name);
    if (pool) this.#pools.set(name, pool);
    else this.#pools.delete(name);
    this.#claims.set(name, new Map(pool ? [[pool.cidr, { kind: 'fixed', createdMs: 0, id: name }]] : []));
    for (const cidr of new Set([before?.cidr, pool?.cidr])) {
      if (cidr === undefined) continue;
      const owner = this.#claims.owner(cidr);
      this.#outbox.put(cidr, owner === undefined ? undefined : this.#pools.get(owner));
    }
  }

  /** The pools that changed since the last call, by prefix. */
  take(): Map<string, IpPool | undefined> {
    return this.#outbox.take();
  }
}
