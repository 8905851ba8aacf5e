// Processes as /proc shows them.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** One process, for as long as it lives: its number may be given to another one later. */
export type ProcessIdentity = { readonly pid: number; readonly startTicks: string };

export type RunningProcess = ProcessIdentity & {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Names its network namespace. */
  readonly network: string;
};

/** undefined: there is no such process (any more), or it is a zombie. */
export function processFacts(pid: number): RunningProcess | undefined {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    const startTicks = startTicksOf(pid);
    return startTicks === undefined ? undefined : { pid, startTicks, command, network: readlinkSync(`/proc/${pid}/ns/net`) };
  } catch (error) {
    // Gone while it was looked at, as processes do; or somebody else's, which is none of ours.
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH', 'EACCES'].includes(String(error.code))) return undefined;
    throw error;
  }
}

/** Field 22 of stat, behind the command's name, which may hold anything. State Z: dead, and its parent has not looked yet. */
function startTicksOf(pid: number): string | undefined {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : fields[19];
}

export function isAlive({ pid, startTicks }: ProcessIdentity): boolean {
  try {
    return startTicksOf(pid) === startTicks;
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ESRCH'].includes(String(error.code))) return false;
    throw error;
  }
}

/** Those whose command line holds the argument. */
export const processesWith = (argument: string): readonly RunningProcess[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processFacts(Number(name)) ?? [])
    .filter(({ command }) => command.slice(1).includes(argument));

export const ownNetwork = (): string => readlinkSync('/proc/self/ns/net');
