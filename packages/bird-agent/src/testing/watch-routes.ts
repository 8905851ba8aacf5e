// Records the kernel's events about the routes of a namespace.
import { type ChildProcess, spawn } from 'node:child_process';

export type Watched = {
  /** The events so far, one per line. */
  readonly events: () => string;
  /** The messages since the last call. */
  readonly news: () => string;
  end(): void;
};

export function watchRoutes(namespace: string): Watched {
  const monitor: ChildProcess = spawn('ip', ['-n', namespace, 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let events = '';
  let told = 0;
  monitor.stdout?.on('data', (bytes: Buffer) => {
    events += bytes.toString();
  });
  return {
    events: () => events,
    news() {
      const from = told;
      told = events.lastIndexOf('\n') + 1;
      return events.slice(from, told);
    },
    end: () => void monitor.kill(),
  };
}
