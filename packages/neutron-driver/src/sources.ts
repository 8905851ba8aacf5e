// The processes that answer requests for rows: the Neutron process that made a call, while it waits, and the rows processes at any time.
import { type Clock, systemClock } from '@calico-openstack/agent';
import type { ListedAgent } from '@calico-openstack/datamodel';
import {
  type NotCarriedOut,
  type PortStamp,
  type ProjectRow,
  parseIds,
  parseNotCarriedOut,
  parsePortStamps,
  parseProjects,
  parseRoutedSubnets,
  parseRows,
  parseSharedStamp,
  type Rows,
  type RowsQuestion,
  type RowsSource,
  type SubnetsQuestion,
} from './rows.ts';
import type { PortsOf } from './sync/change.ts';
import { endpointOwners } from './translate/endpoint.ts';
import { type Peer, WireError } from './wire/peer.ts';

/** The kinds that a rows process lists page by page with their rows. */
export type PagedKind = 'subnets' | 'address_groups' | 'security_groups';

/** A port's new status in Neutron. */
export type StatusUpdate = { readonly port: string; readonly host: string; readonly status: 'ACTIVE' | 'DOWN' | 'ERROR' };
/** A floating IP's new status, to be set only if it still belongs to this port (undefined when it belonged to no port). */
export type FloatingIpUpdate = { readonly id: string; readonly port: string | undefined; readonly status: 'ACTIVE' | 'DOWN' };
/** A heartbeat of an agent. `started`: the first one since its start. */
export type AgentReport = { readonly agent: AgentName; readonly host: string; readonly started: boolean };
/** The agents that Neutron lists, by the names of their programs. */
export type AgentName = 'calico-felix' | ListedAgent;

/** The calls of a rows process, in addition to requests for named objects. They reject with WireError. */
export interface Background extends RowsSource {
  /** Lists up to `limit` objects of a kind whose ids sort behind `after`, with their rows. */
  page(kind: PagedKind, after: string, limit: number): Promise<{ readonly ids: readonly string[]; readonly rows: Rows }>;
  /** A digest of what the endpoints of many ports contain; undefined when Neutron does not count the revisions of ports. */
  sharedStamp(): Promise<string | undefined>;
  /** Lists up to `limit` ports whose ids sort behind `after`, each with a text that is another one after each change of the port. */
  portStamps(after: string, limit: number): Promise<readonly PortStamp[]>;
  /** The ids of the ports to which an object applies. */
  portsOf(of: PortsOf, id: string): Promise<readonly string[]>;
  /** Lists the objects in Neutron's database that have no effect in Calico. Each stateless security group is among them. */
  notCarriedOut(): Promise<readonly NotCarriedOut[]>;
  /** Sets a port's status through ML2, which notifies Nova. */
  setPortStatus(update: StatusUpdate): Promise<void>;
  setFloatingIpStatus(update: FloatingIpUpdate): Promise<void>;
  /** Notifies Nova that the port is up on the host to which it migrates. */
  notifyPortActive(port: string): Promise<void>;
  /** Records the heartbeats of all these agents in one write. */
  reportAgents(agents: readonly AgentReport[]): Promise<void>;
}

/** Rows from the process behind this connection. */
export function sourceOf(peer: Peer, timeoutMs: number): RowsSource {
  return {
    rows: async (question: RowsQuestion) => parseRows(await peer.call('rows', question, timeoutMs)),
    projects: async (ids: readonly string[]): Promise<readonly ProjectRow[]> =>
      ids.length === 0 ? [] : parseProjects(await peer.call('projects', { ids }, timeoutMs)),
    subnets: async (question: SubnetsQuestion) => parseRoutedSubnets(await peer.call('subnets', question, timeoutMs)),
  };
}

function backgroundOf(peer: Peer, timeoutMs: number): Background {
  const call = async (method: string, params: object): Promise<unknown> => {
    try {
      return await peer.call(method, params, timeoutMs);
    } catch (error) {
      // The process hangs. Once its connection is closed it ends or is killed, and another takes its place.
      if (error instanceof WireError && error.code === 'PEER_TIMEOUT') peer.close();
      throw error;
    }
  };
  return {
    ...sourceOf({ ...peer, call }, timeoutMs),
    page: async (kind, after, limit) => {
      const answer = (await call('page', { kind, after, limit })) as { ids: unknown; rows: unknown };
      return { ids: parseIds(answer.ids), rows: parseRows(answer.rows) };
    },
    sharedStamp: async () => parseSharedStamp(await call('shared_stamp', {})),
    portStamps: async (after, limit) => parsePortStamps(await call('port_stamps', { after, limit, owners: endpointOwners })),
    portsOf: async (of, id) => parseIds(await call('ports_of', { of, id })),
    notCarriedOut: async () => parseNotCarriedOut(await call('not_carried_out', {})),
    setPortStatus: async (update) => void (await call('set_port_status', update)),
    setFloatingIpStatus: async (update) => void (await call('set_floating_ip_status', { ...update, port: update.port ?? null })),
    notifyPortActive: async (port) => void (await call('notify_port_active', { port })),
    reportAgents: async (agents) => void (await call('report_agents', { agents })),
  };
}

/** The connected rows processes, which are called in turn. A call waits up to `patienceMs` for one to connect, and then rejects with WireError NO_ROWS_PROCESS. */
export function createBackgroundSources(timeoutMs: number, patienceMs: number, clock: Pick<Clock, 'pause'> = systemClock) {
  let peers: readonly { readonly peer: Peer; readonly source: Background }[] = [];
  let turn = 0;
  let arrival = Promise.withResolvers<void>();
  let closed = false;

  async function next(): Promise<Background> {
    if (peers.length === 0 && !closed) {
      const arrived = new AbortController();
      await Promise.race([arrival.promise, clock.pause(patienceMs, arrived.signal)]);
      arrived.abort();
    }
    turn += 1;
    const chosen = peers[turn % Math.max(1, peers.length)];
    if (!chosen)
      throw new WireError(
        'NO_ROWS_PROCESS',
        'no rows process is connected, so Neutron cannot be asked: see why python3 -m calico_openstack.rows_process does not run',
      );
    return chosen.source;
  }

  const source: Background = {
    rows: async (question) => (await next()).rows(question),
    projects: async (ids) => (await next()).projects(ids),
    subnets: async (question) => (await next()).subnets(question),
    page: async (...args) => (await next()).page(...args),
    sharedStamp: async () => (await next()).sharedStamp(),
    portStamps: async (...args) => (await next()).portStamps(...args),
    portsOf: async (...args) => (await next()).portsOf(...args),
    notCarriedOut: async () => (await next()).notCarriedOut(),
    setPortStatus: async (update) => (await next()).setPortStatus(update),
    setFloatingIpStatus: async (update) => (await next()).setFloatingIpStatus(update),
    notifyPortActive: async (port) => (await next()).notifyPortActive(port),
    reportAgents: async (agents) => (await next()).reportAgents(agents),
  };
  return {
    source,
    get connected() {
      return peers.length > 0;
    },
    add(peer: Peer): void {
      peers = [...peers, { peer, source: backgroundOf(peer, timeoutMs) }];
      arrival.resolve();
    },
    remove(peer: Peer): void {
      peers = peers.filter((one) => one.peer !== peer);
      if (peers.length === 0) arrival = Promise.withResolvers<void>();
    },
    /** Ends all waiting calls. */
    close(): void {
      closed = true;
      arrival.resolve();
    },
  };
}
