// Follows the Felixes' reports while this driver is the elected one, and passes each port and agent to the loop that handles it.

import { type Logger, takeEach, tellUnreadable } from '@calico-openstack/agent';
import { unreachable } from '@calico-openstack/agent/errors';
import { agentStatusRoot, decodeAgentStatus, felixStatusRoot, parseAgentStatusKey, parseFelixStatusKey } from '@calico-openstack/datamodel';
import type { Change, Etcd } from '@calico-openstack/etcd';
import type { AgentReports } from './agents.ts';
import type { PortStatusLoop } from './port-loop.ts';

/** The form of a port's id. Neutron's database would refuse some other texts that a key may contain, and with them all ports that are read in the same query. */
const portId = /^[-0-9A-Za-z]{1,36}$/;

/** Where the reports come from, and which loops handle them. */
export type StatusFollowOptions = {
  readonly etcd: Etcd;
  readonly region: string | undefined;
  readonly ports: PortStatusLoop;
  readonly agents: AgentReports;
  readonly log: Logger;
  /** Called when etcd could not be watched on from where it was, because it was restored, replaced or compacted. */
  readonly onReadAnew?: (reason: string) => void;
};

/** Follows the reports until it is closed. A repeated snapshot delivers only the differences. */
export function followStatus({ etcd, region, ports, agents, log, onReadAnew }: StatusFollowOptions): { close(): void } {
  const hosts = new Set<string>();
  /** The revisions of ports' reports, by key. */
  const reportedAt = new Map<string, number>();
  let followed = false;

  function one(change: Change): void {
    const reports = parseFelixStatusKey(region, change.key);
    if (!reports) return;
    switch (reports.kind) {
      case 'endpoint':
        endpointReported(reports.endpoint, change);
        return;
      case 'agent':
        agentReported(reports.host, change);
        return;
      default:
        unreachable(reports);
    }
  }

  function endpointReported(endpoint: string, { key, value, modRevision }: Change): void {
    if (!portId.test(endpoint)) return;
    ports.vanished(endpoint, key, value === undefined ? reportedAt.get(key) : undefined);
    if (value === undefined) reportedAt.delete(key);
    else reportedAt.set(key, modRevision);
    ports.look(endpoint);
  }

  function agentReported(host: string, { key, value }: Change): void {
    if (value === undefined) {
      hosts.delete(host);
      log.error({ host }, 'Felix has stopped reporting: Neutron will show its agent as dead');
      return;
    }
    const status = decodeAgentStatus(value);
    if (!status.ok) {
      log.warn({ key, reason: status.reason }, 'a status report cannot be read and is ignored');
      return;
    }
    agents.reported(host, status.value.firstUpdate, !hosts.has(host) || status.value.firstUpdate);
    hosts.add(host);
  }

  return etcd.follow([felixStatusRoot(region)], {
    onChanges: (changes) => {
      takeEach(changes, one, (error, key) =>
        log.error({ err: error, key }, 'a fault of the driver: this status report could not be processed and is ignored; please report it with the value'),
      );
    },
    onUnreadable: tellUnreadable(log),
    onState: (state, reason) => {
      if (state === 'reading' && followed) onReadAnew?.('the watch of status reports could not continue: etcd was restored, replaced or compacted');
      followed ||= state === 'following';
      if (state === 'lost')
        log.warn(
          { reason: reason ?? '' },
          'status reports cannot be watched in etcd, so Neutron keeps the last states; retrying; see that etcd runs and that this user has the rights that calico-openstack etcd-roles gives',
        );
    },
  });
}

/** Follows the heartbeats of the other agents until it is closed. It has a watch of its own, so that the lack of a right to these keys does not affect what Felix reports. */
export function followAgents({ etcd, region, agents, log }: Pick<StatusFollowOptions, 'etcd' | 'region' | 'agents' | 'log'>): { close(): void } {
  const living = new Set<string>();

  function one({ key, value }: Change): void {
    const from = parseAgentStatusKey(region, key);
    if (!from) return;
    if (value === undefined) {
      living.delete(key);
      log.error({ host: from.host, agent: from.agent }, 'an agent has stopped reporting: Neutron will show it as dead; see whether it runs on its host');
      return;
    }
    const status = decodeAgentStatus(value);
    if (!status.ok) {
      log.warn({ key, reason: status.reason }, 'a heartbeat cannot be read and is ignored');
      return;
    }
    agents.reported(from.host, status.value.firstUpdate, !living.has(key) || status.value.firstUpdate, from.agent);
    living.add(key);
  }

  return etcd.follow([agentStatusRoot(region)], {
    onChanges: (changes) => {
      takeEach(changes, one, (error, key) =>
        log.error({ err: error, key }, 'a fault of the driver: this heartbeat could not be processed and is ignored; please report it with the value'),
      );
    },
    onUnreadable: tellUnreadable(log),
    onState: (state, reason) => {
      if (state === 'lost')
        log.warn(
          { reason: reason ?? '' },
          'heartbeats of DHCP and BIRD agents cannot be watched in etcd, so Neutron will show them as dead; retrying; see that etcd runs and that this user has the rights that calico-openstack etcd-roles gives',
        );
    },
  });
}
