// Keeps the cluster's records in etcd, and runs resync: at start, and when an operator requests it.
import { backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import type { Etcd } from '@calico-openstack/etcd';
import { ensureClusterRecords } from './cluster.ts';
import { type ResyncOptions, type ResyncSummary, resync } from './resync.ts';
import type { ResyncScope } from './resync-scope.ts';

/** What upkeep works with. `startupResync` tells whether a resync runs at start. */
export type UpkeepOptions = {
  readonly etcd: Etcd;
  readonly startupResync: boolean;
  readonly resync: ResyncOptions;
  readonly log: Logger;
  readonly clock?: Pick<Clock, 'pause'>;
};

/** Runs resyncs. */
export interface Upkeep {
  /** Runs a resync. Only one runs at a time: a call during one is run after it. */
  resync(scope?: ResyncScope): Promise<ResyncSummary>;
  /** etcd was restored or replaced: runs a full resync, whatever is configured for the start. */
  replaced(reason: string): void;
  close(): Promise<void>;
}

const backoff = { firstMs: 1000, maxMs: 60_000 };

/** Starts upkeep: writes the cluster's records, and runs the first resync where configured. */
export function startUpkeep({ etcd, startupResync, resync: options, log, clock = systemClock }: UpkeepOptions): Upkeep {
  const stop = new AbortController();
  let last: Promise<unknown> = Promise.resolve();

  function run(scope?: ResyncScope): Promise<ResyncSummary> {
    const next = last.then(async () => {
      const summary = await resync(options, scope);
      const { would_be_refused: _listed, ...counts } = summary; // each has had its own line
      log[summary.ok ? 'info' : 'error']({ summary: counts }, summary.ok ? 'resync finished' : 'resync failed');
      return summary;
    });
    last = next;
    return next;
  }

  /** Tries for ever: a datastore that is not called ready keeps every Felix waiting. */
  async function untilDone(what: string, work: () => Promise<boolean>): Promise<void> {
    for (let failures = 1; !stop.signal.aborted; failures += 1) {
      try {
        if (await work()) return;
      } catch (error) {
        if (failures === 1 && !stop.signal.aborted) log.warn({ err: error }, `${what}: tried again and again`);
      }
      await clock.pause(backoffMs(backoff, failures), stop.signal);
    }
  }

  const records = (ready: boolean): Promise<void> =>
    untilDone("the cluster's records could not be written", async () => {
      await ensureClusterRecords(etcd, ready);
      return true;
    });

  async function fill(whole: boolean): Promise<void> {
    // Without yet saying that it is ready: a Felix that starts now must not take a half-filled datastore for the whole.
    await records(!whole);
    if (!whole) return;
    // What cannot be written is in the journal, and in the log. It must not keep the whole cluster waiting.
    await untilDone('resync could not be run', async () => (await run()).complete);
    if (!stop.signal.aborted) await records(true);
  }

  let filling = fill(startupResync);

  return {
    resync: run,
    replaced(reason) {
      log.error({ reason }, 'etcd is not what it was: all of it is compared with Neutron');
      filling = filling.then(() => fill(true));
    },
    close: async () => {
      stop.abort();
      await filling;
    },
  };
}
