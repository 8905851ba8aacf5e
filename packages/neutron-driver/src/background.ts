// Processes the journal: synchronises the objects whose changes are due, with rows from a rows process.
import { type Clock, type Logger, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import { isTransient } from '@calico-openstack/etcd';
import type { Background } from './sources.ts';
import type { Change } from './sync/change.ts';
import type { Journal, Look } from './sync/journal.ts';
import type { Sync, SyncResult } from './sync/sync.ts';
import { WireError } from './wire/peer.ts';

/** What the loop works with. */
export type JournalLoopOptions = {
  readonly journal: Journal;
  readonly sync: Sync;
  readonly source: Background;
  readonly log: Logger;
  readonly onSucceeded: (result: SyncResult) => void;
  /** Called with a port whose floating IPs may have changed. */
  readonly onPort: (port: string) => void;
  readonly clock?: Clock;
};

const batchSize = 40;
const deadlineMs = 60_000;

/** Starts the loop over the journal. */
export function startJournalLoop({ journal, sync, source, log, onSucceeded, onPort, clock = systemClock }: JournalLoopOptions): Loop {
  let inTrouble = false;

  async function expand(look: Look, change: Extract<Change, { readonly kind: 'ports_of' }>): Promise<void> {
    const ports = await source.portsOf(change.of, change.id);
    journal.add(ports.map((id) => ({ kind: 'port', id, slots: [] })));
    journal.done([look], []);
    if (change.of === 'pair_holders') for (const port of ports) onPort(port);
  }

  async function examine(looks: readonly Look[]): Promise<void> {
    const result = await sync(
      looks.map((look) => look.change),
      source,
      clock.nowMs() + deadlineMs,
    );
    onSucceeded(result);
    journal.add(result.followUps);
    if (result.wrote.length > 0)
      log.info({ objects: result.wrote.length, puts: result.puts, deletes: result.deletes }, 'wrote changed objects of Neutron to etcd');
    journal.done(looks, result.wrote, result.unnamed);
  }

  /** Runs `work` for these looks. Each look is handed back to the journal, whether the work succeeds or fails. Returns whether it succeeded. */
  async function settle(looks: readonly Look[], work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      if (inTrouble) log.info({ left: journal.size }, 'the journal is processed again: changes of Neutron reach etcd');
      inTrouble = false;
      return true;
    } catch (error) {
      if (looks.length > 1 && !isTransient(error) && !(error instanceof WireError)) {
        // One of the objects is at fault. It must not hold up the others, so each is handled by itself.
        for (const look of looks) await settle([look], () => examine([look]));
        return true;
      }
      journal.failed(looks);
      if (!inTrouble)
        log.warn(
          { err: error, objects: journal.size },
          'changes of Neutron have not reached etcd, so hosts keep their former state; the journal keeps the changes and they are retried; see that etcd and the rows process run',
        );
      inTrouble = true;
      return false;
    }
  }

  return startLoop({
    run: async () => {
      for (let looks = journal.take(batchSize); looks.length > 0; looks = journal.take(batchSize)) {
        const direct = looks.filter((look) => look.change.kind !== 'ports_of');
        let well = direct.length === 0 || (await settle(direct, () => examine(direct)));
        for (const look of looks) {
          const { change } = look;
          if (change.kind === 'ports_of') well = (await settle([look], () => expand(look, change))) && well;
        }
        if (!well) break;
      }
      return journal.restMs;
    },
    onFailure: (error) => log.error({ err: error }, 'a fault of the driver: the journal could not be processed; retrying; please report it with this error'),
    clock,
  });
}
