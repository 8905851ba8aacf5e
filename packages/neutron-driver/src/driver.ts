// The daemon: wires Neutron's announcements, the journal, etcd, resync and status.
import { join } from 'node:path';
import { type Complaint, fileReason, type Logger, logComplaints, openLog, type Running, StartError } from '@calico-openstack/agent';
import { electionKey, legacyElectionKey } from '@calico-openstack/datamodel';
import { connectEtcd, elect } from '@calico-openstack/etcd';
import { addressChecks } from './addressing/check.ts';
import { knownInfrastructure } from './addressing/known-infrastructure.ts';
import { announcements } from './announcements.ts';
import { startJournalLoop } from './background.ts';
import { startCompaction } from './compaction.ts';
import { watchHistory } from './history.ts';
import type { Options } from './option-table.ts';
import { projectNames } from './projects.ts';
import { keepRowsProcess } from './rows-process.ts';
import { backgroundSources, sourceOf } from './sources.ts';
import { startAgentReports } from './status/agents.ts';
import { followStatus } from './status/follow.ts';
import { startPortStatusLoop } from './status/port-loop.ts';
import { type Journal, type JournalOptions, openJournal } from './sync/journal.ts';
import { keysOf, type Settings } from './sync/plan.ts';
import { createSync } from './sync/sync.ts';
import { startUpkeep } from './upkeep.ts';
import { type Peer, Refusal } from './wire/peer.ts';
import { listen } from './wire/server.ts';

/** A question for rows: longer than Neutron's own retries of a database that changes its primary. */
const rowsTimeoutMs = 30_000;
const rowsPatienceMs = 15_000;

/** @param complaints about the options, to be reported */
export async function startDriver(options: Options, complaints: readonly Complaint[] = []): Promise<Running> {
  const { log, reopen } = openLog({ name: 'neutron-driver', ...options.log });
  logComplaints(log, complaints);
  const daemon = await start(options, log);
  return {
    log,
    reload: reopen,
    close: () => daemon.close(),
  };
}

/** @throws StartError */
function journalIn(directory: string, options: JournalOptions): Journal {
  const file = join(directory, 'journal');
  try {
    return openJournal({ ...options, file });
  } catch (error) {
    throw new StartError(
      'JOURNAL_UNUSABLE',
      `cannot keep a journal at ${file}: ${fileReason(error)}; see that neutron_driver_state_dir can be written and has room`,
      {
        cause: error,
      },
    );
  }
}

async function start(options: Options, log: Logger): Promise<{ close(): Promise<void> }> {
  const settings: Settings = { keys: keysOf(options.region), qos: options.qos };
  const history = watchHistory(connectEtcd(options.etcd), (reason) => upkeep.replaced(reason));
  const { etcd } = history;
  const journal = journalIn(options.stateDirectory, {
    onUnwritable: (error) => log.error({ err: error }, 'the journal cannot be written: changes are refused until it can be'),
    onRecovered: () => log.info({}, 'the journal can be written again'),
  });
  if (journal.unreadable > 0)
    log.error({ lines: journal.unreadable }, 'lines of the journal cannot be read, so that notes may be lost: all of etcd is compared with Neutron');
  const background = backgroundSources(rowsTimeoutMs, rowsPatienceMs);
  const projects = projectNames({
    max: options.projectNameCacheMax,
    onFailure: (error) => log.warn({ err: error }, 'Keystone could not be asked for the names of projects; endpoints go without them meanwhile'),
  });
  const infrastructure = knownInfrastructure({
    etcd,
    endpoints: options.etcd.endpoints,
    onFailure: (what, error) => log.warn({ err: error }, what),
  });
  const policy = options.addresses;
  const sync = createSync({ etcd, settings, projects, addresses: async () => ({ policy, infrastructure: await infrastructure.recent() }) });
  const announced = announcements({
    etcd,
    keys: settings.keys,
    sync,
    journal,
    checks: addressChecks({ policy, infrastructure, log }),
    sourceOf: (peer) => sourceOf(peer, rowsTimeoutMs),
    etcdTimeoutSeconds: options.etcdTimeoutSeconds,
    log,
    onJournal: () => loop.wake(),
    onPort: (port) => ports.look(port),
  });
  const loop = startJournalLoop({ journal, sync, source: background.source, log, onSucceeded: announced.succeeded });

  const ports = startPortStatusLoop({ etcd, keys: settings.keys, source: background.source, threads: options.portStatusThreads, log });
  const agents = startAgentReports({ source: background.source, everySeconds: options.agentReportSeconds, log });
  const upkeep = startUpkeep({
    etcd,
    startupResync: options.startupResync || journal.unreadable > 0,
    resync: {
      etcd,
      source: background.source,
      sync,
      settings,
      projects,
      addresses: async () => ({ policy, infrastructure: await infrastructure.fresh() }),
      onWrote: (changes) => {
        journal.add(changes);
        loop.wake();
      },
      onFailed: (change, error) => {
        log.error(
          { err: error, kind: change.kind, id: change.id },
          'etcd does not take what Neutron says of an object; the others go on, and it is tried again',
        );
        journal.add([change]);
        loop.wake();
      },
      onWarning: (object, what) => log.warn({ object }, what),
    },
    log,
  });
  let following: { close(): void } | undefined;

  async function onCall(peer: Peer, method: string, params: unknown): Promise<unknown> {
    switch (method) {
      case 'before':
        return announced.before(peer, params);
      case 'after':
        return announced.after(peer, params);
      case 'resync':
        return upkeep.resync();
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
      if (peer.role === 'rows') {
        background.remove(peer);
        rowsProcess.lost(peer.pid);
      }
      announced.gone(peer);
    },
    onMisbehaved: (reason) => log.warn({ reason }, 'a connection was closed'),
  });
  const election = elect(etcd, {
    keys: [electionKey(options.region), legacyElectionKey],
    value: `${options.serverName}:${process.pid}`,
    onElected: () => {
      log.info({}, 'elected: states of ports and agents go to Neutron from here');
      following = followStatus({ etcd, region: options.region, ports, agents, log, onReadAnew: (reason) => upkeep.replaced(reason) });
      compaction.wake();
    },
    onLost: (reason) => {
      log.warn({ reason }, 'no longer elected');
      following?.close();
      following = undefined;
    },
    onWaiting: (leader) => log.info({ leader }, 'another driver is elected'),
    onError: (error) => log.debug({ err: error }, 'the election waits for etcd'),
  });
  const compaction = startCompaction({
    etcd,
    periodMinutes: options.compactionPeriodMinutes,
    minRevisions: options.compactionMinRevisions,
    elected: () => election.leading,
    log,
  });
  const rowsProcess = keepRowsProcess(options.rowsCommand, options.rowsConfigFiles, log);
  log.info({ socket: options.socketPath, etcd: options.etcd.endpoints.join(','), region: options.region ?? '', journal: journal.size }, 'started');
  loop.wake();
  return {
    close: async () => {
      background.close();
      await server.close();
      await rowsProcess.close();
      following?.close();
      await compaction.close();
      await election.close();
      await history.loop.close();
      await upkeep.close();
      await Promise.all([ports.close(), agents.close()]);
      await loop.close();
      journal.close();
      await etcd.close();
    },
  };
}
