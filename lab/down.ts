// Removes a lab in any state: half up, left up, or left behind by a process that was killed.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { allProcesses, commandOf, environmentOf, isAlive, networkNamespaceOf, type ProcessFacts } from '@calico-openstack/kernel/processes/processes';
import { directoryOf, readState, userOf } from './directory.ts';
import { LabError } from './errors.ts';
import { namespaceIdentity, namespacesOf } from './namespace.ts';
import { isNamespaceOf } from './plan.ts';
import { createProcesses, labMark, processRecord, readRecord } from './process.ts';
import { until } from './wait.ts';

/**
 * Kills the lab's processes, removes its namespaces (and with them all links, routes and rules) and its directory. Returns whether there was anything to remove.
 * Refuses with LAB_EXISTS while another process is using the lab, unless forced.
 */
export async function takeDown(prefix: string, { force = false } = {}): Promise<boolean> {
  const directory = directoryOf(prefix);
  const state = readState(prefix);
  const user = state === undefined ? undefined : userOf(state);
  if (user !== undefined && !force) {
    throw new LabError(
      'LAB_EXISTS',
      `the lab ${prefix} is in use by ${user}: end that process, which then removes the lab itself, or remove the lab with --force`,
    );
  }
  const found = existsSync(directory) || namespacesOf(prefix).length > 0;
  await endProcesses(prefix);
  await removeNamespaces(prefix);
  rmSync(directory, { recursive: true, force: true });
  return found;
}

/**
 * The running processes of the lab: those with its mark in their environment, and those in its namespaces that belong to a session that it started (a program may overwrite its
 * environment, or lose its parent), or see a host as libvirtd does (QEMU, whose environment libvirt cleans). Other processes in the namespaces do not count: somebody may be looking around there with a shell.
 */
export function processesOf(prefix: string): ProcessFacts[] {
  const directory = directoryOf(prefix);
  const mark = `${labMark}=${directory}`;
  const sessions = new Set(recordedIn(directory));
  const namespaces = new Set<string | undefined>(namespacesOf(prefix).map(namespaceIdentity));
  const ours = ({ pid, session }: ProcessFacts): boolean =>
    environmentOf(pid).includes(mark) || (namespaces.has(networkNamespaceOf(pid)) && (sessions.has(session) || seesLab(pid, directory)));
  return allProcesses().filter((facts) => !facts.zombie && facts.pid !== process.pid && ours(facts));
}

/** Whether the process is in a mount namespace that shows it a folder of the lab elsewhere. */
function seesLab(pid: number, directory: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(`${directory.slice('/var/lib'.length)}/`);
  } catch {
    return false; // it has just ended
  }
}

/** Lists everything that exists of a lab, in words; an empty list when it is gone. */
export const remainsOf = (prefix: string): string[] => [
  ...namespacesOf(prefix).map((name) => `network namespace ${name}`),
  ...processesOf(prefix).map(({ pid }) => `process ${pid} (${commandOf(pid).join(' ')})`),
  ...readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, , , , point = ''] = line.split(' ');
      const ours = point.startsWith(directoryOf(prefix)) || (point.startsWith('/run/netns/') && isNamespaceOf(prefix, basename(point)));
      return ours ? [`mount ${point}`] : [];
    }),
  ...(existsSync(directoryOf(prefix)) ? [directoryOf(prefix)] : []),
];

/** Kills the processes with SIGKILL: what they would still save is removed with the lab anyway. Repeats that, because a dying process may have started another. */
async function endProcesses(prefix: string): Promise<void> {
  let left: ProcessFacts[] = [];
  await until(
    'the end of all processes of the lab',
    () => {
      left = processesOf(prefix);
      for (const identity of left) killIfAlive(identity);
      return left.length === 0 || undefined;
    },
    { intervalMs: 10 },
  ).catch((cause: Error) => {
    if (left.length === 0) throw cause;
    throw new LabError('LEFT_OVER', `killed, but still there: ${left.map(({ pid }) => `${pid} (${commandOf(pid).join(' ')})`).join(', ')}`, { cause });
  });
}

function killIfAlive(identity: ProcessFacts): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error; // ESRCH: it has just ended by itself
  }
}

async function removeNamespaces(prefix: string): Promise<void> {
  const processes = createProcesses('/', new AbortController().signal);
  await Promise.all(namespacesOf(prefix).map((namespace) => processes.run('ip', ['netns', 'delete', namespace])));
  const left = namespacesOf(prefix);
  if (left.length > 0) throw new LabError('LEFT_OVER', `these network namespaces could not be removed: ${left.join(', ')}`);
}

/** The pids in the services' records: the last process of each service that the lab ever started, which leads its session. */
function recordedIn(directory: string): number[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, encoding: 'utf8', withFileTypes: false })
    .filter((path) => path.endsWith(`/${processRecord}`))
    .flatMap((path) => {
      const record = readRecord(join(directory, path));
      return record === undefined ? [] : [record.pid];
    });
}
