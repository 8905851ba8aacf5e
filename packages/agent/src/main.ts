// How every executable starts and ends: options, signals, exit codes.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { isSentence, RestartNeeded, shownError } from './errors.ts';
import type { Logger } from './log.ts';
import type { Table } from './options/option.ts';
import { complaintText, optionsInForce, type Resolution } from './options/resolve.ts';
import { sourceStack } from './source-stack.ts';

export interface Running {
  readonly log: Logger;
  /** Ends the agent's work in order. What it has put into kernel and datastore stays. */
  close(): Promise<void>;
  /** SIGHUP. */
  reload?(): void;
  /** Rejects when the agent cannot go on. Never resolves. */
  readonly failed?: Promise<never>;
}

export type ExecutableOptions = {
  readonly name: string;
  readonly description: string;
  readonly defaultConfigFiles: readonly string[];
  /** Reads the options from every place that is on this host, and touches nothing. For `--check-config`. @throws IniError for a file that cannot be read */
  readonly readOptions: (configFiles: readonly string[]) => Resolution<Table>;
  /** What else of these options would keep the agent from starting, such as a certificate that cannot be read. Throws the sentence. */
  readonly verify?: (configFiles: readonly string[]) => void | Promise<void>;
  /** Options of the command line that only this executable has. */
  readonly more?: readonly CommandOption[];
  /** Starts the agent. Rejects (StartError) when it cannot. `given`: the values of `more` by name (`--include-it`: `includeIt`), as the command line has them. */
  readonly start: (configFiles: readonly string[], given: Readonly<Record<string, unknown>>) => Promise<Running>;
  /** `--remove`: takes away what the executable has put on this host. Rejects (StartError) when that must not be. */
  readonly remove?: (configFiles: readonly string[]) => Promise<Removed>;
};

/** `flags`: as `--output <file>`. `repeatable`: may be given several times, and its value is the list. */
export type CommandOption = { readonly flags: string; readonly help: string; readonly repeatable?: true };

/** What was taken away of what an executable had put on the host, and what stays and why, each in words for people. */
export type Removed = { readonly removed: readonly string[]; readonly left: readonly string[] };

const collect = (value: string, previous: readonly string[] | undefined): readonly string[] => [...(previous ?? []), value];

/**
 * Runs an agent as a process in the foreground: `-c FILE`, `--config-file FILE` (repeatable), `--check-config`, `--version`, `--help`, and `--remove` for an executable that has something to remove.
 * SIGTERM and SIGINT end it cleanly with exit code 0, a second one at once; a failure to start or to go on ends it with 1, the wish to be started again with 129; bad usage with 2.
 */
export async function runExecutable(options: ExecutableOptions): Promise<void> {
  const command = new Command(options.name)
    .description(options.description)
    .option('-c, --config-file <file>', 'configuration file; may be given several times, later ones win', collect)
    .option('--check-config', 'print the options in force and where they come from, touch nothing, and exit: 0 if the agent would start with them, 1 if not')
    .version(version(), '--version')
    .exitOverride();
  for (const { flags, help, repeatable } of options.more ?? []) {
    if (repeatable) command.option(flags, help, collect);
    else command.option(flags, help);
  }
  if (options.remove) command.option('--remove', 'take away what this program has put on this host, print what was removed and what is left, and exit');
  try {
    command.parse(process.argv);
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
    throw error;
  }
  const { configFile, checkConfig, remove } = command.opts<{ configFile?: readonly string[]; checkConfig?: true; remove?: true }>();
  const configFiles = configFile ?? options.defaultConfigFiles;
  /** The one place that ends a process which could not start: a sentence, or the stack of a fault of ours. */
  const fail = (error: unknown): never => {
    process.stderr.write(`${options.name}: ${shownError(error)}\n`);
    process.exit(1);
  };
  if (checkConfig) process.exit((await checkOptions(options, configFiles)) ? 0 : 1);
  process.once('uncaughtException', fail);
  if (remove && options.remove) {
    const { removed, left } = await options.remove(configFiles).catch(fail);
    process.stdout.write([...removed.map((what) => `removed: ${what}\n`), ...left.map((what) => `left: ${what}\n`)].join(''));
    process.exit(0);
  }
  let running: Running;
  try {
    running = await options.start(configFiles, command.opts());
  } catch (error) {
    return fail(error);
  }
  process.off('uncaughtException', fail);
  const { log } = running;
  let ending = false;
  const end = async (exitCode: number): Promise<never> => {
    if (ending) process.exit(exitCode);
    ending = true;
    const impatient = setTimeout(() => process.exit(exitCode), closeLimitMs);
    impatient.unref();
    await running.close().catch((error: unknown) => log.error({ err: error }, 'could not end in order'));
    process.exit(exitCode);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'ending');
      void end(0);
    });
  }
  process.on('SIGHUP', () => running.reload?.());
  process.on('uncaughtException', (error) => {
    // That nobody took it is a fault of ours, whatever it says.
    log.fatal({ err: error, ...(isSentence(error) && { stack: sourceStack(error.stack ?? '') }) }, 'unexpected error; ending, to be restarted');
    void end(1);
  });
  await running.failed?.catch((error: unknown) => {
    if (error instanceof RestartNeeded) {
      log.warn({ reason: error.message }, 'ending, to be started again');
      return end(129);
    }
    log.fatal({ err: error }, 'cannot go on; ending, to be restarted');
    return end(1);
  });
}

/** `--check-config`: the options in force on standard output, what is to be said about them on standard error. Whether the agent would start with them. */
async function checkOptions({ name, readOptions, verify }: ExecutableOptions, configFiles: readonly string[]): Promise<boolean> {
  const complain = (sentence: string): void => void process.stderr.write(`${name}: ${sentence}\n`);
  try {
    const resolution = readOptions(configFiles);
    process.stdout.write(`${optionsInForce(resolution).join('\n')}\n`);
    for (const complaint of resolution.complaints) complain(complaintText(complaint));
    if (resolution.complaints.some(({ stops }) => stops)) return false;
    await verify?.(configFiles);
    return true;
  } catch (error) {
    complain(shownError(error));
    return false;
  }
}

/** Longest that an orderly end may take. */
const closeLimitMs = 5000;

/** The workspace's version: the executables are built into packages/<room>/dist. */
export function version(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // not beside this file: the next place
    }
  }
  return 'unknown';
}
