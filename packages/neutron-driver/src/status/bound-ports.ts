// The ports that were just bound. Most of them have no report yet, and then their rows need not be read: a single read of etcd answers for all that wait.
import { endpointStatusKey } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import type { Keys } from '../sync/plan.ts';
import { readKeys } from '../sync/sync.ts';
import type { Slot } from '../translate/endpoint.ts';

/** The key of a port's report at a place. */
export const statusKey = (keys: Keys, { host, device }: Slot, port: string): string =>
  endpointStatusKey(keys.region, { host, orchestrator: 'openstack', workload: `${keys.namespace}/${device}`, endpoint: port });

/** Ports that were just bound, each once, with the places where they may have a report. */
export class BoundPorts {
  readonly #etcd: Pick<Etcd, 'transact'>;
  readonly #keys: Keys;
  readonly #slots = new Map<string, readonly Slot[]>();

  constructor(etcd: Pick<Etcd, 'transact'>, keys: Keys) {
    this.#etcd = etcd;
    this.#keys = keys;
  }

  /** Adds a port. */
  add(port: string, slots: readonly Slot[]): void {
    this.#slots.set(port, slots);
  }

  /** Takes out all ports, and returns for each whether it has a report. Rejects with EtcdError when that cannot be read; no port is taken out then. */
  async take(): Promise<ReadonlyMap<string, boolean>> {
    const some = [...this.#slots].map(([port, slots]) => ({ port, slots, asked: slots.map((slot) => statusKey(this.#keys, slot, port)) }));
    if (some.length === 0) return new Map();
    const found = await readKeys(
      this.#etcd,
      some.flatMap(({ asked }) => asked),
    );
    for (const { port, slots } of some) if (this.#slots.get(port) === slots) this.#slots.delete(port);
    return new Map(some.map(({ port, asked }) => [port, asked.some((key) => found.get(key) !== undefined)]));
  }
}
