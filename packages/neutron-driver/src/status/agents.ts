// Brings agents' heartbeats into Neutron's table of agents: all that reported since the last time, in one write.
import { type Clock, type Logger, type Loop, startLoop, systemClock } from '@calico-openstack/agent';
import type { AgentName, AgentReport, Background } from '../sources.ts';

/** Collects heartbeats, and writes them to Neutron. */
export type AgentReports = {
  /** Records a heartbeat of a host's agent, by default of its Felix. With `news` the agent is new or was restarted, and the heartbeat is written at once. */
  reported(host: string, started: boolean, news: boolean, agent?: AgentName): void;
  close(): Promise<void>;
};

/** Writes heartbeats every `everyMs` until it is closed, while `isElected`: those that a driver still had when it lost the election, the next one writes. */
export function startAgentReports({
  source,
  everyMs,
  isElected,
  log,
  clock = systemClock,
}: {
  readonly source: Background;
  readonly everyMs: number;
  readonly isElected: () => boolean;
  readonly log: Logger;
  readonly clock?: Clock;
}): AgentReports {
  const waiting = new Map<string, AgentReport>();
  let lastMs = Number.NEGATIVE_INFINITY;
  let urgent = false;
  let inTrouble = false;

  function wait(report: AgentReport): void {
    const key = `${report.agent} ${report.host}`;
    waiting.set(key, { ...report, started: report.started || (waiting.get(key)?.started ?? false) });
  }

  const loop: Loop = startLoop({
    run: async () => {
      if (!isElected()) waiting.clear();
      if (waiting.size === 0) return undefined;
      const restMs = lastMs + everyMs - clock.steadyMs();
      if (restMs > 0 && !urgent) return restMs;
      const agents = [...waiting.values()];
      waiting.clear();
      urgent = false;
      lastMs = clock.steadyMs();
      try {
        await source.reportAgents(agents);
      } catch (error) {
        agents.forEach(wait);
        urgent = true;
        throw error;
      }
      inTrouble = false;
      log.debug({ agents: agents.length }, 'wrote heartbeats of agents to Neutron');
      return undefined;
    },
    onFailure: (error) => {
      if (!inTrouble)
        log.warn(
          { err: error, agents: waiting.size },
          'heartbeats of agents cannot be written to Neutron, which will show these agents as dead; retrying; see that the rows process and Neutron’s database run',
        );
      inTrouble = true;
    },
    clock,
  });

  return {
    reported(host, started, news, agent = 'calico-felix') {
      wait({ agent, host, started });
      urgent ||= news;
      loop.wake();
    },
    close: () => loop.close(),
  };
}
