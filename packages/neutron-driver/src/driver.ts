// The daemon: wires Neutron's announcements, the journal, etcd, resync and status.
import { join } from 'node:path';
import { type Logger, openLog, type Running } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { announcements } from './announcements.ts';
import { startJournalLoop } from './background.ts';
import type { Options } from './options.ts';
import { projectNames } from './projects.ts';
import { keepRowsProcess } from './rows-process.ts';
import { backgroundSources, sourceOf } from './sources.ts';
import { openJournal } from './sync/journal.ts';
import { keysOf, type Settings } from './sync/plan.ts';
import { createSync } from './sync/sync.ts';
import { type Peer, Refusal } from './wire/peer.ts';
import { listen } from './wire/server.ts';

/** A question for rows: longer than Neutron's own retries of a database that changes its primary. */
const rowsTimeoutMs = 30_000;
const rowsPatienceMs = 15_000;

export async function startDriver(options: Options): Promise<Running> {
  const { log, reopen, flush } = openLog({
    name: 'neutron-driver',
    screen: options.log.screen,
    ...(options.log.file !== undefined && { file: { path: options.log.file, severity: options.log.screen } }),
  });
  const daemon = await start(options, log);
  return {
    log,
    reload: reopen,
    close: async () => {
      await daemon.close();
      flush();
    },
  };
}

async function start(options: Options, log: Logger): Promise<{ close(): Promise<void> }> {
  const settings: Settings = { keys: keysOf(options.region), qos: options.qos };
  const etcd = connectEtcd(options.etcd);
  const journal = openJournal({ file: join(options.stateDirectory, 'journal') });
  const background = backgroundSources(rowsTimeoutMs, rowsPatienceMs);
  const projects = projectNames({
    max: options.projectNameCacheMax,
    onFailure: (error) => log.warn({ err: error }, 'Keystone could not be asked for the names of projects; endpoints go without them meanwhile'),
  });
  const sync = createSync({ etcd, settings, projects });
  const announced = announcements({
    etcd,
    sync,
    journal,
    sourceOf: (peer) => sourceOf(peer, rowsTimeoutMs),
    etcdTimeoutSeconds: options.etcdTimeoutSeconds,
    log,
    onJournal: () => loop.wake(),
  });
  const loop = startJournalLoop({ journal, sync, source: background.source, log, onSucceeded: announced.succeeded, onFailed: announced.failed });

  async function onCall(peer: Peer, method: string, params: unknown): Promise<unknown> {
    switch (method) {
      case 'before':
        return announced.before(peer, params);
      case 'after':
        return announced.after(peer, params);
      default:
        throw new Refusal('NO_SUCH_METHOD', `no such method: ${method}`);
    }
  }
  const server = await listen(options.socketPath, {
    onReady: (peer) => {
      log.debug({ pid: peer.pid, role: peer.role }, 'connected');
      if (peer.role === 'rows') {
        background.add(peer);
        log.info({ pid: peer.pid }, 'the rows process is there');
        loop.wake();
      }
    },
    onCall,
    onGone: (peer) => {
      if (peer.role === 'rows') background.remove(peer);
      announced.gone(peer);
    },
    onMisbehaved: (reason) => log.warn({ reason }, 'a connection was closed'),
  });
  const rowsProcess = keepRowsProcess(options.rowsCommand, options.rowsConfigFiles, log);
  log.info({ socket: options.socketPath, etcd: options.etcd.endpoints.join(','), region: options.region ?? '', journal: journal.size }, 'started');
  loop.wake();
  return {
    close: async () => {
      await server.close();
      await rowsProcess.close();
      await loop.close();
      journal.close();
      await etcd.close();
    },
  };
}
