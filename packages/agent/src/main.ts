// The start and the end of every executable: command line, signals and exit codes.
import { readFileSync, writeFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { systemClock } from './clock.ts';
import { isSentence, RestartNeeded, shownError } from './errors.ts';
import type { Logger } from './log.ts';
import { type CheckReport, checkReport, type InDatastore } from './options/check.ts';
import { configFilesOf, type GivenPath } from './options/config-files.ts';
import type { Table } from './options/option.ts';
import type { Resolution } from './options/resolve.ts';
import { openServiceManager } from './service-manager.ts';
import { sourceStack } from './source-stack.ts';

/** A running agent. */
export interface Running {
  readonly log: Logger;
  /** Ends the agent's work in order. What it has written to the kernel and the datastore stays. */
  close(): Promise<void>;
  /** Called on SIGHUP. */
  reload?(): void;
  /** Rejects when the agent cannot go on. It never resolves. */
  readonly failed?: Promise<never>;
}

/** The description of an executable, for `runExecutable`. */
export type ExecutableOptions = {
  /** The command's name: `calico-felix`. */
  readonly name: string;
  /** One sentence for `--help`. */
  readonly description: string;
  /** The configuration files that are read when the command line names none. */
  readonly defaultConfigFiles: readonly string[];
  /** The directories whose `*.conf` files are read too, where they exist, when the command line names no directory. Without this field there is no `--config-dir`. */
  readonly defaultConfigDirectories?: readonly string[];
  /** Reads the options from every place on this host, and changes nothing. For `--check-config`. @throws IniError for a file that cannot be read */
  readonly readOptions: (configFiles: readonly string[]) => Resolution<Table>;
  /** Checks what else on this host would prevent a start with these options, such as a certificate that cannot be read. @throws CodedError with the reason */
  readonly verify?: (configFiles: readonly string[]) => void | Promise<void>;
  /** Reads the datastore's part of the options, and writes nothing there. For `--check-config`. @throws CodedError when the datastore does not answer or refuses */
  readonly readDatastore?: (configFiles: readonly string[]) => Promise<InDatastore>;
  /** Options of the command line that only this executable has. */
  readonly more?: readonly CommandOption[];
  /**
   * Starts the agent.
   * @param given the values of `more` by name, as commander has them (`--include-it` is `includeIt`)
   * @throws StartError when the agent cannot start
   */
  readonly start: (configFiles: readonly string[], given: Readonly<Record<string, unknown>>) => Promise<Running>;
  /** Carries out `--remove`: removes what the executable has installed on this host. @throws StartError when it must not be removed */
  readonly remove?: (configFiles: readonly string[]) => Promise<Removed>;
};

/** An option of the command line. `flags` is written as commander takes it (`--output <file>`). The value of a `repeatable` option is a list. */
export type CommandOption = { readonly flags: string; readonly help: string; readonly repeatable?: true };

/** The result of `--remove`: what was removed, and what is left and why, in words for people. */
export type Removed = { readonly removed: readonly string[]; readonly left: readonly string[] };

const collect = (value: string, previous: readonly string[] | undefined): readonly string[] => [...(previous ?? []), value];

/** The command line of an executable. @param given where the paths of `--config-file` and `--config-dir` are added in their order */
function commandLine(options: ExecutableOptions, given: GivenPath[]): Command {
  const giving = (kind: GivenPath['kind']) => (path: string) => void given.push({ kind, path });
  const command = new Command(options.name)
    .description(options.description)
    .option(
      '-c, --config-file <file>',
      `configuration file instead of ${options.defaultConfigFiles.join(' and ')}; may be given several times, later ones win`,
      giving('file'),
    )
    .option(
      '--check-config',
      'print the options in force and where each comes from, on this host and in etcd, and complaints; change nothing; exit with 0 if there is no complaint, otherwise with 1',
    )
    .version(version(), '--version')
    .exitOverride();
  if (options.defaultConfigDirectories)
    command.option(
      '--config-dir <directory>',
      `directory instead of ${options.defaultConfigDirectories.join(' and ')} whose *.conf files are read in the order of their names; may be given several times`,
      giving('directory'),
    );
  for (const { flags, help, repeatable } of options.more ?? []) {
    if (repeatable) command.option(flags, help, collect);
    else command.option(flags, help);
  }
  if (options.remove) command.option('--remove', 'take away what this program has put on this host, print what was removed and what is left, and exit');
  return command;
}

/**
 * Runs an agent as a process in the foreground. The command line has `-c FILE` or `--config-file FILE` (repeatable), `--check-config`, `--version`, `--help`, `--config-dir DIRECTORY`
 * for an executable that reads neutron.conf, and `--remove` for one that has something to remove.
 *
 * Exit codes: 0 after SIGTERM or SIGINT, which end the agent in order (a second signal ends it at once); 1 when the agent cannot start or cannot go on; 2 for wrong usage;
 * 129 when it has to be started again with another configuration.
 */
export async function runExecutable(options: ExecutableOptions): Promise<void> {
  const given: GivenPath[] = [];
  const command = commandLine(options, given);
  try {
    command.parse(process.argv);
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
    throw error;
  }
  const { checkConfig, remove } = command.opts<{ checkConfig?: true; remove?: true }>();
  /** Ends a process that could not start, with the error on standard error. */
  const fail = (error: unknown): never => {
    process.stderr.write(`${options.name}: ${shownError(error)}\n`);
    process.exit(1);
  };
  let configFiles: readonly string[];
  try {
    configFiles = configFilesOf(given, { files: options.defaultConfigFiles, directories: options.defaultConfigDirectories ?? [] });
  } catch (error) {
    return fail(error);
  }
  if (checkConfig) process.exit(printed(options.name, await checkReport(options, configFiles, systemClock)));
  process.once('uncaughtException', fail);
  if (remove && options.remove) {
    const { removed, left } = await options.remove(configFiles).catch(fail);
    process.stdout.write([...removed.map((what) => `removed: ${what}\n`), ...left.map((what) => `left: ${what}\n`)].join(''));
    process.exit(0);
  }
  nameProcess(options.name);
  const manager = await openServiceManager(process.env);
  let running: Running;
  try {
    running = await options.start(configFiles, command.opts());
  } catch (error) {
    return fail(error);
  }
  process.off('uncaughtException', fail);
  manager?.ready();
  const { log } = running;
  let ending = false;
  const end = async (exitCode: number): Promise<never> => {
    if (ending) process.exit(exitCode);
    ending = true;
    manager?.stopping();
    const impatient = setTimeout(() => process.exit(exitCode), closeLimitMs);
    impatient.unref();
    await running
      .close()
      .catch((error: unknown) => log.error({ err: error }, 'the agent could not end in order; what it was doing may be unfinished until its next start'));
    process.exit(exitCode);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'the agent ends, because it received a signal');
      void end(0);
    });
  }
  process.on('SIGHUP', () => running.reload?.());
  process.on('uncaughtException', (error) => {
    // The stack is logged even of a sentence: that nothing caught the error is a fault of ours.
    log.fatal(
      { err: error, ...(isSentence(error) && { stack: sourceStack(error.stack ?? '') }) },
      'unexpected error: the agent ends, to be restarted; please report the error with its stack',
    );
    void end(1);
  });
  await running.failed?.catch((error: unknown) => {
    if (error instanceof RestartNeeded) {
      log.warn({ reason: error.message }, 'the agent ends, to be started again with a changed configuration');
      return end(129);
    }
    log.fatal({ err: error }, 'the agent cannot go on and ends, to be restarted');
    return end(1);
  });
}

/** Prints a report of `--check-config`: what is in force on standard output, complaints on standard error. Returns the exit code. */
function printed(name: string, { inForce, complaints }: CheckReport): number {
  process.stdout.write(inForce.map((line) => `${line}\n`).join(''));
  process.stderr.write(complaints.map((sentence) => `${name}: ${sentence}\n`).join(''));
  return complaints.length > 0 ? 1 : 0;
}

/** Gives the process its own name in `ps -e`, `top` and the kernel's log, where it would be called MainThread. The kernel keeps 15 characters. */
function nameProcess(name: string): void {
  try {
    writeFileSync('/proc/self/comm', name);
  } catch {
    // Without /proc the process keeps Node's name.
  }
}

/** How long an orderly end may take before the process exits anyway. */
const closeLimitMs = 5000;

/** The workspace's version, or `unknown`. package.json is one directory higher for a source file than for an executable, which is built into packages/<room>/dist. */
export function version(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // there is no package.json at this path
    }
  }
  return 'unknown';
}
