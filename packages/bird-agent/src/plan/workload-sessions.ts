// Plans the sessions with workloads of this host (BGPPeer's `localWorkloadSelector`). The guest at the other end belongs to a tenant, so nothing that it announces is trusted.
import { addressOf, type IpAddress, type IpFamily } from '@calico-openstack/addresses';
import type { Session } from '../bird/configuration.ts';
import { symbol } from '../bird/text.ts';
import type { BgpPeer } from '../resources/bgp-peer.ts';
import type { Workload } from '../resources/workload.ts';
import type { Lookups, Problem, Resources } from './facts.ts';
import { basics, filterUse, hostsOf, peersInOrder, type Speaker } from './sessions.ts';

/** The facts from which the sessions are computed. */
export type WorkloadSessionsInput = {
  readonly own: Speaker;
  readonly peers: Resources['peers'];
  readonly workloads: Resources['workloads'];
  readonly filters: Resources['filters'];
  /** The host's own addresses in these sessions, by family; undefined when the Node has none. */
  readonly peeringAddresses: { readonly [family in IpFamily]: IpAddress | undefined };
  /** Whether no workload can have this address, whatever its endpoint says, because it is a host's, etcd's, or the neighbour's of another session. */
  readonly isTaken: (address: IpAddress) => boolean;
  readonly lookups: Lookups;
};

type Refuse = (reason: string, effect?: string) => void;

const families = [4, 6] as const satisfies readonly IpFamily[];

/** Plans a session for each workload that a BGPPeer selects, in each family in which both ends have an address. When two BGPPeers select a workload, the older one gets the session. */
export function planWorkloadSessions(input: WorkloadSessionsInput): { readonly sessions: readonly Session[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const sessions = new Map<string, Session>();
  const holders = new Map<IpAddress, string>();
  for (const [name, peer] of peersInOrder(input.peers)) {
    if (!peer.ok || peer.value.remotes.kind !== 'workloads') continue;
    const key = `BGPPeer ${name}`;
    const refuse: Refuse = (reason, effect = 'no session') => {
      problems.push({ key, reason, effect });
    };
    for (const field of peer.value.unsupported) refuse(`${field}: is not supported`, 'the field is ignored');
    for (const session of sessionsOf(peer.value, input, refuse)) {
      const { address } = session.neighbor;
      const holder = holders.get(address);
      if (holder !== undefined) refuse(`${holder} peers with the workload ${address} already`, 'no session of its own with that workload');
      else if (input.isTaken(address))
        refuse(`a workload's endpoint names ${address}, which is a host's, etcd's or another neighbour's`, 'no session with that workload');
      else if (sessions.has(session.symbol)) refuse(`two of its workloads have one interface (${session.symbol})`, 'a session with the first');
      else {
        holders.set(address, key);
        sessions.set(session.symbol, session);
      }
    }
  }
  return { sessions: [...sessions.values()].sort((a, b) => (a.symbol < b.symbol ? -1 : 1)), problems };
}

function sessionsOf(peer: BgpPeer, { own, workloads, filters, peeringAddresses, lookups }: WorkloadSessionsInput, refuse: Refuse): readonly Session[] {
  if (peer.remotes.kind !== 'workloads') return [];
  const hosts = hostsOf(peer, lookups);
  if (!hosts.ok) {
    refuse(hosts.reason);
    return [];
  }
  if (!hosts.value(own)) return [];
  const selected = lookups.selector(peer.remotes.selector);
  if (!selected.ok) {
    refuse(`spec.localWorkloadSelector: ${selected.reason}`);
    return [];
  }
  const found = [...workloads].filter(([, { labels }]) => selected.value(labels)).map(([, workload]) => workload);
  if (found.length === 0) return [];
  if (families.every((family) => peeringAddresses[family] === undefined)) {
    refuse('BGPConfiguration default names no address to speak from with workloads (localWorkloadPeeringIPV4, localWorkloadPeeringIPV6)');
    return [];
  }
  const password = peer.password && lookups.password(peer.password);
  if (password?.ok === false) {
    refuse(`spec.password: ${password.reason}`);
    return [];
  }
  const { asNumber } = peer.remotes;
  return families.flatMap((family) => {
    const used = peer.filters.map((name) => filterUse(name, family, filters, refuse));
    return found.flatMap(
      (workload) => workloadSession({ peer, asNumber, workload, family, own, from: peeringAddresses[family], password: password?.value, used }) ?? [],
    );
  });
}

type SessionInput = {
  readonly peer: BgpPeer;
  readonly asNumber: number;
  readonly workload: Workload;
  readonly family: IpFamily;
  readonly own: Speaker;
  readonly from: IpAddress | undefined;
  readonly password: string | undefined;
  readonly used: Session['filters'];
};

/** The session with a workload in a family; undefined when one of the ends has no address of the family. */
function workloadSession({ peer, asNumber, workload, family, own, from, password, used }: SessionInput): Session | undefined {
  const [first] = workload.addresses[family];
  if (first === undefined || from === undefined) return undefined;
  return {
    ...basics(own, family),
    symbol: symbol(`workload${family}`, peer.name, workload.interfaceName),
    local: { address: from, port: own.listenPort, asNumber: peer.localAsNumber ?? own.asNumber },
    neighbor: { address: addressOf(first), port: bgpPort, asNumber },
    // The guest opens the connection: one from the host would bypass the workload's policy.
    passive: true,
    transport: { kind: 'multihop', hops: peer.ttlSecurityHops },
    ttlSecurity: peer.ttlSecurityHops !== undefined,
    password,
    restartSeconds: peer.maxRestartSeconds,
    keepaliveSeconds: peer.keepaliveSeconds,
    holdSeconds: peer.holdSeconds,
    nextHop: 'self',
    allowedLocalAsNumbers: peer.allowedLocalAsNumbers,
    trust: 'workload',
    ownAddresses: workload.addresses[family],
    filters: used,
  };
}

const bgpPort = 179;
