// Runs BIRD's executable: to check configurations, and, if configured, as a daemon that outlives the agent.
import { type ExecFileException, execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { makeDirectory } from '@calico-openstack/agent/make-directory';
import { BirdError } from './control.ts';
import type { Configured } from './daemon.ts';

const checkTimeoutMs = 30_000;

type Ended = { readonly exitCode: number | undefined; readonly words: string; readonly error: ExecFileException | undefined };

const run = (executable: string, args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(executable, [...args], { timeout: checkTimeoutMs, encoding: 'utf8' }, (error, _, stderr) => {
      const exitCode = error ? (typeof error.code === 'number' ? error.code : undefined) : 0;
      resolve({ exitCode, words: stderr.trim(), error: error ?? undefined });
    });
  });

/**
 * Whether BIRD accepts a file as its configuration (`bird -p`); if not, BIRD's message without the file's name.
 * Rejects with BIRD_MISSING when BIRD cannot be run: a configuration that was not checked must not be used.
 */
export async function checkConfiguration(executable: string, file: string): Promise<Configured> {
  const { exitCode, words, error } = await run(executable, ['-p', '-c', file]);
  if (exitCode === 0) return { ok: true };
  if (exitCode === undefined)
    throw new BirdError(
      'BIRD_MISSING',
      `cannot run ${executable} -p: ${error?.code ?? error?.signal ?? 'unknown'}; install bird2, or name BIRD's program with BirdExecutable`,
      { cause: error },
    );
  const lines = words.split('\n').map((line) => line.replace(/^bird: /, '').replaceAll(file, 'line'));
  return { ok: false, reason: lines.at(-1) ?? `exit code ${exitCode}` };
}

/** How to start BIRD. */
export type BirdLaunch = {
  readonly executable: string;
  readonly configFile: string;
  readonly controlSocket: string;
  readonly pidFile: string;
  /** The user that BIRD switches to once it has its sockets; undefined when it stays the agent's own. */
  readonly user: string | undefined;
  readonly group: string | undefined;
  /** Whether the kernel has routes of a former BIRD. Then they stay until the neighbours have returned (`-R`). */
  readonly recover: boolean;
};

/** Starts BIRD as a daemon. Resolves when it has read its configuration and runs in the background. Rejects with BIRD_START_FAILED and BIRD's message. */
export async function startBird(launch: BirdLaunch): Promise<void> {
  for (const path of [launch.controlSocket, launch.pidFile]) makeDirectory(dirname(path));
  const { exitCode, words, error } = await run(launch.executable, [
    ...['-c', launch.configFile, '-s', launch.controlSocket, '-P', launch.pidFile],
    ...(launch.user ? ['-u', launch.user] : []),
    ...(launch.group ? ['-g', launch.group] : []),
    ...(launch.recover ? ['-R'] : []),
  ]);
  if (exitCode !== 0)
    throw new BirdError('BIRD_START_FAILED', `${launch.executable} did not start: ${words || error?.code || error?.signal}`, { cause: error });
}
