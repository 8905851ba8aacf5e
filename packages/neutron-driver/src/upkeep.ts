// The records of the cluster, and resync: at start, and when an operator asks.
import { backoffMs, type Logger, pause } from '@calico-openstack/agent';
import type { Etcd } from '@calico-openstack/etcd';
import { ensureClusterRecords } from './cluster.ts';
import { type ResyncOptions, type ResyncSummary, resync } from './resync.ts';

export type UpkeepOptions = { readonly etcd: Etcd; readonly startupResync: boolean; readonly resync: ResyncOptions; readonly log: Logger };

export interface Upkeep {
  /** One at a time: who asks while one runs gets the next one's summary. */
  resync(): Promise<ResyncSummary>;
  close(): Promise<void>;
}

const backoff = { firstMs: 1000, maxMs: 60_000 };

export function startUpkeep({ etcd, startupResync, resync: options, log }: UpkeepOptions): Upkeep {
  const stop = new AbortController();
  let last: Promise<unknown> = Promise.resolve();

  function run(): Promise<ResyncSummary> {
    const next = last.then(async () => {
      const summary = await resync(options);
      log[summary.ok ? 'info' : 'error']({ summary }, summary.ok ? 'resync finished' : 'resync failed');
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
      await pause(backoffMs(backoff, failures), stop.signal);
    }
  }

  const started = (async () => {
    // Without yet saying that it is ready: a Felix that starts now must not take a half-filled datastore for the whole.
    await untilDone("the cluster's records could not be written", async () => {
      await ensureClusterRecords(etcd, !startupResync);
      return true;
    });
    if (!startupResync) return;
    await untilDone('resync could not be run', async () => (await run()).ok);
    if (stop.signal.aborted) return;
    await untilDone("the cluster's records could not be written", async () => {
      await ensureClusterRecords(etcd, true);
      return true;
    });
  })();

  return {
    resync: run,
    close: async () => {
      stop.abort();
      await started;
    },
  };
}
