// Keeps one Dnsmasq running. It outlives the agent: a new agent takes it over as it is, if it was started in the same way.
import { type Backoff, backoffMs, type Clock, type Logger, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import type { ProcessIdentity } from '@calico-openstack/kernel/processes/processes';

export interface DnsmasqProcess {
  /** Has it running: takes it over or starts it. From then on it is started again whenever it ends. */
  run(): void;
  /** Has it read all its files again, once it runs. */
  reload(): void;
  /** Has another one started after `beforeStart`, which takes its place. */
  restart(): void;
  /** Resolves when everything asked for before is done and it serves. */
  settled(): Promise<void>;
  /** Leaves it running, and alone. */
  close(): Promise<void>;
}

/** A Dnsmasq that an earlier agent left: `same` serves here and was started as this agent would; `otherwise` serves here; `elsewhere` serves another network namespace. */
export type FoundDnsmasq = ProcessIdentity & { readonly started: 'same' | 'otherwise' | 'elsewhere' };

/** The host's processes, as far as they are needed here. `process.ts` has the real ones. */
export type DnsmasqHost = {
  find(): readonly FoundDnsmasq[];
  isAlive(process: ProcessIdentity): boolean;
  /** Resolves when it serves; `onExit` is called when it ends after that. Rejects with CodedError, in Dnsmasq's own words, when it ends instead. */
  start(onExit: () => void): Promise<ProcessIdentity>;
  /** Resolves when it is gone. */
  kill(process: ProcessIdentity): Promise<void>;
  /** SIGHUP: it reads its files again. */
  hangUp(process: ProcessIdentity): void;
};

export type SupervisorOptions = {
  readonly host: DnsmasqHost;
  /** Called before each start. A predecessor may still be running, with the files that it has open. */
  readonly beforeStart: () => void;
  readonly log: Logger;
  readonly clock?: Clock;
};

/** One that was taken over is nobody's child, so nobody tells when it ends: it is looked at this often. */
const lookEveryMs = 200;
/** One that ends sooner than this after its start is started again after a pause, and after a longer one each time that this happens again. */
const soonMs = 1000;
const shortLifeBackoff: Backoff = { firstMs: 100, maxMs: 10_000 };

type Running = ProcessIdentity & { readonly isChild: boolean; readonly sinceMs: number };

export function startDnsmasqSupervisor({ host, beforeStart, log, clock = systemClock }: SupervisorOptions): DnsmasqProcess {
  let wanted = false;
  let restartWanted = false;
  let reloadWanted = false;
  let firstLook = true;
  let running: Running | undefined;
  /** Those that are to end as soon as another one serves: until then guests are answered by them. */
  let predecessors: readonly ProcessIdentity[] = [];
  /** How many in a row ended as soon as they were started. */
  let shortLives = 0;
  const stop = new AbortController();

  const loop: Loop = startLoop({
    run,
    onFailure: (error, failures, retryMs) => log.error({ err: error, failures, retryMs: Math.round(retryMs) }, 'Dnsmasq does not run'),
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
    if (running && restartWanted) {
      predecessors = [...predecessors, running];
      running = undefined;
    }
    restartWanted = false;
    if (!running) {
      reloadWanted = false; // it reads everything at its start
      beforeStart();
      running = { ...(await host.start(() => loop.wake())), isChild: true, sinceMs: clock.steadyMs() };
    }
    for (const predecessor of predecessors) await host.kill(predecessor);
    predecessors = [];
    if (reloadWanted) {
      reloadWanted = false;
      host.hangUp(running);
    }
    return running.isChild ? undefined : lookEveryMs;
  }

  /** Tells that it has ended. Resolves when the next one may be started. */
  async function takeEnd({ pid, sinceMs }: Running): Promise<void> {
    running = undefined;
    const livedMs = clock.steadyMs() - sinceMs;
    const ended = { process: pid, livedMs: Math.round(livedMs) };
    if (livedMs >= soonMs) {
      shortLives = 0;
      log.warn(ended, 'Dnsmasq has ended; it is started again');
      return;
    }
    shortLives += 1;
    const retryMs = backoffMs(shortLifeBackoff, shortLives);
    log.error({ ...ended, failures: shortLives, retryMs: Math.round(retryMs) }, 'Dnsmasq ends as soon as it is started; it is started again after a pause');
    await clock.pause(retryMs, stop.signal);
  }

  /** Finds what an earlier agent left. What was started otherwise ends when ours serves; what serves another network namespace ends at once. */
  async function takeOver(): Promise<void> {
    for (const { started, ...found } of host.find()) {
      if (started === 'same' && !running) {
        running = { ...found, isChild: false, sinceMs: clock.steadyMs() - soonMs };
        reloadWanted = true; // its agent may have ended between a change and telling it
        log.info({ process: found.pid }, 'took over the Dnsmasq that runs');
      } else {
        log.info({ process: found.pid }, 'replacing a Dnsmasq that was started in another way');
        if (started === 'otherwise') predecessors = [...predecessors, found];
        else await host.kill(found);
      }
    }
  }

  const ask = (change: () => void): void => {
    change();
    loop.wake();
  };
  return {
    run: () => ask(() => (wanted = true)),
    reload: () => ask(() => (reloadWanted = true)),
    restart: () => ask(() => (restartWanted = true)),
    settled: () => loop.settled(),
    close: () => {
      stop.abort();
      return loop.close();
    },
  };
}
