// Whether the agent is live and ready, according to the reports of its components. The table is laid out as that of Calico's own agents.

/** A component's report about itself. `detail` is for people. */
export type Report = { readonly live: boolean; readonly ready: boolean; readonly detail?: string };

/** A part of an agent that reports its health. */
export interface Component {
  /** Replaces the component's last report. */
  report(report: Report): void;
}

/** The health of an agent. */
export interface Health {
  /**
   * Adds a component, which is live and not ready until its first report.
   * @param timeoutMs a component without a report for this many milliseconds counts as neither live nor ready; without it, the last report holds for ever
   */
  register(name: string, timeoutMs?: number): Component;
  /** Whether all components are live. */
  readonly live: boolean;
  /** Whether all components are ready. */
  readonly ready: boolean;
  /** A table for people: one row for each component, sorted by name. */
  table(): string;
}

/**
 * An agent's health, without components yet.
 * @param nowMs a steady clock in milliseconds
 */
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
