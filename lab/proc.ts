// Reads /proc. A process is identified by its pid and its start time, because a pid may be given to another process later.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Identifies a process. `startTicks`: when it started, in clock ticks after boot. */
export type ProcessIdentity = { readonly pid: number; readonly startTicks: number };
/** What the lab needs to know of a process. */
export type ProcessFacts = ProcessIdentity & { readonly parent: number; readonly session: number; readonly zombie: boolean };

/** What /proc says of a process; undefined when it does not exist (any more). */
export function processFacts(pid: number): ProcessFacts | undefined {
  const stat = readOrNothing(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (stat === undefined) return undefined;
  // The program's name, in brackets, may itself hold spaces and brackets. Behind the last bracket there are only numbers.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, startTicks: Number(fields[19]), parent: Number(fields[1]), session: Number(fields[3]), zombie: fields[0] === 'Z' };
}

/** Whether the process still runs. A zombie does not. */
export function isAlive(identity: ProcessIdentity): boolean {
  const facts = processFacts(identity.pid);
  return facts !== undefined && facts.startTicks === identity.startTicks && !facts.zombie;
}

/** All processes of the machine. */
export const allProcesses = (): ProcessFacts[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processFacts(Number(name)) ?? []);

/** The environment with which a process was started; empty for one that has ended and for kernel threads. */
export const environmentOf = (pid: number): readonly string[] => (readOrNothing(() => readFileSync(`/proc/${pid}/environ`, 'latin1')) ?? '').split('\0');

/** The command line of a process; empty for one that has ended. */
export const commandLineOf = (pid: number): string => (readOrNothing(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1')) ?? '').replaceAll('\0', ' ').trim();

/** The network namespace of a process, like `net:[4026532281]`. */
export const networkNamespaceOf = (pid: number): string | undefined => readOrNothing(() => readlinkSync(`/proc/${pid}/ns/net`));

/** The memory of a process in kilobytes. Each shared page is divided among the processes that share it. */
export function memoryKilobytes(pid: number): number {
  const rollup = readOrNothing(() => readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')) ?? '';
  return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
}

/** Reads a file of /proc; undefined when the process has ended meanwhile, or shows itself to nobody (as init in a container): that is none of ours. */
function readOrNothing(read: () => string): string | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(String(error.code))) return undefined;
    throw error;
  }
}
