// One Dnsmasq, kept running. It outlives the agent: a new agent takes it over as it is, if it was started in the same way.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { CodedError, type Logger, type Loop, pause, StartError, startLoop } from '@calico-openstack/agent';
import { allProcesses, commandOf, isAlive, networkNamespaceOf, type ProcessIdentity, processFacts } from '@calico-openstack/kernel/processes/processes';

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

export type DnsmasqProcessOptions = {
  /** Dnsmasq itself, or what becomes it. */
  readonly program: readonly [string, ...string[]];
  readonly arguments: readonly string[];
  /** Among the arguments: it tells this Dnsmasq from others. */
  readonly pidFile: string;
  /** Called before each start. A predecessor may still be running, with the files that it has open. */
  readonly beforeStart: () => void;
  readonly log: Logger;
};

/** One that was taken over is nobody's child, so nobody tells when it ends. */
const lookEveryMs = 200;
/** One that ends sooner than this after its start is started again after a pause. */
const soonMs = 1000;
/** One that has not let go of standard error by then logs there, as an operator's own file may tell it to, and serves. */
const startLimitMs = 2000;
/** Of what it says before it serves this much is kept. */
const saidMax = 2000;

export function superviseDnsmasq(options: DnsmasqProcessOptions): DnsmasqProcess {
  const { log } = options;
  const [program, ...before] = options.program;
  let wanted = false;
  let restartWanted = false;
  let reloadWanted = false;
  let firstLook = true;
  let running: (ProcessIdentity & { readonly child: boolean; readonly sinceMs: number }) | undefined;
  /** Those that are to end as soon as another one serves: until then guests are answered by them. */
  let predecessors: readonly ProcessIdentity[] = [];

  const loop: Loop = startLoop({
    run,
    onFailure: (error, failures, retryMs) => log.error({ err: error, failures, retryMs: Math.round(retryMs) }, 'Dnsmasq does not run'),
  });

  async function run(): Promise<number | undefined> {
    if (!wanted) return undefined;
    if (firstLook) {
      await takeOver();
      firstLook = false;
    }
    if (running && !isAlive(running)) {
      const livedMs = performance.now() - running.sinceMs;
      log.warn({ process: running.pid, livedMs: Math.round(livedMs) }, 'Dnsmasq has ended');
      running = undefined;
      if (livedMs < soonMs) throw new Error('it ends as soon as it is started');
    }
    if (running && restartWanted) {
      predecessors = [...predecessors, running];
      running = undefined;
    }
    restartWanted = false;
    if (!running) {
      reloadWanted = false; // it reads everything at its start
      options.beforeStart();
      running = await start();
    }
    for (const predecessor of predecessors) await kill(predecessor);
    predecessors = [];
    if (reloadWanted) {
      reloadWanted = false;
      process.kill(running.pid, 'SIGHUP');
    }
    return running.child ? undefined : lookEveryMs;
  }

  /** Finds what an earlier agent left. What was started otherwise ends when ours serves; what serves another network namespace ends at once. */
  async function takeOver(): Promise<void> {
    for (const { words, network, ...found } of processesWith(`--pid-file=${options.pidFile}`)) {
      const here = network === networkNamespaceOf('self');
      const same = here && words.length === options.arguments.length && words.every((word, index) => word === options.arguments[index]);
      if (same && !running) {
        running = { ...found, child: false, sinceMs: performance.now() - soonMs };
        reloadWanted = true; // its agent may have ended between a change and telling it
        log.info({ process: found.pid }, 'took over the Dnsmasq that runs');
      } else {
        log.info({ process: found.pid }, 'replacing a Dnsmasq that was started in another way');
        if (here && !same) predecessors = [...predecessors, found];
        else await kill(found);
      }
    }
  }

  /** Resolves when it serves. Rejects with what it said when it ends instead. */
  function start(): Promise<NonNullable<typeof running>> {
    const child: ChildProcess = spawn(program, [...before, ...options.arguments], { detached: true, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
    return new Promise((resolve, reject) => {
      let said = '';
      child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
        said = (said + piece).slice(-saidMax);
      });
      child.once('error', (error) =>
        reject(new CodedError('DNSMASQ_MISSING', `cannot start ${program}: ${error.message}; install dnsmasq-base`, { cause: error })),
      );
      child.once('exit', () => loop.wake());
      // Once it has its sockets it lets go of standard error; before that, whatever ends it is said there.
      child.stderr?.once('close', look);
      const late = setTimeout(look, startLimitMs);
      function look(): void {
        clearTimeout(late);
        const facts = child.pid === undefined ? undefined : processFacts(child.pid);
        if (facts === undefined || facts.zombie) {
          reject(new CodedError('DNSMASQ_ENDED', `${program} ended at its start: ${said.trim() || 'it did not say why'}`));
          return;
        }
        child.unref();
        log.info({ process: facts.pid }, 'started Dnsmasq');
        resolve({ ...facts, child: true, sinceMs: performance.now() });
      }
    });
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
    close: () => loop.close(),
  };
}

/** The processes that run with the argument, with all their arguments. A process whose network namespace may not be looked at is not ours. */
function processesWith(argument: string): readonly (ProcessIdentity & { readonly words: readonly string[]; readonly network: string })[] {
  return allProcesses().flatMap(({ pid, startTicks, zombie }) => {
    const words = zombie ? [] : commandOf(pid).slice(1);
    if (!words.includes(argument)) return [];
    const network = networkNamespaceOf(pid);
    return network === undefined ? [] : [{ pid, startTicks, words, network }];
  });
}

/**
 * SIGKILL; resolves when it is gone. At SIGTERM Dnsmasq would remove the pid file, which is its successor's by then; leases are in their file since they were given.
 */
async function kill(running: ProcessIdentity): Promise<void> {
  while (isAlive(running)) {
    try {
      process.kill(running.pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
    await pause(1);
  }
}

/**
 * Has Dnsmasq read its arguments, and the operator's own file among them, without starting: the one that runs must not end for another that could not follow it.
 * @throws StartError in Dnsmasq's own words
 */
export async function checkArguments(program: string, words: readonly string[]): Promise<void> {
  await promisify(execFile)(program, [...words, '--test']).catch((error: unknown) => {
    const said = error instanceof Error && 'stderr' in error && String(error.stderr).trim().split('\n').at(-1);
    throw new StartError('DNSMASQ_REFUSES', `Dnsmasq does not start with these options: ${said || (error as Error).message}`, { cause: error });
  });
}

const oldest = [2, 81];

/** @throws StartError when Dnsmasq is missing, or cannot do what is needed: hosts bound to a tag, directories that are watched, DHCPv6. */
export async function checkDnsmasq(program: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, ['--version']).catch((error: unknown) => {
    throw new StartError('DNSMASQ_MISSING', `cannot run ${program}: ${(error as Error).message}; install dnsmasq-base`, { cause: error });
  });
  const [, version = '', major = '0', minor = '0'] = /version ((\d+)\.(\d+)\S*)/.exec(stdout) ?? [];
  const recent = Number(major) > oldest[0]! || (Number(major) === oldest[0] && Number(minor) >= oldest[1]!);
  const lacking = ['DHCP', 'DHCPv6', 'inotify'].filter((feature) => !new RegExp(`^Compile time options:.* ${feature}( |$)`, 'm').test(stdout));
  if (!recent) throw new StartError('DNSMASQ_UNFIT', `${program} is version ${version || 'unknown'}, and ${oldest.join('.')} or later is needed`);
  if (lacking.length > 0) throw new StartError('DNSMASQ_UNFIT', `${program} ${version} was built without ${lacking.join(', ')}`);
  return version;
}
