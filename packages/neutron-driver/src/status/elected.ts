// The tasks of the elected driver: it brings the reports of the Felixes to Neutron, and compacts etcd's history.
import { type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import { electionKey, legacyElectionKey } from '@calico-openstack/datamodel';
import { type Etcd, elect } from '@calico-openstack/etcd';
import { startCompaction } from '../compaction.ts';
import type { AgentReports } from './agents.ts';
import { followAgents, followStatus } from './follow.ts';
import type { PortStatusLoop } from './port-loop.ts';

/** The parts and settings that the elected driver works with. */
export type ElectedOptions = {
  readonly etcd: Etcd;
  readonly region: string | undefined;
  /** This driver's name in the election, for people to read. */
  readonly candidate: string;
  readonly ports: PortStatusLoop;
  readonly agents: AgentReports;
  readonly compactionPeriodMinutes: number;
  readonly compactionMinRevisions: number;
  /** Called when etcd was restored, replaced or compacted while its reports were followed. */
  readonly onReadAnew: (reason: string) => void;
  readonly log: Logger;
  readonly clock?: Clock;
};

/** A driver's part in the election. */
export type Elected = {
  /** Whether this driver is the elected one. It is right even when the process was stopped for longer than its lease. */
  readonly leading: boolean;
  /** Resigns, so that another driver is elected at once. */
  close(): Promise<void>;
};

/** Takes part in the election until closed. */
export function startElected(options: ElectedOptions): Elected {
  const { etcd, region, ports, agents, onReadAnew, log, clock = systemClock } = options;
  let following: readonly { close(): void }[] = [];

  function endFollowing(): void {
    for (const each of following) each.close();
    following = [];
  }

  const election = elect(etcd, {
    keys: [electionKey(region), legacyElectionKey],
    value: options.candidate,
    onElected: () => {
      log.info({}, 'elected: this driver writes the states of ports and agents to Neutron');
      following = [followStatus({ etcd, region, ports, agents, log, onReadAnew }), followAgents({ etcd, region, agents, log })];
      compaction.wake();
    },
    onLost: (reason) => {
      log.warn({ reason }, 'no longer elected: another driver writes the states of ports and agents to Neutron');
      endFollowing();
    },
    onWaiting: (leader) => log.info({ leader }, 'another driver is elected: this one waits to take its place'),
    onError: (error) => log.debug({ err: error }, 'the election waits for etcd'),
    clock,
  });
  const compaction = startCompaction({
    etcd,
    periodMinutes: options.compactionPeriodMinutes,
    minRevisions: options.compactionMinRevisions,
    elected: () => election.leading,
    log,
    clock,
  });

  return {
    get leading() {
      return election.leading;
    },
    close: async () => {
      endFollowing();
      await compaction.close();
      await election.close();
    },
  };
}
