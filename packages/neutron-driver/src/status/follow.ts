// Follows what the Felixes report, while this driver is the elected one, and tells the loops which port or agent to look at.
import { type Logger, takeEach, tellUnreadable } from '@calico-openstack/agent';
import { decodeAgentStatus, felixStatusRoot, parseFelixStatusKey } from '@calico-openstack/datamodel';
import type { Change, Etcd } from '@calico-openstack/etcd';
import type { AgentReports } from './agents.ts';
import type { PortStatusLoop } from './port-loop.ts';

/** What can be a port of Neutron's. Its database would refuse some of what else may stand in a key, and with it all ports that are looked up in one question. */
const portId = /^[-0-9A-Za-z]{1,36}$/;

export type StatusFollowOptions = {
  readonly etcd: Etcd;
  readonly region: string | undefined;
  readonly ports: PortStatusLoop;
  readonly agents: AgentReports;
  readonly log: Logger;
  /** What was followed could not be followed on: etcd was restored, replaced, or has forgotten too much. */
  readonly onReadAnew?: (reason: string) => void;
};

/** Until closed. A snapshot taken again brings only what differs: what was told once is not told again. */
export function followStatus({ etcd, region, ports, agents, log, onReadAnew }: StatusFollowOptions): { close(): void } {
  const hosts = new Set<string>();
  let followed = false;

  function one({ key, value }: Change): void {
    const reports = parseFelixStatusKey(region, key);
    if (!reports) return;
    const { host } = reports;
    if (reports.kind === 'endpoint') {
      if (!portId.test(reports.endpoint)) return;
      ports.vanished(reports.endpoint, host, value === undefined);
      ports.look(reports.endpoint);
      return;
    }
    if (value === undefined) {
      hosts.delete(host);
      log.error({ host }, 'Felix has stopped reporting: Neutron will show its agent as dead');
      return;
    }
    const status = decodeAgentStatus(value);
    if (!status.ok) {
      log.warn({ key, reason: status.reason }, 'a report of an agent cannot be read');
      return;
    }
    agents.reported(host, status.value.firstUpdate, !hosts.has(host) || status.value.firstUpdate);
    hosts.add(host);
  }

  return etcd.follow([felixStatusRoot(region)], {
    onChanges: (changes) => {
      takeEach(changes, one, (error, key) =>
        log.error({ err: error, key }, 'a fault of the driver: this report could not be taken in and is left out; please report it with the value'),
      );
    },
    onUnreadable: tellUnreadable(log),
    onState: (state, reason) => {
      if (state === 'reading' && followed)
        onReadAnew?.('the history of reports did not go on where it ended: etcd was restored, replaced, or compacted meanwhile');
      followed ||= state === 'following';
      if (state === 'lost') log.warn({ reason: reason ?? '' }, 'reports of agents and ports cannot be followed');
    },
  });
}
