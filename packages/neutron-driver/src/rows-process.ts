// Keeps the rows process running: a Python process with Neutron loaded, which the daemon starts, and restarts when it ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Backoff, backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';

const backoff: Backoff = { firstMs: 1000, maxMs: 30_000 };
/** A process that ran for this long is restarted without a pause. */
const settledMs = 60_000;
/** How many of its last lines are logged when it ends. */
const lastLines = 3;

/** The rows process. */
export interface RowsProcess {
  /** Called when the connection of the process with this pid is lost. If it is the rows process, it is killed, because it is useless without a connection. */
  lost(pid: number): void;
  close(): Promise<void>;
}

/** Runs `command` with the configuration files as options until closed, and restarts it when it ends. The process gets the daemon's pid and asks the kernel to end it with the daemon. */
export function startRowsProcess(
  command: readonly string[],
  configFiles: readonly string[],
  log: Logger,
  clock: Pick<Clock, 'steadyMs' | 'pause'> = systemClock,
): RowsProcess {
  const [program, ...args] = command;
  if (program === undefined) return { lost: () => {}, close: async () => {} };
  const stop = new AbortController();
  let child: ChildProcess | undefined;
  let said: readonly string[] = [];

  function once(file: string): Promise<string> {
    return new Promise((resolve) => {
      const running = spawn(file, [...args, ...configFiles.flatMap((config) => ['--config-file', config])], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, CALICO_NEUTRON_DRIVER_PID: String(process.pid) },
      });
      child = running;
      for (const stream of [running.stdout, running.stderr]) {
        // Neutron's own log lines are logged unchanged.
        createInterface({ input: stream }).on('line', (text) => {
          log.debug({ pid: running.pid }, text);
          if (text.trim() !== '') said = [...said.slice(1 - lastLines), text];
        });
      }
      running.on('error', (error) => resolve(error.message));
      running.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
  }

  const ended = (async () => {
    let failures = 0;
    while (!stop.signal.aborted) {
      const startedMs = clock.steadyMs();
      said = [];
      const reason = await once(program);
      child = undefined;
      if (stop.signal.aborted) break;
      failures = clock.steadyMs() - startedMs > settledMs ? 1 : failures + 1;
      const retryMs = backoffMs(backoff, failures);
      log.error(
        { command: command.join(' '), reason, said: said.join(' | '), retryMs: Math.round(retryMs) },
        'the rows process ended: resync and port states wait until it runs again; it is restarted; see its last lines for why',
      );
      await clock.pause(retryMs, stop.signal);
    }
  })();

  return {
    lost: (pid) => {
      if (child?.pid === pid) child.kill('SIGKILL');
    },
    close: async () => {
      stop.abort();
      const running = child;
      running?.kill('SIGTERM');
      const impatient = setTimeout(() => running?.kill('SIGKILL'), 2000);
      await ended;
      clearTimeout(impatient);
    },
  };
}
