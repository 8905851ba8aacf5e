// Brings the states of ports from etcd into Neutron: for each port that may have changed, compares its row with the reports of Felix, and writes the difference.
import { type Clock, type Logger, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import { decodeEndpointStatus, type EndpointStatus, endpointStatusKey } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import { noRowsQuestion, type PortRow } from '../rows.ts';
import type { Background } from '../sources.ts';
import type { Keys } from '../sync/plan.ts';
import { readKeys } from '../sync/sync.ts';
import type { Slot } from '../translate/endpoint.ts';
import { portStatusUpdate, type Reported, statusSlots, upAtDestination } from './ports.ts';

/** Writes ports' statuses to Neutron. */
export type PortStatusLoop = {
  /** Schedules a comparison of the port, because its row or its reports may have changed. */
  look(port: string): void;
  /** Records that a host's report of a port has vanished, or has come (back). */
  vanished(port: string, host: string, gone: boolean): void;
  close(): Promise<void>;
};

/** What the loop works with. `threads` limits the concurrent looks. */
export type PortStatusOptions = {
  readonly etcd: Etcd;
  readonly keys: Keys;
  readonly source: Background;
  readonly threads: number;
  readonly log: Logger;
  readonly clock?: Clock;
};

const batchSize = 60;

/** Starts the loop. It looks at nothing until `look` is called. */
export function startPortStatusLoop({ etcd, keys, source, threads, log, clock = systemClock }: PortStatusOptions): PortStatusLoop {
  const dirty = new Set<string>();
  const vanishings = new Map<string, Set<string>>();
  /** The ports that were reported to Nova as up at their destination, with that host. */
  const told = new Map<string, string>();

  const keyOf = (port: string, { host, device }: Slot): string =>
    endpointStatusKey(keys.region, { host, orchestrator: 'openstack', workload: `${keys.namespace}/${device}`, endpoint: port });

  async function examine(ports: readonly string[]): Promise<void> {
    const { ports: rows } = await source.rows({ ...noRowsQuestion, ports });
    const found = await readKeys(
      etcd,
      rows.flatMap((row) => statusSlots(row).map((slot) => keyOf(row.id, slot))),
    );
    const statuses = new Map<string, EndpointStatus>();
    for (const [key, entry] of found) {
      const status = entry && decodeEndpointStatus(entry.value);
      if (status?.ok) statuses.set(key, status.value);
    }
    const left = [...rows];
    const failures: unknown[] = [];
    const work = async (): Promise<void> => {
      for (let row = left.pop(); row; row = left.pop()) {
        await settle(row, statuses).catch((error: unknown) => {
          failures.push(error);
          dirty.add((row as PortRow).id);
        });
      }
    };
    await Promise.all(Array.from({ length: threads }, work));
    const known = new Set(rows.map((row) => row.id));
    for (const port of ports) if (!known.has(port)) forget(port);
    if (failures.length > 0) throw failures[0];
  }

  async function settle(row: PortRow, statuses: ReadonlyMap<string, EndpointStatus>): Promise<void> {
    const reported: Reported = {
      at: (slot) => statuses.get(keyOf(row.id, slot)),
      vanished: (host) => vanishings.get(row.id)?.has(host) ?? false,
    };
    const update = portStatusUpdate(row, reported);
    if (update) {
      await source.setPortStatus(update);
      log.info({ port: update.port, host: update.host, status: update.status }, 'wrote the status of a port to Neutron');
      dirty.add(row.id); // compared once more after the write: another status may have been reported meanwhile
    }
    const destination = upAtDestination(row, reported);
    if (destination === undefined) told.delete(row.id);
    else if (told.get(row.id) !== destination) {
      await source.notifyPortActive(row.id);
      told.set(row.id, destination);
      log.info({ port: row.id, host: destination }, 'told Nova that the port is up at its destination host');
    }
  }

  function forget(port: string): void {
    vanishings.delete(port);
    told.delete(port);
  }

  let inTrouble = false;
  const loop: Loop = startLoop({
    run: async () => {
      while (dirty.size > 0) {
        const some = [...dirty].slice(0, batchSize);
        for (const port of some) dirty.delete(port);
        try {
          await examine(some);
        } catch (error) {
          for (const port of some) dirty.add(port);
          throw error;
        }
      }
      inTrouble = false;
      return undefined;
    },
    onFailure: (error) => {
      if (!inTrouble) log.warn({ err: error, ports: dirty.size }, 'port states do not reach Neutron, so Nova waits; retrying; see the rows process and etcd');
      inTrouble = true;
    },
    clock,
  });

  return {
    look(port) {
      dirty.add(port);
      loop.wake();
    },
    vanished(port, host, gone) {
      const hosts = vanishings.get(port) ?? new Set();
      if (gone) hosts.add(host);
      else hosts.delete(host);
      if (hosts.size > 0) vanishings.set(port, hosts);
      else vanishings.delete(port);
    },
    close: () => loop.close(),
  };
}
