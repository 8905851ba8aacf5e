// Keeps one Dnsmasq running. Dnsmasq outlives the agent: a new agent takes over the running one if it was started in the same way.
import { type Backoff, backoffMs, type Clock, type Logger, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import type { ProcessIdentity } from '@calico-openstack/kernel/processes/processes';

/** One supervised Dnsmasq. */
export interface DnsmasqProcess {
  /** Takes Dnsmasq over or starts it. From then on it is restarted whenever it ends. */
  run(): void;
  /** Sends Dnsmasq the signal to read all its files again: at once if it runs, otherwise when it does. Of the messages that reach it afterwards, it may take one before it reads them. */
  reload(): void;
  /** Whether Dnsmasq runs, with its directories, and answers. */
  isServing(): boolean;
  /** How often Dnsmasq was started again. */
  readonly restarts: number;
  /** Resolves when all earlier requests are done and Dnsmasq serves. */
  settled(): Promise<void>;
  /** Ends the supervision; Dnsmasq keeps running. */
  close(): Promise<void>;
}

/** A Dnsmasq that an earlier agent left: `same` serves here and was started as this agent would; `otherwise` serves here; `elsewhere` serves another network namespace. */
export type FoundDnsmasq = ProcessIdentity & { readonly started: 'same' | 'otherwise' | 'elsewhere' };

/** The host's processes, as far as they are needed here. `process.ts` implements it. */
export type DnsmasqHost = {
  /** Whether one cannot start while its predecessor runs, because both want the same port. Otherwise the predecessor serves until its successor does. */
  readonly isAlone: boolean;
  find(): readonly FoundDnsmasq[];
  isAlive(process: ProcessIdentity): boolean;
  /** `stopped`: a signal has stopped it, and it answers nobody. `blind`: the directories that it watches were deleted, and it sees no new port. */
  stateOf(process: ProcessIdentity): 'well' | 'stopped' | 'blind';
  /** The bytes of memory that it has. */
  residentBytes(process: ProcessIdentity): number;
  /** Sends SIGCONT: a stopped process goes on. */
  goOn(process: ProcessIdentity): void;
  /** Resolves when Dnsmasq serves; `onExit` is called when it ends after that. Rejects with CodedError, with Dnsmasq's own message, when it ends before. */
  start(onExit: () => void): Promise<ProcessIdentity>;
  /** Resolves when the process has ended. */
  kill(process: ProcessIdentity): Promise<void>;
  /** Sends SIGHUP: Dnsmasq reads its files again. */
  hangUp(process: ProcessIdentity): void;
};

/** What the supervisor works with. */
export type SupervisorOptions = {
  readonly host: DnsmasqHost;
  /** What guests do not get while it is away, for the log. */
  readonly gives: 'new leases' | 'names from outside';
  /** Called before each start. A predecessor may still be running, with its files open. */
  readonly beforeStart: () => void;
  /** Called whenever a Dnsmasq was started, taken over or continued, and reads all files, maybe after it has taken one more message. */
  readonly started?: () => void;
  /** By how many bytes it may grow before it is replaced. The default is 16 MiB. */
  readonly growthMaxBytes?: number;
  readonly log: Logger;
  readonly clock?: Clock;
};

/**
 * How often a Dnsmasq is checked: nothing reports that it was stopped. One that was taken over is no child of this process, so nothing reports its end either. After SIGCONT the next check is soon,
 * because until then nothing is passed to it.
 */
const lookEveryMs = { child: 1000, takenOver: 200, stopped: 50 } as const;
/** A Dnsmasq that ends sooner than this after its start is restarted after a pause, which grows each time that this happens in a row. */
const soonMs = 1000;
const shortLifeBackoff: Backoff = { firstMs: 100, maxMs: 10_000 };

type Running = ProcessIdentity & { readonly isChild: boolean; readonly sinceMs: number };

/** Checks a Dnsmasq that runs but may not serve. */
function healthCheck(host: DnsmasqHost, growthMaxBytes: number, log: Logger) {
  let stopped: ProcessIdentity | undefined;
  /** The Dnsmasq that runs, with its memory at the first check. */
  let measured: { readonly process: ProcessIdentity; readonly bytes: number } | undefined;

  /**
   * Whether a Dnsmasq has become too big. Dnsmasq 2.90 never gives back the paths of the files in its watched directories, which it notes whenever it reads them again: on a host of 200 ports,
   * 40 kB at each reload. One that its successor would have to wait for watches no directories.
   */
  function isTooBig(running: ProcessIdentity): boolean {
    if (host.isAlone) return false;
    const bytes = host.residentBytes(running);
    if (measured?.process !== running) measured = { process: running, bytes };
    if (bytes - measured.bytes <= growthMaxBytes) return false;
    log.info(
      { process: running.pid, bytes, before: measured.bytes },
      'Dnsmasq has grown by reading its files again and again; it is replaced, and serves until then',
    );
    return true;
  }

  return {
    /** Whether this Dnsmasq was stopped at the last check. */
    isStopped: (running: ProcessIdentity): boolean => stopped === running,
    /** Continues a stopped Dnsmasq. Returns whether the Dnsmasq has to be replaced, because it will never see another port or is too big. One that `isNew` has not begun to watch its directories yet. */
    isSpent(running: ProcessIdentity, isNew: boolean): boolean {
      const state = host.stateOf(running);
      if (state === 'stopped') {
        if (stopped !== running)
          log.warn({ process: running.pid }, 'Dnsmasq was stopped by a signal or a debugger, so guests got no answers; it is continued with SIGCONT');
        host.goOn(running);
      }
      stopped = state === 'stopped' ? running : undefined;
      const isBlind = state === 'blind' && !isNew;
      if (isBlind)
        log.warn(
          { process: running.pid },
          'the directories with the ports’ files were deleted, so Dnsmasq sees no new port; they are created again and Dnsmasq is replaced',
        );
      return isBlind || isTooBig(running);
    },
  };
}

/** Supervises one Dnsmasq. It does nothing until `run` is called. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its variables are of one process, and each step changes several
export function startDnsmasqSupervisor({
  host,
  gives,
  beforeStart,
  started = () => undefined,
  growthMaxBytes = 16 * 2 ** 20,
  log,
  clock = systemClock,
}: SupervisorOptions): DnsmasqProcess {
  let wanted = false;
  let restartWanted = false;
  let reloadWanted = false;
  let firstLook = true;
  let starts = 0;
  let running: Running | undefined;
  /** The processes to end as soon as another Dnsmasq serves. Until then they answer guests. */
  let predecessors: readonly ProcessIdentity[] = [];
  const health = healthCheck(host, growthMaxBytes, log);
  /** How many Dnsmasqs in a row ended right after their start. */
  let shortLives = 0;
  const stop = new AbortController();

  const loop: Loop = startLoop({
    run,
    onFailure: (error, failures, retryMs) =>
      log.error({ err: error, failures, retryMs: Math.round(retryMs) }, `cannot start Dnsmasq, so guests get no ${gives}; retrying`),
    clock,
  });

  async function run(): Promise<number | undefined> {
    if (!wanted) return undefined;
    if (firstLook) {
      await takeOver();
      firstLook = false;
    }
    if (running && !host.isAlive(running)) await takeEnd(running);
    if (stop.signal.aborted) return undefined;
    const wasStopped = running !== undefined && health.isStopped(running);
    if (running && health.isSpent(running, clock.steadyMs() - running.sinceMs < soonMs)) restartWanted = true;
    if (running && restartWanted) {
      predecessors = [...predecessors, running];
      running = undefined;
    }
    restartWanted = false;
    let isNew = reloadWanted || (wasStopped && running !== undefined && !health.isStopped(running)); // nothing was passed to it while it was stopped
    if (!running) {
      reloadWanted = false; // it reads everything at its start
      beforeStart();
      running = { ...(await host.start(() => loop.wake())), isChild: true, sinceMs: clock.steadyMs() };
      starts += 1;
      isNew = true;
    }
    for (const predecessor of predecessors) await host.kill(predecessor);
    predecessors = [];
    if (reloadWanted) {
      reloadWanted = false;
      host.hangUp(running);
    }
    if (isNew) started();
    if (health.isStopped(running)) return lookEveryMs.stopped;
    return running.isChild ? lookEveryMs.child : lookEveryMs.takenOver;
  }

  /** Logs that Dnsmasq has ended. Resolves when the next one may be started. */
  async function takeEnd({ pid, sinceMs }: Running): Promise<void> {
    running = undefined;
    const livedMs = clock.steadyMs() - sinceMs;
    const ended = { process: pid, livedMs: Math.round(livedMs) };
    if (livedMs >= soonMs) {
      shortLives = 0;
      log.warn(ended, `Dnsmasq has ended, so guests get no ${gives} for a moment; restarting it; see its own log for why`);
      return;
    }
    shortLives += 1;
    const retryMs = backoffMs(shortLifeBackoff, shortLives);
    log.error(
      { ...ended, failures: shortLives, retryMs: Math.round(retryMs) },
      `Dnsmasq ends right after its start, so guests get no ${gives}; restarting it after a pause; see its own log for why`,
    );
    await clock.pause(retryMs, stop.signal);
  }

  /** Finds the Dnsmasqs that an earlier agent left. One started with other arguments ends when its successor serves, or can be started; one in another network namespace ends at once. */
  async function takeOver(): Promise<void> {
    for (const { started, ...found } of host.find()) {
      if (started === 'same' && !running) {
        starts = 1;
        running = { ...found, isChild: false, sinceMs: clock.steadyMs() - soonMs };
        reloadWanted = true; // its agent may have ended between changing a file and the reload
        log.info({ process: found.pid }, 'took over the running Dnsmasq of an earlier agent');
      } else {
        log.info({ process: found.pid }, 'a Dnsmasq of an earlier agent was started with other options or elsewhere; it is replaced');
        if (started === 'otherwise' && !host.isAlone) predecessors = [...predecessors, found];
        else await host.kill(found);
      }
    }
  }

  /** Whether Dnsmasq runs alone, with all files read. It looks itself, because the loop learns later that a process has ended. */
  const isServing = (): boolean =>
    running !== undefined && predecessors.length === 0 && host.isAlive(running) && !restartWanted && !reloadWanted && !health.isStopped(running);
  const ask = (change: () => void): void => {
    change();
    loop.wake();
  };
  return {
    run: () => ask(() => (wanted = true)),
    reload() {
      if (isServing()) host.hangUp(running!);
      else ask(() => (reloadWanted = true));
    },
    isServing,
    get restarts() {
      return Math.max(0, starts - 1);
    },
    settled: () => loop.settled(),
    close: () => {
      stop.abort();
      return loop.close();
    },
  };
}
