// A resync without the daemon: starts a rows process of its own, on a socket of its own.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, StartError, systemClock } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { createComparison } from './comparison.ts';
import type { Options } from './option-table.ts';
import { type ResyncHow, type ResyncSummary, resync } from './resync.ts';
import type { ResyncScope } from './resync-scope.ts';
import { startRowsProcess } from './rows-process.ts';
import { createBackgroundSources } from './sources.ts';
import type { Change } from './sync/change.ts';
import { Refusal } from './wire/peer.ts';
import { listen } from './wire/server.ts';

const rowsTimeoutMs = 30_000;
/** How long the rows process may take to load Neutron. */
const rowsPatienceMs = 60_000;
/** The pause before the second check of written objects (`sync/journal.ts` explains it). */
const secondLookMs = 1000;
/** How many objects are checked together in the second check. */
const batchSize = 40;

/**
 * Compares etcd with Neutron like the daemon. It may run beside daemons, because each write compares the revisions that it has read.
 * @throws StartError or EtcdError when it cannot run
 */
export async function resyncAlone(options: Options, scope: ResyncScope, how: ResyncHow, log: Logger): Promise<ResyncSummary> {
  if (options.rowsCommand.length === 0)
    throw new StartError('NO_ROWS_COMMAND', 'neutron_rows_command is empty, so Neutron cannot be asked; start calico-neutron-driver');
  const clock = systemClock;
  const directory = mkdtempSync(join(tmpdir(), 'calico-resync-'));
  const socketPath = join(directory, 'socket');
  const overrides = join(directory, 'neutron.conf');
  writeFileSync(overrides, `[calico]\nneutron_driver_socket = ${socketPath}\n`);
  const etcd = connectEtcd({ ...options.etcd, onWarning: (sentence) => log.warn(sentence) });
  const background = createBackgroundSources(rowsTimeoutMs, rowsPatienceMs, clock);
  const server = await listen(socketPath, {
    onReady: (peer) => peer.role === 'rows' && background.add(peer),
    onCall: () => Promise.reject(new Refusal('NO_SUCH_METHOD', 'calico-resync takes no calls')),
    onGone: (peer) => background.remove(peer),
    onMisbehaved: (reason) => log.warn({ reason }, 'a connection was closed'),
  });
  const rowsProcess = startRowsProcess(options.rowsCommand, [...options.rowsConfigFiles, overrides], log, clock);
  try {
    const { source } = background;
    const comparison = createComparison({ options, etcd, source, log, clock });
    const wrote: Change[] = [];
    const summary = await resync(
      {
        ...comparison.resync,
        onWrote: (changes) => void wrote.push(...changes),
        onFailed: (change, error) =>
          log.error(
            { err: error, kind: change.kind, id: change.id },
            'etcd refused the value of an object of Neutron, so hosts keep its former state; other objects are not affected; correct the object in Neutron',
          ),
        onWarning: (object, what) => log.warn({ object }, what),
      },
      scope,
      how,
    );
    if (wrote.length > 0) await clock.pause(secondLookMs);
    const direct = wrote.filter((change) => change.kind !== 'ports_of');
    for (const change of wrote) {
      if (change.kind === 'ports_of') for (const id of await source.portsOf(change.of, change.id)) direct.push({ kind: 'port', id, slots: [] });
    }
    for (let start = 0; start < direct.length; start += batchSize)
      await comparison.sync(direct.slice(start, start + batchSize), source, clock.nowMs() + options.etcdTimeoutMs);
    return summary;
  } finally {
    background.close();
    await server.close();
    await rowsProcess.close();
    await etcd.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
