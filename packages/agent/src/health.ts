// Whether the agent lives and is ready, as the sum of what its components report. Answers as Calico's do: 200 or 503, and a table for people.

export type Report = { readonly live: boolean; readonly ready: boolean; readonly detail?: string };

export interface Component {
  report(report: Report): void;
}

export interface Health {
  /** A component that has not reported for `timeoutMs` counts as neither live nor ready. undefined: its last report holds for ever. */
  register(name: string, timeoutMs?: number): Component;
  readonly live: boolean;
  readonly ready: boolean;
  /** One row a component, sorted by name. */
  table(): string;
}

export function createHealth(nowMs: () => number = () => performance.now()): Health {
  const components = new Map<string, { timeoutMs: number | undefined; report: Report; atMs: number }>();
  const late = (component: { timeoutMs: number | undefined; atMs: number }): boolean =>
    component.timeoutMs !== undefined && nowMs() - component.atMs > component.timeoutMs;
  const all = (what: 'live' | 'ready'): boolean => [...components.values()].every((component) => component.report[what] && !late(component));
  return {
    register(name, timeoutMs) {
      const entry = { timeoutMs, report: { live: true, ready: false } as Report, atMs: nowMs() };
      components.set(name, entry);
      return { report: (report) => Object.assign(entry, { report, atMs: nowMs() }) };
    },
    get live() {
      return all('live');
    },
    get ready() {
      return all('ready');
    },
    table() {
      const rows = [...components.entries()]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, component]) => {
          const word = (good: boolean, what: string): string => (late(component) ? 'timed out' : `reporting ${good ? '' : 'non-'}${what}`);
          return [
            name,
            component.timeoutMs === undefined ? '-' : `${component.timeoutMs / 1000}s`,
            word(component.report.live, 'live'),
            word(component.report.ready, 'ready'),
            component.report.detail ?? '',
          ];
        });
      const table = [['COMPONENT', 'TIMEOUT', 'LIVENESS', 'READINESS', 'DETAIL'], ...rows];
      const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
      return table
        .map((row) =>
          row
            .map((cell, column) => cell.padEnd(widths[column]!))
            .join(' | ')
            .trimEnd(),
        )
        .join('\n');
    },
  };
}
