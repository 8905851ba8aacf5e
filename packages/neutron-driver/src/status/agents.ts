// Brings the Felixes' heartbeats into Neutron's table of agents: all hosts that reported since the last time, in one write.
import { type Clock, type Logger, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import type { Background } from '../sources.ts';

/** Collects heartbeats, and writes them to Neutron. */
export type AgentReports = {
  /** Takes in a heartbeat of a host's Felix. `news`: the host is new or its Felix was restarted, so the heartbeat is written at once. */
  reported(host: string, started: boolean, news: boolean): void;
  close(): Promise<void>;
};

/** Writes heartbeats every `everyMs` until it is closed. */
export function startAgentReports({
  source,
  everyMs,
  log,
  clock = systemClock,
}: {
  readonly source: Background;
  readonly everyMs: number;
  readonly log: Logger;
  readonly clock?: Clock;
}): AgentReports {
  const waiting = new Map<string, boolean>();
  let lastMs = Number.NEGATIVE_INFINITY;
  let urgent = false;
  let inTrouble = false;

  const loop: Loop = startLoop({
    run: async () => {
      if (waiting.size === 0) return undefined;
      const restMs = lastMs + everyMs - clock.steadyMs();
      if (restMs > 0 && !urgent) return restMs;
      const agents = [...waiting].map(([host, started]) => ({ host, started }));
      waiting.clear();
      urgent = false;
      lastMs = clock.steadyMs();
      try {
        await source.reportAgents(agents);
      } catch (error) {
        for (const { host, started } of agents) waiting.set(host, started || (waiting.get(host) ?? false));
        urgent = true;
        throw error;
      }
      inTrouble = false;
      log.debug({ agents: agents.length }, 'wrote heartbeats of agents to Neutron');
      return undefined;
    },
    onFailure: (error) => {
      if (!inTrouble)
        log.warn({ err: error, agents: waiting.size }, 'heartbeats of Felix cannot be written to Neutron, which will show these agents as dead; retrying');
      inTrouble = true;
    },
    clock,
  });

  return {
    reported(host, started, news) {
      waiting.set(host, started || (waiting.get(host) ?? false));
      urgent ||= news;
      loop.wake();
    },
    close: () => loop.close(),
  };
}
