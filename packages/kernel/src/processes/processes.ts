// What /proc says about processes (proc(5)). A process is identified by its pid and its start time, because the kernel gives a pid to another process later.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Identifies one process of this boot. */
export type ProcessIdentity = {
  readonly pid: number;
  /** The time of its start, in clock ticks after boot. */
  readonly startTicks: number;
};
/** What the kernel reports of a process. */
export type ProcessFacts = ProcessIdentity & {
  readonly parent: number;
  readonly session: number;
  /** It has ended, and its parent has not collected its exit status yet. */
  readonly zombie: boolean;
  /** It was stopped by a signal (SIGSTOP), or a debugger holds it. */
  readonly stopped: boolean;
  /** CPU time that it has used, in user and in kernel mode. */
  readonly cpuMs: number;
};

/** A clock tick is a hundredth of a second on every architecture that Linux runs Node on (USER_HZ). */
const tickMs = 10;

/** What /proc/PID/stat says; undefined when no such process exists. */
export function processFacts(pid: number): ProcessFacts | undefined {
  const stat = readOrNothing(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (stat === undefined) return undefined;
  // The command's name stands in brackets and may hold spaces and brackets itself. Behind the last bracket there are numbers only.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const number = (index: number): number => Number(fields[index]);
  return {
    pid,
    startTicks: number(19),
    parent: number(1),
    session: number(3),
    zombie: fields[0] === 'Z',
    stopped: fields[0] === 'T' || fields[0] === 't',
    cpuMs: (number(11) + number(12)) * tickMs,
  };
}

/** Whether this very process still runs. A zombie does not. */
export function isAlive(identity: ProcessIdentity): boolean {
  const facts = processFacts(identity.pid);
  if (facts === undefined || facts.startTicks !== identity.startTicks) return false;
  return !facts.zombie || hasOtherThreads(identity.pid);
}

/** Whether a process has more than one thread. One that was killed is a zombie as soon as its first thread has ended; its files and ports are in use until the last one has. */
const hasOtherThreads = (pid: number): boolean => (readOrNothing(() => readdirSync(`/proc/${pid}/task`).length) ?? 0) > 1;

/** How many files and directories a process watches by inotify (proc(5), fdinfo). Deleted ones are not counted. undefined when the number cannot be read. */
export function inotifyWatchesOf(pid: number): number | undefined {
  const names = readOrNothing(() => readdirSync(`/proc/${pid}/fdinfo`).join(' '));
  if (names === undefined) return undefined;
  const texts = names.split(' ').map((name) => readOrNothing(() => readFileSync(`/proc/${pid}/fdinfo/${name}`, 'latin1')) ?? '');
  return texts.reduce((count, text) => count + [...text.matchAll(/^inotify wd:/gm)].length, 0);
}

/** Every process that /proc shows, zombies included, in no particular order. */
export const allProcesses = (): ProcessFacts[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processFacts(Number(name)) ?? []);

/** The program and its arguments; empty for a process that is gone, and for the kernel's own. */
export const commandOf = (pid: number): readonly string[] => (readOrNothing(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '').split('\0').slice(0, -1);

/** The environment that a process was started with; empty for one that is gone, and for the kernel's own. */
export const environmentOf = (pid: number): readonly string[] => (readOrNothing(() => readFileSync(`/proc/${pid}/environ`, 'latin1')) ?? '').split('\0');

/** Identifies the network namespace that a process is in, like `net:[4026532281]`; undefined when the process is gone or this one has no right to see it. */
export const networkNamespaceOf = (pid: number | 'self'): string | undefined => readOrNothing(() => readlinkSync(`/proc/${pid}/ns/net`));

/** A process's memory. */
export type ProcessMemory = {
  /** In memory now, shared pages counted whole. */
  readonly residentBytes: number;
  /** The most that was in memory at once. */
  readonly peakBytes: number;
  /** In memory now, each shared page divided among the processes that share it. */
  readonly proportionalBytes: number;
};

/** The memory that a process uses; all zero for one that is gone. */
export function memoryOf(pid: number): ProcessMemory {
  return { residentBytes: residentBytesOf(pid), peakBytes: bytesIn(pid, 'status', 'VmHWM'), proportionalBytes: bytesIn(pid, 'smaps_rollup', 'Pss') };
}

/** The bytes of memory that a process has resident; 0 for a process that has ended. It costs less than `memoryOf`. */
export const residentBytesOf = (pid: number): number => bytesIn(pid, 'status', 'VmRSS');

function bytesIn(pid: number, file: string, field: string): number {
  const text = readOrNothing(() => readFileSync(`/proc/${pid}/${file}`, 'latin1')) ?? '';
  return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** undefined for a process that ended meanwhile, or that hides from this one (init in a container): neither is an error, and neither process is ours. */
function readOrNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(String(error.code))) return undefined;
    throw error;
  }
}
