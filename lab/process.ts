// Runs the commands and services of one lab. Each process carries the lab's mark in its environment and is recorded in the lab's directory.
// By that, `down` finds them later and touches nothing else.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive, type ProcessIdentity, processFacts } from '@calico-openstack/kernel/processes/processes';
import { isLabError, LabError } from './errors.ts';
import type { Machine } from './plan.ts';
import { patienceMs, tailOf, until, type WaitOptions } from './wait.ts';

/** Every process of a lab inherits this variable; its value is the lab's directory. */
export const labMark = 'CALICO_LAB';
/** The name of the file in a service's folder that records its process. */
export const processRecord = 'process.json';

/** How a command ended: its exit status, or the signal that killed it, and what it printed. */
export type Outcome = { readonly status: number | NodeJS.Signals; readonly stdout: string; readonly stderr: string };

/** How to run a command. */
export type RunOptions = {
  /** The machine in whose network namespace to run it. Left out: the namespace of this process. */
  readonly on?: Machine;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The command is killed with SIGKILL after this time. The default is `patienceMs`. */
  readonly timeoutMs?: number;
};

/** A service's program and how to start it. */
export type Program = {
  /** The service's name, which is also its folder in the lab's directory: `host-1/felix`. */
  readonly name: string;
  readonly on?: Machine;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Writes what the program needs before it starts. It runs before every start, so that a restart finds the same as the first start. */
  readonly prepare?: () => Promise<void> | void;
  /** Resolves when the service can be used. Left out: it can be used as soon as it runs. `hopeful` throws when the service has ended. */
  readonly ready?: (hopeful: () => void) => Promise<void>;
};

/** A long-running program of the lab. A service that another process started is found by its record. */
export interface Service {
  readonly name: string;
  /** The folder of the service: configuration, data, sockets, log. */
  readonly directory: string;
  readonly log: string;
  readonly program: Program;
  /** The pid; undefined when the service does not run. */
  pid(): number | undefined;
  /** What the service has logged since this object last started it. */
  said(): string;
  /** Starts the service and waits until it is ready. Rejects with ENDED_EARLY and its last lines when it ends before. */
  start(): Promise<void>;
  /** Sends a signal to the process. Does nothing when it does not run. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the service does not run any more. */
  ended(timeoutMs?: number): Promise<void>;
  /** Sends SIGTERM and waits. NOT_READY when the service has not ended in time. */
  stop(timeoutMs?: number): Promise<void>;
}

/** Everything that runs in one lab. */
export interface Processes {
  readonly directory: string;
  readonly signal: AbortSignal;
  /** Runs a command and returns what it printed. COMMAND_FAILED when its exit status is not 0. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<string>;
  /** Runs a command and returns how it ended, failures included. */
  attempt(command: string, args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Starts a command that the caller talks to. It is killed when the lab is aborted. */
  spawn(command: string, args: readonly string[], options?: RunOptions): ChildProcess;
  service(program: Program): Service;
  /** `until` (wait.ts), which the lab's signal ends too. Without that, a look that runs a command would fail again and again after an abort. */
  until<T>(what: string, look: () => Promise<T | undefined> | T | undefined, options?: Omit<WaitOptions, 'signal'>): Promise<T>;
  /** Resolves when no command is running. After an abort, no new one starts. */
  idle(): Promise<void>;
}

/**
 * The processes of the lab with this directory. When `signal` is aborted, all running commands are killed and no other starts (each rejects with the signal's reason); services keep running.
 */
export function createProcesses(directory: string, signal: AbortSignal): Processes {
  const underWay = new Set<ChildProcess>();
  signal.addEventListener('abort', () => {
    for (const child of underWay) child.kill('SIGKILL');
  });

  function environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    const temporary = join(directory, 'tmp');
    mkdirSync(temporary, { recursive: true });
    // Nothing of the caller's environment is inherited: its proxies, Python paths and locale must not change the lab. /usr/local is left out because another Python may be there.
    return { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: temporary, TMPDIR: temporary, [labMark]: directory, ...extra };
  }

  function spawnChild(command: string, args: readonly string[], options: RunOptions): ChildProcess {
    signal.throwIfAborted();
    const [file, argv] = placed(options.on, command, args);
    const child = spawn(file, argv, { cwd: directory, env: environment(options.env), stdio: 'pipe' });
    underWay.add(child);
    child.once('close', () => underWay.delete(child));
    child.once('error', () => underWay.delete(child));
    return child;
  }

  async function attempt(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const { timeoutMs = patienceMs } = options;
    const child = spawnChild(command, args, options);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin?.on('error', () => {}); // a command that ends without reading its input is noticed by its exit status
    child.stdin?.end(options.input ?? '');
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    const status = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.once('error', (cause) => reject(missing(command, cause)));
      child.once('close', (code, killer) => resolve(code ?? killer ?? 'SIGKILL'));
    }).finally(() => clearTimeout(timer));
    signal.throwIfAborted();
    if (late) throw new LabError('COMMAND_FAILED', `${command} ${args.join(' ')}: still running after ${timeoutMs / 1000} s, so it was killed`);
    return { status, stdout: Buffer.concat(stdout).toString('utf8'), stderr: Buffer.concat(stderr).toString('utf8') };
  }

  async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await attempt(command, args, options);
    if (status === 0) return stdout;
    const where = options.on === undefined ? '' : ` on ${options.on.name}`;
    const said = (stderr.trim() || stdout.trim()).split('\n').slice(-15).join('\n');
    throw new LabError('COMMAND_FAILED', `${command} ${args.join(' ')}${where} ended with ${status}: ${said || 'it printed nothing'}`);
  }

  return {
    directory,
    signal,
    run,
    attempt,
    spawn: (command, args, options = {}) => spawnChild(command, args, options),
    until: (what, look, options) => until(what, look, { ...options, signal }),
    service: (program) => makeService(directory, signal, environment, program),
    async idle() {
      await Promise.all([...underWay].map((child) => new Promise((resolve) => child.once('close', resolve))));
    },
  };
}

function makeService(
  labDirectory: string,
  signal: AbortSignal,
  environment: (extra?: Readonly<Record<string, string>>) => Record<string, string>,
  program: Program,
): Service {
  const directory = join(labDirectory, program.name);
  const log = join(directory, 'log');
  const record = join(directory, processRecord);

  const recorded = (): ProcessIdentity | undefined => {
    const identity = readRecord(record);
    return identity !== undefined && isAlive(identity) ? identity : undefined;
  };

  let logStart = 0;

  async function start(): Promise<void> {
    signal.throwIfAborted();
    mkdirSync(directory, { recursive: true });
    await program.prepare?.();
    signal.throwIfAborted();
    const [file, argv] = placed(program.on, program.command, program.args);
    const output = openSync(log, 'a');
    logStart = fstatSync(output).size;
    let ending: string | undefined;
    // Each service has a session of its own, so that Ctrl-C on the terminal reaches the lab alone, which then ends its services in order.
    const child = spawn(file, argv, { cwd: directory, env: environment(program.env), detached: true, stdio: ['ignore', output, output] });
    closeSync(output);
    child.unref();
    child.once('exit', (status, killer) => {
      ending = `it ended with ${status ?? killer}`;
    });
    child.once('error', (cause) => {
      ending = missing(program.command, cause).message;
    });
    const facts = child.pid === undefined ? undefined : processFacts(child.pid);
    if (facts !== undefined) writeFileSync(record, JSON.stringify({ pid: facts.pid, startTicks: facts.startTicks } satisfies ProcessIdentity));
    const hopeful = (): void => {
      signal.throwIfAborted();
      if (ending !== undefined) throw new LabError('ENDED_EARLY', `${program.name} did not start: ${ending}; ${tailOf(log)}`);
    };
    try {
      await program.ready?.(hopeful);
      await new Promise(setImmediate); // a program that cannot be started reports that a turn later
      hopeful();
    } catch (error) {
      if (isLabError(error, 'NOT_READY'))
        throw new LabError('NOT_READY', `${program.name} runs but is not ready: ${error.message}; ${tailOf(log)}`, { cause: error });
      throw error;
    }
  }

  const service: Service = {
    name: program.name,
    directory,
    log,
    program,
    pid: () => recorded()?.pid,
    said: () => readFileSync(log).subarray(logStart).toString('utf8'),
    start,
    kill(killer) {
      const identity = recorded();
      if (identity !== undefined) process.kill(identity.pid, killer);
    },
    async ended(timeoutMs = patienceMs) {
      await until(`the end of ${program.name}`, () => (recorded() === undefined ? true : undefined), { timeoutMs, intervalMs: 10 });
    },
    async stop(timeoutMs = patienceMs) {
      service.kill('SIGTERM');
      await service.ended(timeoutMs);
    },
  };
  return service;
}

/** Reads a service's record; undefined when there is none, or only a part of one. */
export function readRecord(path: string): ProcessIdentity | undefined {
  try {
    const { pid, startTicks } = JSON.parse(readFileSync(path, 'utf8')) as Partial<ProcessIdentity>;
    return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT')) return undefined;
    throw error;
  }
}

/** The command line that runs a command on a machine. `ip netns exec` replaces itself by the command, so the pid is the command's own. It also mounts a /sys that shows the namespace. */
function placed(on: Machine | undefined, command: string, args: readonly string[]): [string, string[]] {
  return on === undefined ? [command, [...args]] : ['ip', ['netns', 'exec', on.namespace, command, ...args]];
}

const missing = (command: string, cause: Error): LabError =>
  new LabError('PROGRAM_MISSING', `${command} could not be started: ${cause.message}; tools/install installs what the lab needs`, { cause });
