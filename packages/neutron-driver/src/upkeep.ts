// Keeps the cluster's records in etcd, and runs resync: at start, and when an operator requests it.
import { backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import type { Etcd } from '@calico-openstack/etcd';
import { ensureClusterRecords } from './cluster.ts';
import { type ResyncHow, type ResyncOptions, type ResyncSummary, resync } from './resync.ts';
import type { ResyncScope } from './resync-scope.ts';

/** What upkeep works with. When `startupResync` is true, a resync runs at the start. */
export type UpkeepOptions = {
  readonly etcd: Etcd;
  readonly startupResync: boolean;
  readonly resync: ResyncOptions;
  readonly log: Logger;
  readonly clock?: Pick<Clock, 'pause'>;
};

/** Runs resyncs. */
export interface Upkeep {
  /** Runs a resync. Only one runs at a time: a call during a resync waits for its end. */
  resync(scope?: ResyncScope, how?: ResyncHow): Promise<ResyncSummary>;
  /** Called when etcd was restored or replaced. Runs a full resync, whatever is configured for the start. */
  replaced(reason: string): void;
  close(): Promise<void>;
}

const backoff = { firstMs: 1000, maxMs: 60_000 };

/** Starts upkeep: writes the cluster's records, and runs the first resync where configured. */
export function startUpkeep({ etcd, startupResync, resync: options, log, clock = systemClock }: UpkeepOptions): Upkeep {
  const stop = new AbortController();
  let last: Promise<unknown> = Promise.resolve();

  function run(scope?: ResyncScope, how?: ResyncHow): Promise<ResyncSummary> {
    const next = last.then(async () => {
      const summary = await resync(options, scope, how);
      const { would_be_refused: _listed, ...counts } = summary; // each of these was logged
      log[summary.ok ? 'info' : 'error'](
        { summary: counts },
        summary.ok ? 'resync finished: etcd agrees with Neutron' : 'resync failed, so etcd may differ from Neutron; see the error in the summary',
      );
      return summary;
    });
    last = next;
    return next;
  }

  /** Repeats `work` until it returns true, for ever: as long as the datastore is not marked ready, every Felix that starts waits. `trouble` is logged once. */
  async function untilDone(trouble: string, work: () => Promise<boolean>): Promise<void> {
    for (let failures = 1; !stop.signal.aborted; failures += 1) {
      try {
        if (await work()) return;
      } catch (error) {
        if (failures === 1 && !stop.signal.aborted) log.warn({ err: error }, trouble);
      }
      await clock.pause(backoffMs(backoff, failures), stop.signal);
    }
  }

  const records = (ready: boolean): Promise<void> =>
    untilDone(
      "the cluster's records could not be written to etcd, and a Felix that starts waits until they are; retrying; see that etcd runs and takes writes",
      async () => {
        await ensureClusterRecords(etcd, ready);
        return true;
      },
    );

  async function fill(whole: boolean): Promise<void> {
    // Before a resync the datastore is not marked ready, or a Felix that starts now would take a half-filled datastore for the whole.
    await records(!whole);
    if (!whole) return;
    // Objects that etcd refuses are in the journal and in the log. They must not keep the whole cluster waiting.
    await untilDone(
      'resync could not run, and a Felix that starts waits until it has; retrying; see that the rows process and etcd run',
      async () => (await run()).complete,
    );
    if (!stop.signal.aborted) await records(true);
  }

  let filling = fill(startupResync);

  return {
    resync: run,
    replaced(reason) {
      log.error({ reason }, 'etcd was restored or replaced and may hold stale values: a full resync compares all of it with Neutron');
      options.rightPorts.forget(); // etcd's revisions may count anew
      filling = filling.then(() => fill(true));
    },
    close: async () => {
      stop.abort();
      await filling;
    },
  };
}
