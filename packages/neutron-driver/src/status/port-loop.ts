// Brings the states of ports from etcd into Neutron: for each port that may have changed, compares its row with the reports of Felix, and writes the difference.
import { type Clock, type Logger, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import { decodeEndpointStatus } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import { noRowsQuestion, type PortRow, type Rows } from '../rows.ts';
import type { Background, FloatingIpUpdate } from '../sources.ts';
import type { Keys } from '../sync/plan.ts';
import { readKeys } from '../sync/sync.ts';
import type { Slot } from '../translate/endpoint.ts';
import { BoundPorts, statusKey } from './bound-ports.ts';
import { floatingIpUpdates, portStatusUpdate, type Reported, silentDestination, statusSlots, upAtDestination } from './ports.ts';
import { Unreported } from './unreported.ts';
import { type Vanished, type Vanishing, Vanishings, vanishingOf } from './vanishings.ts';
import { WaitingPorts } from './waiting-ports.ts';

/** Writes ports' statuses to Neutron. */
export type PortStatusLoop = {
  /** Schedules a comparison of the port, because its row or its reports may have changed. */
  look(port: string): void;
  /** Schedules a comparison of a port that was just bound, if it has a report at one of these places: it may have been there before. Most ports have none, and their rows need not be read. */
  bound(port: string, slots: readonly Slot[]): void;
  /** Records that a floating IP belongs to no port any more. */
  freed(floatingIp: string): void;
  /** Records that a report of a port has vanished, with the revision of that report; undefined when the report exists again. */
  vanished(port: string, key: string, reportedAt: number | undefined): void;
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
  /** The migrations whose destinations have not reported the port. They are kept current here. */
  readonly unreported?: Unreported;
};

/** For how long rows and reports are good enough to write from. A daemon that was stopped for longer reads them again, because another one may have written newer statuses meanwhile. */
const freshMs = 10_000;

/** Starts the loop. It reads no port before `look` is called. */
export function startPortStatusLoop(options: PortStatusOptions): PortStatusLoop {
  const { etcd, keys, source, threads, log, clock = systemClock, unreported = new Unreported(log, clock) } = options;
  const waiting = new WaitingPorts();
  const bound = new BoundPorts(etcd, keys);
  const freed = new Set<string>();
  const vanishings = new Vanishings();
  /** The ports that were reported to Nova as up at their destination, with that host. */
  const told = new Map<string, string>();

  async function examine(ports: readonly string[]): Promise<void> {
    const vanished = new Map(ports.map((port) => [port, vanishings.of(port)]));
    const answer = await source.rows({ ...noRowsQuestion, ports });
    const { ports: rows } = answer;
    const reports = await readReports(etcd, keys, rows, vanished);
    const isFresh = freshness(clock);
    const failures = await inParallel(rows, threads, (row) => settle(row, reports.get(row.id)!, answer, isFresh));
    const known = new Set(rows.map((row) => row.id));
    for (const port of ports) if (!known.has(port)) forget(port);
    if (failures.length > 0) throw failures[0];
  }

  async function settle(row: PortRow, reported: Reports, rows: Rows, isFresh: () => boolean): Promise<void> {
    if (!isFresh()) return void waiting.addAgain(row.id);
    const update = portStatusUpdate(row, reported);
    if (update) {
      await source.setPortStatus(update);
      log.info({ port: update.port, host: update.host, status: update.status }, 'wrote the status of a port to Neutron');
      waiting.addAgain(row.id); // compared once more after the write: another status may have been reported meanwhile
    } else for (const [key, reportedAt] of reported.rightlyVanished) vanishings.forget(row.id, key, reportedAt); // the port may return to the same host later
    for (const floatingIp of floatingIpUpdates(row, update?.status ?? row.status, rows)) if (isFresh()) await setFloatingIp(floatingIp);
    if (!isFresh()) return void waiting.addAgain(row.id);
    unreported.note(row.id, silentDestination(row, reported));
    const destination = upAtDestination(row, reported);
    if (destination === undefined) told.delete(row.id);
    else if (told.get(row.id) !== destination) {
      await source.notifyPortActive(row.id);
      told.set(row.id, destination);
      log.info({ port: row.id, host: destination }, 'told Nova that the port is up at its destination host');
    }
  }

  async function setFloatingIp(update: FloatingIpUpdate): Promise<void> {
    await source.setFloatingIpStatus(update);
    log.info({ floatingIp: update.id, port: update.port ?? '', status: update.status }, 'wrote the status of a floating IP to Neutron');
  }

  function forget(port: string): void {
    vanishings.forget(port);
    unreported.note(port, undefined);
    told.delete(port);
  }

  let inTrouble = false;
  const loop: Loop = startLoop({
    run: async () => {
      for (const port of unreported.due()) waiting.add(port);
      for (const [port, isReported] of await bound.take()) if (isReported || vanishings.of(port).size > 0) waiting.add(port);
      while (waiting.size > 0) {
        const some = waiting.take();
        try {
          await examine(some);
        } catch (error) {
          for (const port of some) waiting.addAgain(port);
          throw error;
        }
      }
      for (const id of freed) {
        await setFloatingIp({ id, port: undefined, status: 'DOWN' });
        freed.delete(id);
      }
      inTrouble = false;
      return unreported.restMs();
    },
    onFailure: (error) => {
      if (!inTrouble) log.warn({ err: error, ports: waiting.size }, 'port states do not reach Neutron, so Nova waits; retrying; see the rows process and etcd');
      inTrouble = true;
    },
    clock,
  });

  return {
    look(port) {
      waiting.add(port);
      loop.wake();
    },
    bound(port, slots) {
      bound.add(port, slots);
      loop.wake();
    },
    freed(floatingIp) {
      freed.add(floatingIp);
      loop.wake();
    },
    vanished(port, key, reportedAt) {
      if (reportedAt === undefined) vanishings.forget(port, key);
      else vanishings.add(port, key, reportedAt);
    },
    close: () => loop.close(),
  };
}

/** Does the work for each item, for so many at the same time. Returns the errors of those that failed. */
async function inParallel<T>(items: readonly T[], threads: number, work: (item: T) => Promise<void>): Promise<readonly unknown[]> {
  const left = [...items];
  const failed: unknown[] = [];
  const thread = async (): Promise<void> => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) {
      await work(item).catch((error: unknown) => void failed.push(error));
    }
  };
  await Promise.all(Array.from({ length: threads }, thread));
  return failed;
}

/** A function that returns whether what was read now may still be written from. */
function freshness(clock: Pick<Clock, 'steadyMs'>): () => boolean {
  const readAtMs = clock.steadyMs();
  return () => clock.steadyMs() - readAtMs <= freshMs;
}

/** The reports of one port, and the revisions, by key, of those that have vanished rightly. */
type Reports = Reported & { readonly rightlyVanished: Vanished };

/** Reads the reports of ports. @param vanished the reports that had vanished before, by port */
async function readReports(etcd: Etcd, keys: Keys, rows: readonly PortRow[], vanished: ReadonlyMap<string, Vanished>): Promise<ReadonlyMap<string, Reports>> {
  const asked = rows.flatMap((row) =>
    statusSlots(row).flatMap((slot) => {
      const key = statusKey(keys, slot, row.id);
      return vanished.get(row.id)?.has(key) ? [key, keys.endpoint(slot, row.id)] : [key];
    }),
  );
  const found = await readKeys(etcd, asked);
  return new Map(
    rows.map((row) => {
      const ofPort = vanished.get(row.id) ?? new Map<string, number>();
      const endpointKeys = new Map(statusSlots(row).map((slot) => [statusKey(keys, slot, row.id), keys.endpoint(slot, row.id)]));
      const judge = (key: string, reportedAt: number): Vanishing => vanishingOf(found.get(endpointKeys.get(key) ?? ''), reportedAt);
      return [
        row.id,
        {
          at(slot) {
            const entry = found.get(statusKey(keys, slot, row.id));
            const status = entry && decodeEndpointStatus(entry.value);
            return status?.ok ? status.value : undefined;
          },
          vanished(slot) {
            const key = statusKey(keys, slot, row.id);
            const reportedAt = ofPort.get(key);
            return reportedAt === undefined ? undefined : judge(key, reportedAt);
          },
          rightlyVanished: new Map([...ofPort].filter(([key, reportedAt]) => judge(key, reportedAt) === 'rightly')),
        },
      ];
    }),
  );
}
