// What /proc says about processes. A process is known by its pid and its start time: a pid alone may since have been given to another.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export type ProcessIdentity = { readonly pid: number /** Clock ticks after boot. */; readonly startTicks: number };
export type ProcessFacts = ProcessIdentity & { readonly parent: number; readonly session: number; readonly zombie: boolean };

/** undefined: there is no such process (any more). */
export function processFacts(pid: number): ProcessFacts | undefined {
  const stat = readOrNothing(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (stat === undefined) return undefined;
  // The name, in brackets, may hold spaces and brackets itself; what follows the last one is numbers.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, startTicks: Number(fields[19]), parent: Number(fields[1]), session: Number(fields[3]), zombie: fields[0] === 'Z' };
}

/** A zombie runs no more. */
export function isAlive(identity: ProcessIdentity): boolean {
  const facts = processFacts(identity.pid);
  return facts !== undefined && facts.startTicks === identity.startTicks && !facts.zombie;
}

export const allProcesses = (): ProcessFacts[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processFacts(Number(name)) ?? []);

/** The environment a process was started with; empty for one that is gone, and for the kernel's own. */
export const environmentOf = (pid: number): readonly string[] => (readOrNothing(() => readFileSync(`/proc/${pid}/environ`, 'latin1')) ?? '').split('\0');

export const commandLineOf = (pid: number): string => (readOrNothing(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1')) ?? '').replaceAll('\0', ' ').trim();

/** Identifies the network namespace that a process is in, like `net:[4026532281]`. */
export const networkNamespaceOf = (pid: number): string | undefined => readOrNothing(() => readlinkSync(`/proc/${pid}/ns/net`));

/** Kilobytes of memory, each shared page divided among those who share it. */
export function memoryKilobytes(pid: number): number {
  const rollup = readOrNothing(() => readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')) ?? '';
  return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
}

/** Processes come and go while one reads about them, and some show themselves to nobody (init, in a container): that is no error, and those are not ours. */
function readOrNothing(read: () => string): string | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(String(error.code))) return undefined;
    throw error;
  }
}
