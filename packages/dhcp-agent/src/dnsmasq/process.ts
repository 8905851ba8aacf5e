// Dnsmasq as a process of this host: started, found, told to read its files, ended; and asked beforehand whether it is fit and would start.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { CodedError, type Logger, pause, StartError } from '@calico-openstack/agent';
import { allProcesses, commandOf, isAlive, networkNamespaceOf, type ProcessIdentity, processFacts } from '@calico-openstack/kernel/processes/processes';
import type { DnsmasqHost, FoundDnsmasq } from './supervisor.ts';

export type DnsmasqProgram = {
  /** Dnsmasq itself, or what becomes it. */
  readonly program: readonly [string, ...string[]];
  readonly arguments: readonly string[];
  /** Among the arguments: it tells this Dnsmasq from others. */
  readonly pidFile: string;
};

/** One that has not let go of standard error by then logs there, as an operator's own file may tell it to, and serves. */
const startLimitMs = 2000;
/** Of what it says before it serves this much is kept. */
const saidMax = 2000;

export function dnsmasqHost({ program: [program, ...before], arguments: words, pidFile }: DnsmasqProgram, log: Logger): DnsmasqHost {
  return {
    find: () =>
      processesWith(`--pid-file=${pidFile}`).map(({ words: found, network, ...identity }): FoundDnsmasq => {
        const isSame = found.length === words.length && found.every((word, index) => word === words[index]);
        return { ...identity, started: network !== networkNamespaceOf('self') ? 'elsewhere' : isSame ? 'same' : 'otherwise' };
      }),
    isAlive,
    start: (onExit) => start(program, [...before, ...words], onExit, log),
    kill,
    hangUp: ({ pid }) => void process.kill(pid, 'SIGHUP'),
  };
}

/** Resolves when it serves. Rejects with what it said when it ends instead. */
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
      resolve(facts);
    }
  });
}

/** The processes that run with the argument, with all their arguments. A process whose network namespace may not be looked at is not ours. */
export function processesWith(argument: string): readonly (ProcessIdentity & { readonly words: readonly string[]; readonly network: string })[] {
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
