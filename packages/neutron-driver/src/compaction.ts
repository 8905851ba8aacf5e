// Compacts etcd's history, so that it does not grow without end. Upstream's drivers do the same with the same keys, and take turns with this one.
import { type Clock, type Logger, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import { compactionLastKey, compactionTriggerKey } from '@calico-openstack/datamodel';
import { type Etcd, EtcdError, type KeyValue } from '@calico-openstack/etcd';

/** When to compact. */
export type CompactionOptions = {
  readonly etcd: Etcd;
  /** The time between compactions; 0 when there are none. */
  readonly periodMinutes: number;
  readonly minRevisions: number;
  /** Whether this driver is the elected one: only that one compacts. */
  readonly elected: () => boolean;
  readonly log: Logger;
  readonly clock?: Clock;
};

/** The result of `decideCompaction`. */
export type Decision = {
  /** The revision to compact; undefined when there is nothing to compact yet. */
  readonly compactTo: number | undefined;
  /** The revision to record as the last compacted one. */
  readonly last: number;
};

/** Decides up to which revision to compact. `last`: the revision that was compacted last, and the revision at which that was recorded. At least `minRevisions` and one period of history are kept. */
export function decideCompaction(revision: number, last: { readonly revision: number; readonly noted: number } | undefined, minRevisions: number): Decision {
  if (!last || last.revision > revision) return { compactTo: undefined, last: 0 }; // nothing was compacted yet, or the record comes from another etcd
  const target = revision - Math.max(minRevisions, revision - last.noted);
  return target > last.revision ? { compactTo: target, last: target } : { compactTo: undefined, last: last.revision };
}

const lookMs = 60_000;

/** Compacts periodically until the loop is closed. */
export function startCompaction({ etcd, periodMinutes, minRevisions, elected, log, clock = systemClock }: CompactionOptions): Loop {
  async function look(): Promise<void> {
    const trigger = await etcd.get(compactionTriggerKey);
    if (trigger.found && trigger.found.lease !== '0') return; // the last compaction was less than a period ago
    const last = await etcd.get(compactionLastKey);
    const decision = decideCompaction(last.revision, lastOf(last.found), minRevisions);
    if (decision.compactTo !== undefined) await compact(decision.compactTo);
    const lease = await etcd.grantLease(periodMinutes * 60);
    const unchanged = [trigger, last].map(({ found }, index) => ({
      key: index === 0 ? compactionTriggerKey : compactionLastKey,
      modRevision: found?.modRevision ?? 0,
    }));
    await etcd.transact(unchanged, [
      { put: compactionTriggerKey, value: String(process.pid), lease: lease.id },
      { put: compactionLastKey, value: String(decision.last) },
    ]);
  }

  async function compact(revision: number): Promise<void> {
    try {
      await etcd.compact(revision);
      log.info({ revision }, "compacted etcd's history up to this revision");
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code !== 'ETCD_COMPACTED') throw error; // somebody else has compacted further
    }
  }

  const loop = startLoop({
    run: async () => {
      if (periodMinutes === 0) return undefined;
      if (elected()) await look();
      return lookMs;
    },
    onFailure: (error) => log.debug({ err: error }, "compaction of etcd's history failed; retrying"),
    clock,
  });
  loop.wake();
  return loop;
}

function lastOf(found: KeyValue | undefined): { readonly revision: number; readonly noted: number } | undefined {
  const revision = found && Number(Buffer.from(found.value).toString());
  return found && revision !== undefined && Number.isSafeInteger(revision) && revision >= 0 ? { revision, noted: found.modRevision } : undefined;
}
