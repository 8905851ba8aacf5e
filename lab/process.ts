// Runs commands and services for one lab. What it starts carries the lab's mark in its environment and is recorded in the lab's directory,
// so that `down` finds it later, whoever calls that, and touches nothing else.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLabError, LabError } from './errors.ts';
import type { Machine } from './plan.ts';
import { isAlive, type ProcessIdentity, processFacts } from './proc.ts';
import { tailOf, until, type WaitOptions } from './wait.ts';

/** Every process of a lab inherits this variable; its value is the lab's directory. */
export const labMark = 'CALICO_LAB';
export const processRecord = 'process.json';

export type Outcome = { readonly status: number | NodeJS.Signals; readonly stdout: string; readonly stderr: string };

export type RunOptions = {
  /** In whose network namespace; left out: the machine's own. */
  readonly on?: Machine;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** SIGKILL after that. */
  readonly timeoutSeconds?: number;
};

export type Program = {
  /** Also the folder in the lab's directory: `host-1/felix`. */
  readonly name: string;
  readonly on?: Machine;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Writes what the program needs before it starts: each time, so that a restart finds it as the first start did. */
  readonly prepare?: () => Promise<void> | void;
  /** Resolves when the service can be used. Left out: as soon as it runs. */
  readonly ready?: (hopeful: () => void) => Promise<void>;
};

/** A long-running program of the lab. What another process of the lab started is found by its record. */
export interface Service {
  readonly name: string;
  /** Everything of it is in here: configuration, data, sockets, log. */
  readonly directory: string;
  readonly log: string;
  readonly program: Program;
  /** undefined: does not run. */
  pid(): number | undefined;
  /** What it has logged since this object last started it. */
  said(): string;
  /** Starts it and waits until it is ready; rejects with its last lines if it ends before (ENDED_EARLY). */
  start(): Promise<void>;
  /** Sends a signal to the process; does nothing when it does not run. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves when it does not run (any more). */
  ended(timeoutSeconds?: number): Promise<void>;
  /** SIGTERM, then waits; NOT_READY if it has not ended within the time. */
  stop(timeoutSeconds?: number): Promise<void>;
}

export interface Processes {
  readonly directory: string;
  readonly signal: AbortSignal;
  /** Runs a command to its end and hands back what it printed; COMMAND_FAILED if it ends badly. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<string>;
  /** The same for a command whose failure is an answer. */
  attempt(command: string, args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** A child to talk to: killed when the lab is. */
  spawn(command: string, args: readonly string[], options?: RunOptions): ChildProcess;
  service(program: Program): Service;
  /** `until`, ended by the signal too: a look that runs a command would else fail for ever. */
  until<T>(what: string, look: () => Promise<T | undefined> | T | undefined, options?: Omit<WaitOptions, 'signal'>): Promise<T>;
  /** Resolves when no command is under way: after an abort, nothing more will come into being. */
  idle(): Promise<void>;
}

/**
 * `signal`: once aborted, every command under way is killed, and none starts any more (each rejects with the signal's reason); services keep running.
 */
export function labProcesses(directory: string, signal: AbortSignal): Processes {
  const underWay = new Set<ChildProcess>();
  signal.addEventListener('abort', () => {
    for (const child of underWay) child.kill('SIGKILL');
  });

  function environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    const temporary = join(directory, 'tmp');
    mkdirSync(temporary, { recursive: true });
    // Not the caller's: its proxies, Python paths and locale are no business of the lab's. No /usr/local either, where another Python may be first.
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
    const { timeoutSeconds = 60 } = options;
    const child = spawnChild(command, args, options);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin?.on('error', () => {}); // a command that ends without reading its input says so by its status
    child.stdin?.end(options.input ?? '');
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutSeconds * 1000);
    const status = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.once('error', (cause) => reject(missing(command, cause)));
      child.once('close', (code, killer) => resolve(code ?? killer ?? 'SIGKILL'));
    }).finally(() => clearTimeout(timer));
    signal.throwIfAborted();
    if (late) throw new LabError('COMMAND_FAILED', `${command} ${args.join(' ')}: still running after ${timeoutSeconds} s, so it was killed`);
    return { status, stdout: Buffer.concat(stdout).toString('utf8'), stderr: Buffer.concat(stderr).toString('utf8') };
  }

  async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await attempt(command, args, options);
    if (status === 0) return stdout;
    const where = options.on === undefined ? '' : ` on ${options.on.name}`;
    const said = (stderr.trim() || stdout.trim()).split('\n').slice(-15).join('\n');
    throw new LabError('COMMAND_FAILED', `${command} ${args.join(' ')}${where} ended with ${status}: ${said || 'it said nothing'}`);
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
    // A session of its own: Ctrl-C on the terminal reaches the lab, which then ends its services in order.
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
      await new Promise(setImmediate); // lets a program that could not be started at all say so
      hopeful();
    } catch (error) {
      if (isLabError(error, 'NOT_READY'))
        throw new LabError('NOT_READY', `${program.name} runs but is of no use yet: ${error.message}; ${tailOf(log)}`, { cause: error });
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
    async ended(timeoutSeconds = 30) {
      await until(`the end of ${program.name}`, () => (recorded() === undefined ? true : undefined), { timeoutSeconds, intervalMs: 10 });
    },
    async stop(timeoutSeconds = 30) {
      service.kill('SIGTERM');
      await service.ended(timeoutSeconds);
    },
  };
  return service;
}

/** undefined: there is no record, or only the beginning of one. */
export function readRecord(path: string): ProcessIdentity | undefined {
  try {
    const { pid, startTicks } = JSON.parse(readFileSync(path, 'utf8')) as Partial<ProcessIdentity>;
    return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT')) return undefined;
    throw error;
  }
}

/** `ip netns exec` becomes the command, so the pid is the command's own; it also gives it a /sys that shows this namespace. */
function placed(on: Machine | undefined, command: string, args: readonly string[]): [string, string[]] {
  return on === undefined ? [command, [...args]] : ['ip', ['netns', 'exec', on.namespace, command, ...args]];
}

const missing = (command: string, cause: Error): LabError =>
  new LabError('PROGRAM_MISSING', `${command} could not be started: ${cause.message}; tools/install installs what the lab needs`, { cause });
