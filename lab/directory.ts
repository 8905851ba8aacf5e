// The directory of a lab. It holds everything of the lab that is not in the kernel.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandOf, isAlive, type ProcessIdentity, processFacts } from '@calico-openstack/kernel/processes/processes';
import { LabError } from './errors.ts';
import { checkPrefix, type Topology } from './plan.ts';

/** The path is short because it holds sockets, whose paths may have 107 characters. It is not in /run, which may be small: a lab takes 250 MB. */
const labsFolder = '/var/lib/calico-lab';

/** The parts of this project that a lab can do without. */
export const parts = ['felix', 'dhcp-agent', 'bird-agent', 'neutron-driver'] as const;
/** One of `parts`. */
export type Part = (typeof parts)[number];

/** Settings that decide how soon Neutron takes a vanished Felix for dead. Without them it takes the usual minute and a half, or more. */
export type Reporting = {
  /** The interval of Felix's heartbeats, and of the driver's reports to Neutron. */
  readonly intervalSeconds: number;
  /** The heartbeat's time to live in etcd. */
  readonly ttlSeconds: number;
  /** How long Neutron waits for a report before it takes the agent for dead. */
  readonly agentDownSeconds: number;
};

/** Other projects' parts that replace this project's: commands as a shell reads them, and the folder with the Python packages of another driver `calico`. */
export type Foreign = { readonly felix?: string | undefined; readonly dhcpAgent?: string | undefined; readonly driver?: string | undefined };

/** The content of a lab's state file, which `status` and `down` read. */
export type LabState = {
  readonly prefix: string;
  readonly hosts: number;
  readonly topology: Topology;
  readonly without: readonly Part[];
  readonly reporting?: Reporting | undefined;
  /** Whether the parts reach etcd through its grpc-proxy. */
  readonly grpcProxy?: boolean;
  /** Whether etcd knows users. */
  readonly etcdUsers?: boolean;
  readonly etcdMembers?: number;
  readonly foreign?: Foreign | undefined;
  /** Whether Neutron has `core_plugin = calico` with the project's driver, in place of ML2 with its mechanism driver. */
  readonly corePlugin?: boolean;
  /** Whether Nova runs. */
  readonly nova?: boolean;
  /** The folder of the virtual environment whose Neutron runs; undefined for Debian's. */
  readonly neutronEnvironment?: string | undefined;
  /** The process that brings the lab up or uses it; undefined when the lab was left up on purpose. */
  readonly owner: ProcessIdentity | undefined;
};

/** The directory of the lab with this prefix. BAD_OPTION for a prefix that cannot be one. */
export const directoryOf = (prefix: string): string => join(labsFolder, checkPrefix(prefix));

/** The prefixes of all labs that have a directory. */
export const knownLabs = (): string[] => (existsSync(labsFolder) ? readdirSync(labsFolder).sort() : []);

/** Creates the lab's directory and returns its path. LAB_EXISTS if there is one already. */
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

/** Writes the state file, atomically. */
export function writeState(state: LabState): void {
  const file = join(directoryOf(state.prefix), 'lab.json');
  writeFileSync(`${file}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** Reads the state file; undefined when there is no lab of that name, or only its directory was made. */
export function readState(prefix: string): LabState | undefined {
  const file = join(directoryOf(prefix), 'lab.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as LabState) : undefined;
}

/** The identity of this process. */
export function thisProcess(): ProcessIdentity {
  const facts = processFacts(process.pid);
  if (facts === undefined) throw new Error('/proc does not show this process: is it mounted?');
  return { pid: facts.pid, startTicks: facts.startTicks };
}

/** Describes the other process that is using the lab now; undefined when there is none. */
export function userOf(state: LabState): string | undefined {
  if (state.owner === undefined || state.owner.pid === process.pid || !isAlive(state.owner)) return undefined;
  return `process ${state.owner.pid} (${commandOf(state.owner.pid).join(' ')})`;
}
