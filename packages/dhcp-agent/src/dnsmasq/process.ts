// Dnsmasq as a process of this host: starts it, finds it, makes it read its files again, ends it, and checks beforehand whether it is recent enough and accepts its options.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { CodedError, type Logger, pause, StartError } from '@calico-openstack/agent';
import {
  allProcesses,
  commandOf,
  inotifyWatchesOf,
  isAlive,
  networkNamespaceOf,
  type ProcessIdentity,
  processFacts,
  residentBytesOf,
} from '@calico-openstack/kernel/processes/processes';
import type { DnsmasqHost, FoundDnsmasq } from './supervisor.ts';

/** How one Dnsmasq is started, and recognised. */
export type DnsmasqProgram = {
  /** Dnsmasq itself, or a command that executes it. */
  readonly program: readonly [string, ...string[]];
  readonly arguments: readonly string[];
  /** One of the arguments, by which this Dnsmasq is distinguished from others. */
  readonly pidFile: string;
  /** How many directories it watches for the agent. One that watches fewer is blind. */
  readonly watchedDirectories: number;
  /** Whether two cannot run at the same time. DHCPv4 servers can share their port, and DNS servers of one address cannot. */
  readonly isAlone: boolean;
};

/** A Dnsmasq that has not closed standard error after this time logs there (an operator's file may configure that), and serves. */
const startLimitMs = 2000;
/** At most this many characters of its error output are kept. */
const saidMax = 2000;

/** The supervisor's view of this host's processes. */
export function dnsmasqHost(
  { program: [program, ...before], arguments: words, pidFile, watchedDirectories, isAlone }: DnsmasqProgram,
  log: Logger,
): DnsmasqHost {
  return {
    isAlone,
    find: () =>
      processesWith(`--pid-file=${pidFile}`).map(({ words: found, network, ...identity }): FoundDnsmasq => {
        const isSame = found.length === words.length && found.every((word, index) => word === words[index]);
        return { ...identity, started: network !== networkNamespaceOf('self') ? 'elsewhere' : isSame ? 'same' : 'otherwise' };
      }),
    isAlive,
    stateOf({ pid }) {
      if (processFacts(pid)?.stopped) return 'stopped';
      return (inotifyWatchesOf(pid) ?? watchedDirectories) < watchedDirectories ? 'blind' : 'well';
    },
    residentBytes: ({ pid }) => residentBytesOf(pid),
    goOn: ({ pid }) => void process.kill(pid, 'SIGCONT'),
    start: (onExit) => start(program, [...before, ...words], onExit, log),
    kill,
    hangUp: ({ pid }) => void process.kill(pid, 'SIGHUP'),
  };
}

/** Starts Dnsmasq. Resolves when it serves. Rejects with its error output when it ends instead. */
function start(program: string, words: readonly string[], onExit: () => void, log: Logger): Promise<ProcessIdentity> {
  const child: ChildProcess = spawn(program, words, { detached: true, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      said = (said + piece).slice(-saidMax);
    });
    child.once('error', (error) =>
      reject(new CodedError('DNSMASQ_MISSING', `cannot start ${program}: ${error.message}; install dnsmasq-base`, { cause: error })),
    );
    child.once('exit', onExit);
    // Dnsmasq closes standard error once it has its sockets. An error that ends it before that is printed there.
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
      log.info({ process: facts.pid }, 'Dnsmasq started and serves');
      resolve(facts);
    }
  });
}

/** The processes that run with the argument, with all their arguments. A process whose network namespace cannot be read is not this agent's. */
export function processesWith(argument: string): readonly (ProcessIdentity & { readonly words: readonly string[]; readonly network: string })[] {
  return allProcesses().flatMap(({ pid, startTicks, zombie }) => {
    const words = zombie ? [] : commandOf(pid).slice(1);
    if (!words.includes(argument)) return [];
    const network = networkNamespaceOf(pid);
    return network === undefined ? [] : [{ pid, startTicks, words, network }];
  });
}

/**
 * Sends SIGKILL, and resolves when the process has ended. At SIGTERM Dnsmasq would remove the pid file, which is its successor's by then. No lease is lost: they are written at once.
 */
export async function kill(running: ProcessIdentity): Promise<void> {
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
 * Has Dnsmasq check its arguments, and the operator's file among them, without starting: the running one must not end for a successor that cannot start.
 * @throws StartError with Dnsmasq's own message
 */
export async function checkArguments(program: string, words: readonly string[]): Promise<void> {
  await promisify(execFile)(program, [...words, '--test']).catch((error: unknown) => {
    const said = error instanceof Error && 'stderr' in error && String(error.stderr).trim().split('\n').at(-1);
    throw new StartError('DNSMASQ_REFUSES', `Dnsmasq does not start with these options: ${said || (error as Error).message}`, { cause: error });
  });
}

const oldest = [2, 81];

/** Dnsmasq's version. @throws StartError when Dnsmasq is missing, or lacks what is needed: hosts bound to a tag, watched directories, DHCPv6 */
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
