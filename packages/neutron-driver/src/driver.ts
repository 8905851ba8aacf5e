// The daemon: wires Neutron's announcements, the journal, etcd, resync and status.
import { join } from 'node:path';
import {
  type Clock,
  type Complaint,
  fileReason,
  type Logger,
  logComplaints,
  metricsPages,
  openLog,
  type Running,
  StartError,
  startPages,
  systemClock,
  version,
} from '@calico-openstack/agent';
import { connectEtcd, type Etcd } from '@calico-openstack/etcd';
import { createAddressChecks } from './addressing/check.ts';
import { createAnnouncements } from './announcements.ts';
import { startJournalLoop } from './background.ts';
import { createComparison } from './comparison.ts';
import { GivingWay } from './giving-way.ts';
import { watchHistory } from './history.ts';
import { driverMetrics } from './metrics.ts';
import type { Options } from './option-table.ts';
import type { ResyncOptions, ResyncProgress, ResyncSummary } from './resync.ts';
import { parseRequest } from './resync-scope.ts';
import { startRowsProcess } from './rows-process.ts';
import { createBackgroundSources, sourceOf } from './sources.ts';
import { createStatelessGroups } from './stateless-groups.ts';
import { startAgentReports } from './status/agents.ts';
import { startElected } from './status/elected.ts';
import { startPortStatusLoop } from './status/port-loop.ts';
import { Unreported } from './status/unreported.ts';
import { type Journal, openJournal } from './sync/journal.ts';
import { startUpkeep } from './upkeep.ts';
import { type Peer, type PeerEvents, Refusal } from './wire/peer.ts';
import { listen } from './wire/server.ts';

/** The time limit of a request for rows. It is longer than Neutron's own retries while a database changes its primary. */
const rowsTimeoutMs = 30_000;
/** How long a request waits for a rows process to connect. */
const rowsPatienceMs = 15_000;
const progressTimeoutMs = 10_000;

/**
 * Starts the daemon. Resolves when it listens.
 * @param complaints about the options, which are logged first
 * @throws StartError, EtcdError when the daemon cannot do its work here
 */
export async function startDriver(options: Options, complaints: readonly Complaint[] = []): Promise<Running> {
  const { log, reopen } = openLog({ name: 'neutron-driver', ...options.log });
  logComplaints(log, complaints);
  const daemon = await startDaemon({ options, etcd: connectEtcd({ ...options.etcd, onWarning: (sentence) => log.warn(sentence) }), log });
  return {
    log,
    reload: reopen,
    close: () => daemon.close(),
  };
}

/** The driver's options, and the etcd, log and clock that it works with. */
export type DaemonOptions = { readonly options: Options; readonly etcd: Etcd; readonly log: Logger; readonly clock?: Clock };

/**
 * Starts the daemon on any connection to etcd, with any clock, so that tests can hand in their own. `close` ends its parts in order, and the connection to etcd; work that is not
 * done stays in the journal.
 * @throws StartError when the socket or the journal cannot be used
 */
export async function startDaemon({ options, etcd: connection, log, clock = systemClock }: DaemonOptions): Promise<{ close(): Promise<void> }> {
  const history = watchHistory(connection, (reason) => upkeep.replaced(reason), clock);
  const { etcd } = history;
  const journal = journalIn(options.stateDirectory, log, clock);
  const background = createBackgroundSources(rowsTimeoutMs, rowsPatienceMs, clock);
  const { source } = background;
  const { settings, infrastructure, sync, resync } = createComparison({ options, etcd, source, log, clock });
  const stateless = createStatelessGroups();
  const givingWay = new GivingWay(clock);
  const announced = createAnnouncements({
    etcd,
    settings,
    sync,
    journal,
    checks: createAddressChecks({ policy: options.addresses, infrastructure, log }),
    stateless,
    sourceOf: (peer) => sourceOf(peer, rowsTimeoutMs),
    etcdTimeoutMs: options.etcdTimeoutMs,
    patience: options.patience,
    log,
    onJournal: () => loop.wake(),
    onPort: (port) => ports.look(port),
    onBound: (port, slots) => ports.bound(port, slots),
    onFreeFloatingIp: (id) => ports.freed(id),
    clock,
  });
  const loop = startJournalLoop({ journal, sync, source, log, onSucceeded: announced.succeeded, onPort: (port) => ports.look(port), clock });
  const upkeep = startUpkeep({
    etcd,
    startupResync: options.startupResync || journal.unreadable > 0,
    resync: { ...resync, givingWay, ...afterResync(journal, () => loop.wake(), log) },
    log,
    clock,
  });
  const unreported = new Unreported(log, clock);
  const ports = startPortStatusLoop({ etcd, keys: settings.keys, source, threads: options.portStatusThreads, log, clock, unreported });
  const agents = startAgentReports({ source, everyMs: options.agentReportMs, isElected: () => elected.leading, log, clock });

  const onRows = (): void => {
    stateless
      .read(source)
      .catch((error: unknown) =>
        log.warn(
          { err: error },
          'stateless security groups could not be read: ports that join one are not refused until the rows process connects again; see the error',
        ),
      );
    loop.wake();
  };
  const server = await listen(
    options.socketPath,
    peerEvents({ announced, givingWay, background, upkeep, onRows, onRowsLost: (pid) => rowsProcess.lost(pid), log }),
  );
  const elected = startElected({
    ...{ etcd, ports, agents, log, clock },
    region: options.region,
    candidate: `${options.serverName}:${process.pid}`,
    compactionPeriodMinutes: options.compactionPeriodMinutes,
    compactionMinRevisions: options.compactionMinRevisions,
    onReadAnew: (reason) => upkeep.replaced(reason),
  });
  const rowsProcess = startRowsProcess(options.rowsCommand, options.rowsConfigFiles, log, clock);
  const pages = startPages('metrics', metricsPages(driverMetrics({ unreportedMigrations: () => unreported.late, journalEntries: () => journal.size })), log);
  pages.serve(options.metrics);
  log.info(
    {
      version: version(),
      socket: options.socketPath,
      etcd: options.etcd.endpoints.join(','),
      region: options.region ?? 'none',
      journal: journal.size,
    },
    'started',
  );
  loop.wake();
  return {
    close: async () => {
      await pages.close();
      background.close();
      await server.close();
      await rowsProcess.close();
      await elected.close();
      await history.loop.close();
      await upkeep.close();
      await Promise.all([ports.close(), agents.close()]);
      await loop.close();
      journal.close();
      await etcd.close();
    },
  };
}

/** Opens the journal in the state directory. @throws StartError JOURNAL_UNUSABLE */
function journalIn(directory: string, log: Logger, clock: Clock): Journal {
  const file = join(directory, 'journal');
  try {
    const journal = openJournal({
      file,
      nowMs: clock.nowMs,
      onUnwritable: (error) =>
        log.error({ err: error }, 'the journal cannot be written: changes are refused until it can be; free or remount the disk of neutron_driver_state_dir'),
      onRecovered: () => log.info({}, 'the journal can be written again'),
    });
    if (journal.unreadable > 0)
      log.error({ lines: journal.unreadable }, 'lines of the journal cannot be read, so that notes may be lost: all of etcd is compared with Neutron');
    return journal;
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

/** Passes a resync's results to the journal: objects that were written are checked once more, and objects that etcd refused are retried. */
function afterResync(journal: Journal, wake: () => void, log: Logger): Pick<ResyncOptions, 'onWrote' | 'onFailed' | 'onWarning'> {
  return {
    onWrote: (changes) => {
      journal.add(changes);
      wake();
    },
    onFailed: (change, error) => {
      log.error(
        { err: error, kind: change.kind, id: change.id },
        'etcd refused the value of an object of Neutron, so hosts keep its former state; other objects are not affected; retrying; correct the object in Neutron',
      );
      journal.add([change]);
      wake();
    },
    onWarning: (object, what) => log.warn({ object }, what),
  };
}

type Callees = {
  readonly announced: ReturnType<typeof createAnnouncements>;
  readonly givingWay: GivingWay;
  readonly background: Pick<ReturnType<typeof createBackgroundSources>, 'add' | 'remove'>;
  readonly upkeep: Pick<ReturnType<typeof startUpkeep>, 'resync'>;
  /** Called when a rows process has connected. */
  readonly onRows: () => void;
  /** Called when the rows process with this pid has lost its connection. */
  readonly onRowsLost: (pid: number) => void;
  readonly log: Logger;
};

/** Runs the resync that an operator's command requests. @throws Refusal for malformed parameters */
function runResync(peer: Peer, params: unknown, upkeep: Callees['upkeep']): Promise<ResyncSummary> {
  const request = parseRequest(params);
  if (!request)
    throw new Refusal('BAD_SCOPE', 'resync takes lists of ids: networks, subnets, ports, security_groups; and include_sgs_for_ports, dry_run, deep, progress');
  const { scope, dryRun, deep, progress } = request;
  const onProgress = (reached: ResyncProgress): void => void peer.call('progress', reached, progressTimeoutMs).catch(() => {});
  return upkeep.resync(scope, { dryRun, deep, ...(progress && { onProgress }) });
}

/** The calls that Neutron's processes and operators' tools can make. */
function peerEvents({ announced, givingWay, background, upkeep, onRows, onRowsLost, log }: Callees): PeerEvents {
  return {
    onReady: (peer) => {
      log.debug({ pid: peer.pid, role: peer.role }, 'a process connected to the socket');
      if (peer.role !== 'rows') return;
      background.add(peer);
      log.info({ pid: peer.pid }, 'the rows process has connected: resync and port states can be processed');
      onRows();
    },
    onCall: async (peer, method, params) => {
      switch (method) {
        case 'before':
        case 'after':
          givingWay.announced();
          return announced[method](peer, params);
        case 'resync':
          return runResync(peer, params, upkeep);
        default:
          throw new Refusal('NO_SUCH_METHOD', `no such method: ${method}`);
      }
    },
    onGone: (peer) => {
      if (peer.role === 'rows') {
        background.remove(peer);
        onRowsLost(peer.pid);
      }
      announced.gone(peer);
    },
    onMisbehaved: (reason) =>
      log.warn({ reason }, 'a process on the socket violated the protocol and was disconnected; see that it is a part of the same release'),
  };
}
