// A lab's directory: everything of it is in there, and nothing of it anywhere else but in the kernel.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from './errors.ts';
import { checkPrefix } from './plan.ts';
import { commandLineOf, isAlive, type ProcessIdentity, processFacts } from './proc.ts';

/** Short, since socket files are in it, whose paths may have 107 characters. Not in /run, which may be small: a lab takes 250 MB. */
const labsFolder = '/var/lib/calico-lab';

export const parts = ['felix', 'dhcp-agent', 'bird-agent', 'neutron-driver'] as const;
export type Part = (typeof parts)[number];

/** How soon a Felix that is gone counts as dead in Neutron. undefined: after the usual minute and a half, and more. */
export type Reporting = {
  /** Between a Felix's signs of life, and between the driver's reports of them to Neutron. */
  readonly intervalSeconds: number;
  /** After which a sign of life is gone from etcd. */
  readonly ttlSeconds: number;
  /** After which Neutron takes an agent for dead that nobody reported. */
  readonly agentDownSeconds: number;
};

/** What `status` and `down` need to know. */
export type LabState = {
  readonly prefix: string;
  readonly hosts: number;
  readonly without: readonly Part[];
  readonly reporting?: Reporting | undefined;
  /** Whether the parts reach etcd by its grpc-proxy. */
  readonly grpcProxy?: boolean;
  /** The process that brings it up or uses it. undefined: it was left up on purpose. */
  readonly owner: ProcessIdentity | undefined;
};

export const directoryOf = (prefix: string): string => join(labsFolder, checkPrefix(prefix));

/** The prefixes of all labs that have a directory. */
export const knownLabs = (): string[] => (existsSync(labsFolder) ? readdirSync(labsFolder).sort() : []);

/** Takes the name: LAB_EXISTS if somebody has it. */
export function claimDirectory(state: LabState): string {
  const directory = directoryOf(state.prefix);
  mkdirSync(labsFolder, { recursive: true });
  try {
    mkdirSync(directory);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    throw new LabError(
      'LAB_EXISTS',
      `there is a lab called ${state.prefix} already (${directory}); remove it with: npm run lab -- down --prefix ${state.prefix}, or choose another name with --prefix`,
    );
  }
  writeState(state);
  return directory;
}

export function writeState(state: LabState): void {
  const file = join(directoryOf(state.prefix), 'lab.json');
  writeFileSync(`${file}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** undefined: no lab of that name, or one that got no further than its directory. */
export function readState(prefix: string): LabState | undefined {
  const file = join(directoryOf(prefix), 'lab.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as LabState) : undefined;
}

export function thisProcess(): ProcessIdentity {
  const facts = processFacts(process.pid);
  if (facts === undefined) throw new Error('/proc does not show this process: is it mounted?');
  return { pid: facts.pid, startTicks: facts.startTicks };
}

/** The process that is using the lab now, if that is not this one, in words; undefined when nobody is. */
export function userOf(state: LabState): string | undefined {
  if (state.owner === undefined || state.owner.pid === process.pid || !isAlive(state.owner)) return undefined;
  return `process ${state.owner.pid} (${commandLineOf(state.owner.pid)})`;
}
