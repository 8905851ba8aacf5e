// Records the kernel's events about the routes of a namespace.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { until } from './world.ts';

const run = promisify(execFile);

export type Watched = {
  /** The events from the beginning until now, one per line. */
  events(): Promise<string>;
  /** The events since the last call. */
  news(): Promise<string>;
  end(): void;
};

/** A routing table that nobody else uses. The events of its routes are left out. */
const ownTable = 4242;

/** Watches a namespace until ended, at the latest with this process. Resolves when no event is missed any more. */
export async function watchRoutes(namespace: string): Promise<Watched> {
  const monitor: ChildProcess = spawn('setpriv', ['--pdeathsig', 'KILL', 'ip', '-n', namespace, 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  let told = 0;
  let marks = 0;
  monitor.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  /** Adds a route of its own, and waits for its event. The kernel reports events in their order, so the earlier ones have been read by then. */
  async function mark(): Promise<void> {
    await until('the event of a route of the own table', async () => {
      marks += 1;
      await run('ip', ['-n', namespace, 'route', 'add', 'blackhole', '203.0.113.255', 'table', String(ownTable), 'metric', String(marks)]);
      // The monitor may not listen yet, so another route follows.
      return until('this event', () => text.includes(`table ${ownTable} metric ${marks} `) || undefined, 1).catch(() => undefined);
    });
  }
  const others = (lines: string): string =>
    lines
      .split('\n')
      .filter((line) => !line.includes(`table ${ownTable} `))
      .join('\n');
  await mark();
  return {
    async events() {
      await mark();
      return others(text.slice(0, text.lastIndexOf('\n') + 1));
    },
    async news() {
      await mark();
      const from = told;
      told = text.lastIndexOf('\n') + 1;
      return others(text.slice(from, told));
    },
    end: () => void monitor.kill(),
  };
}
