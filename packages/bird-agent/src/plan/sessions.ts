// Decides who peers with whom: the mesh of all hosts, and BGPPeers, which take precedence.

import { type Cidr, cidrContains, familyOf, type IpAddress, type IpFamily } from '@calico-openstack/addresses';
import { unreachable } from '@calico-openstack/agent/errors';
import { type Decoded, decoded, type Labels, refused } from '@calico-openstack/datamodel';
import type { FilterUse, Session } from '../bird/configuration.ts';
import { symbol } from '../bird/text.ts';
import { type KeptRuns, keptRuns } from '../kept.ts';
import type { BgpPeer } from '../resources/bgp-peer.ts';
import type { Node } from '../resources/node.ts';
import { addressesOf } from '../resources/node-index.ts';
import type { SecretRef } from '../resources/values.ts';
import type { Lookups, Problem, Resources } from './facts.ts';

/** One end of a session, resolved from Node and BGPConfiguration. */
export type Speaker = {
  readonly node: Node;
  readonly asNumber: number;
  readonly listenPort: number;
};

/** The settings of the mesh. */
export type Mesh = {
  readonly enabled: boolean;
  readonly password: SecretRef | undefined;
  readonly restartSeconds: number | undefined;
  readonly bfd: boolean;
};

/** The facts from which the sessions are computed. */
export type SessionsInput = {
  readonly own: Speaker;
  /** All other hosts, sorted by name. */
  readonly others: readonly Speaker[];
  readonly mesh: Mesh;
  readonly peers: Resources['peers'];
  readonly filters: Resources['filters'];
  readonly networks: readonly Cidr[];
  readonly lookups: Lookups;
  /** Whether any Node names this address. */
  readonly isNodeAddress: (address: IpAddress) => boolean;
  readonly memory: MeshMemory;
};

/** The remembered values that were derived from the other hosts for the mesh. */
export type MeshMemory = KeptRuns<Speaker, MeshLink, { readonly 4: readonly Session[]; readonly 6: readonly Session[]; readonly foreign: readonly string[] }>;

/** The facts of the mesh between this host and another one. */
type MeshLink = {
  readonly 4: Session | undefined;
  readonly 6: Session | undefined;
  /** The other host's name, if it is in another AS. */
  readonly foreign: string | undefined;
};

/** Creates a memory for `planSessions`. */
export const createMeshMemory = (): MeshMemory => keptRuns(({ node }) => node.name);

/** The sessions of this host without those with its workloads, and the problems that prevent others. */
export type PlannedSessions = {
  /** The sessions of the mesh by family, sorted by the names of the Nodes. */
  readonly mesh: readonly Session[];
  /** The sessions of BGPPeers, sorted by symbol. */
  readonly peers: readonly Session[];
  readonly problems: readonly Problem[];
};

const families = [4, 6] as const satisfies readonly IpFamily[];

/**
 * A wish for a session with a neighbour. There is one session for each neighbour. A BGPPeer's wish beats one that mirrors another host's BGPPeer, and both beat the mesh's; among equals the
 * name decides. Without `session`, there must be no session with the neighbour, not even the mesh's.
 */
type Wish = {
  readonly from: 'peer' | 'reverse';
  readonly key: string;
  readonly address: IpAddress;
  readonly port: number | undefined;
  readonly session: Session | undefined;
};

const rank = { peer: 0, reverse: 1 } as const;

/** Plans the sessions of this host without those with its workloads. */
export function planSessions(input: SessionsInput): PlannedSessions {
  const problems: Problem[] = [];
  const wishes = peerWishes(input, problems).sort((a, b) => rank[a.from] - rank[b.from]);
  const winners = new Map<string, Wish>();
  const forbidden = new Set(wishes.filter(({ session }) => !session).map(({ address }) => address));
  for (const wish of wishes) {
    if (!wish.session) continue;
    if (wish.from !== 'peer' && forbidden.has(wish.address)) continue;
    const neighbor = `${wish.address} ${wish.port}`;
    const winner = winners.get(neighbor);
    if (!winner) winners.set(neighbor, wish);
    else if (wish.from === 'peer' && winner.key !== wish.key)
      problems.push({ key: wish.key, reason: `${winner.key} peers with ${wish.address} already`, effect: 'no session of its own with that neighbour' });
  }
  const peers = [...winners.values()].flatMap(({ session }) => session ?? []).sort(bySymbol);
  return { mesh: withoutTaken(meshSessions(input, problems), forbidden, peers, input.isNodeAddress), peers, problems };
}

const bySymbol = (a: Session, b: Session): number => (a.symbol < b.symbol ? -1 : 1);

/** Removes the mesh's sessions with neighbours that a BGPPeer is meant for, even if the BGPPeer is refused. */
function withoutTaken(
  mesh: readonly Session[],
  forbidden: ReadonlySet<IpAddress>,
  peers: readonly Session[],
  isNodeAddress: (address: IpAddress) => boolean,
): readonly Session[] {
  const ports = new Map<IpAddress, readonly number[]>();
  for (const { neighbor } of peers) ports.set(neighbor.address, [...(ports.get(neighbor.address) ?? []), neighbor.port]);
  if (![...forbidden, ...ports.keys()].some(isNodeAddress)) return mesh;
  return mesh.filter(({ neighbor: { address, port } }) => !forbidden.has(address) && !ports.get(address)?.includes(port));
}

/** The sessions of the mesh. */
function meshSessions({ own, others, mesh, lookups, memory }: SessionsInput, problems: Problem[]): readonly Session[] {
  // A route reflector takes no part in the mesh: its sessions come from BGPPeers.
  if (!mesh.enabled || own.node.routeReflectorClusterId !== undefined) return [];
  const password = mesh.password && lookups.password(mesh.password);
  if (password?.ok === false) {
    problems.push({ key: 'BGPConfiguration default', reason: `spec.nodeMeshPassword: ${password.reason}`, effect: 'no mesh' });
    return [];
  }
  const ownSide = JSON.stringify([own.node.addresses, own.asNumber, own.listenPort, password?.value, mesh.restartSeconds, mesh.bfd]);
  const runs = memory(
    others,
    ownSide,
    (other): MeshLink => {
      const [four, six] = families.map((family) => meshSession(own, other, family, mesh, password?.value));
      return { 4: four, 6: six, foreign: (four || six) && other.asNumber !== own.asNumber ? other.node.name : undefined };
    },
    (links) => ({
      4: links.flatMap((link) => link[4] ?? []),
      6: links.flatMap((link) => link[6] ?? []),
      foreign: links.flatMap(({ foreign }) => foreign ?? []),
    }),
  );
  const foreign = runs.flatMap((run) => run.foreign);
  if (foreign.length > 0) {
    const names = foreign.slice(0, 3);
    problems.push({
      key: `Node ${own.node.name}`,
      reason: `spec.bgp.asNumber: this host has AS ${own.asNumber}, ${names.join(', ')}${foreign.length > 3 ? ', …' : ''} in the same mesh another`,
      effect: 'external sessions with those hosts: route priorities do not travel across them',
    });
  }
  return ([] as Session[]).concat(...families.flatMap((family) => runs.map((run) => run[family])));
}

function meshSession(own: Speaker, other: Speaker, family: IpFamily, mesh: Mesh, password: string | undefined): Session | undefined {
  const [from, to] = [own.node.addresses[family], other.node.addresses[family]];
  if (!from || !to || other.node.routeReflectorClusterId !== undefined) return undefined;
  return {
    ...basics(own, family),
    symbol: symbol(`mesh${family}`, other.node.name),
    neighbor: { address: to.address, port: other.listenPort, asNumber: other.asNumber },
    // This is upstream's rule, so that hosts of both kinds can mesh: the end with the lower address, as text, waits for the connection. So connections never cross.
    passive: from.address < to.address,
    password,
    restartSeconds: mesh.restartSeconds,
    bfd: mesh.bfd,
    isOneOfMany: true,
  };
}

/** A session without the properties that only a BGPPeer can set. */
export function basics({ node, asNumber, listenPort }: Speaker, family: IpFamily): Omit<Session, 'symbol' | 'neighbor'> {
  return {
    family,
    local: { address: node.addresses[family]?.address, port: listenPort, asNumber },
    passive: false,
    transport: { kind: 'multihop', hops: undefined },
    ttlSecurity: false,
    password: undefined,
    restartSeconds: undefined,
    keepaliveSeconds: undefined,
    holdSeconds: undefined,
    bfd: false,
    isOneOfMany: false,
    nextHop: 'auto',
    allowedLocalAsNumbers: undefined,
    reflector: undefined,
    trust: 'host',
    ownAddresses: [],
    filters: [],
    reachableBy: undefined,
  };
}

/** The other end of a BGPPeer's session. */
type Remote = {
  readonly address: IpAddress;
  readonly port: number;
  readonly asNumber: number;
  /** Set when the other end is one of our hosts. */
  readonly speaker: Speaker | undefined;
};

function peerWishes(input: SessionsInput, problems: Problem[]): Wish[] {
  const speakerAt = speakersByAddress(input);
  return peersInOrder(input.peers).flatMap(([name, peer]) => {
    const key = `BGPPeer ${name}`;
    const refuse = (reason: string, effect = 'no session'): void => {
      problems.push({ key, reason, effect });
    };
    if (!peer.ok) {
      refuse(peer.reason);
      return peer.neighbor ? [none(key, peer.neighbor)] : [];
    }
    // plan/workload-sessions.ts plans the sessions with workloads.
    if (peer.value.remotes.kind === 'workloads') return [];
    for (const field of peer.value.unsupported) refuse(`${field}: is not supported`, 'the field is ignored');
    const ends = resolveEnds(peer.value, input, speakerAt);
    if (!ends.ok) {
      refuse(ends.reason);
      return peer.value.remotes.kind === 'address' ? [none(key, peer.value.remotes.neighbor.address)] : [];
    }
    return [
      ...ends.value.forward.flatMap((remote) => peerWish('peer', key, peer.value, remote, input, refuse)),
      ...ends.value.reverse.flatMap((remote) => peerWish('reverse', key, peer.value, remote, input, refuse)),
    ];
  });
}

/** Finds the other host that has an address. No two have the same (plan/claims.ts). The thousands of hosts are searched only when a BGPPeer names an address. */
function speakersByAddress({ others, isNodeAddress }: SessionsInput): (address: IpAddress) => Speaker | undefined {
  let byAddress: ReadonlyMap<IpAddress, Speaker> | undefined;
  return (address) => {
    if (!isNodeAddress(address)) return undefined;
    byAddress ??= new Map(others.flatMap((speaker) => addressesOf(speaker.node).map((each) => [each, speaker] as const)));
    return byAddress.get(address);
  };
}

/** The BGPPeers, oldest first, then by name: a new BGPPeer takes no session from an existing one. */
export function peersInOrder(peers: Resources['peers']): readonly (readonly [string, PeerEntry])[] {
  const madeMs = (peer: PeerEntry): number => (peer.ok ? peer.value.madeMs : Number.POSITIVE_INFINITY);
  return [...peers].sort(([a, one], [b, other]) => {
    const [first, second] = [madeMs(one), madeMs(other)];
    return first === second ? (a < b ? -1 : 1) : first < second ? -1 : 1;
  });
}

type PeerEntry = NonNullable<ReturnType<Resources['peers']['get']>>;

const none = (key: string, address: IpAddress): Wish => ({ from: 'peer', key, address, port: undefined, session: undefined });

/** Compiles which hosts a BGPPeer applies to. Refused when its selector does not parse. */
export function hostsOf({ hosts }: BgpPeer, { selector }: Lookups): Decoded<(speaker: Speaker) => boolean> {
  switch (hosts.kind) {
    case 'all':
      return decoded(() => true);
    case 'node':
      return decoded(({ node }) => node.name === hosts.node);
    case 'selector': {
      const matches = selector(hosts.selector);
      return matches.ok ? decoded(({ node }) => matches.value(node.labels)) : refused(`spec.nodeSelector: ${matches.reason}`);
    }
    default:
      return unreachable(hosts);
  }
}

/** The neighbours of this host by a BGPPeer: because it applies to this host, or because this host is at the other end of one that applies to others. */
function resolveEnds(
  peer: BgpPeer,
  { own, others, lookups }: SessionsInput,
  speakerAt: (address: IpAddress) => Speaker | undefined,
): Decoded<{ readonly forward: readonly Remote[]; readonly reverse: readonly Remote[] }> {
  const matcher = (selector: string): Decoded<(labels: Labels) => boolean> => lookups.selector(selector);
  const hosts = hostsOf(peer, lookups);
  if (!hosts.ok) return hosts;
  const isFor = hosts.value;

  const { remotes } = peer;
  if (remotes.kind === 'selector') {
    const found = matcher(remotes.selector);
    if (!found.ok) return refused(`spec.peerSelector: ${found.reason}`);
    const isRemote = ({ node }: Speaker): boolean => found.value(node.labels);
    return decoded({
      forward: isFor(own) ? others.filter(isRemote).flatMap(endsOf) : [],
      reverse: peer.reversePeering && isRemote(own) ? others.filter(isFor).flatMap(endsOf) : [],
    });
  }

  if (remotes.kind === 'workloads') return decoded({ forward: [], reverse: [] });
  const { address, port } = remotes.neighbor;
  const isRemote = ({ node, asNumber }: Speaker): boolean => node.addresses[familyOf(address)]?.address === address && asNumber === remotes.asNumber;
  const there = speakerAt(address);
  const speaker = there && isRemote(there) ? there : undefined;
  const forward = isFor(own) && !isRemote(own) ? [{ address, port: port ?? speaker?.listenPort ?? bgpPort, asNumber: remotes.asNumber, speaker }] : [];
  const mirrors = peer.reversePeering && isRemote(own);
  const mirrored = mirrors ? others.filter(isFor).flatMap(endsOf) : [];
  return decoded({ forward, reverse: mirrored.filter((end) => familyOf(end.address) === familyOf(address)) });
}

const bgpPort = 179;

const endsOf = (speaker: Speaker): Remote[] =>
  families.flatMap((family) => {
    const address = speaker.node.addresses[family]?.address;
    return address ? [{ address, port: speaker.listenPort, asNumber: speaker.asNumber, speaker }] : [];
  });

function peerWish(
  from: 'peer' | 'reverse',
  key: string,
  peer: BgpPeer,
  remote: Remote,
  input: SessionsInput,
  refuse: (reason: string, effect?: string) => void,
): Wish[] {
  const { own, lookups } = input;
  const family = familyOf(remote.address);
  const address = own.node.addresses[family]?.address;
  if (remote.address === address) return [];
  if (peer.useNodeIp && !address) {
    // A host with one family cannot peer with neighbours of the other family that a selector finds. Only an explicit address is reported.
    if (peer.remotes.kind === 'address') refuse(`Node ${own.node.name} has no IPv${family} address`);
    return [];
  }
  const password = peer.password && lookups.password(peer.password);
  if (password?.ok === false) {
    refuse(`spec.password: ${password.reason}`, `no session with ${remote.address}`);
    return [none(key, remote.address)];
  }
  // A mirrored session uses this host's own AS, and the AS that the other end declares as its own.
  const localAs = (from === 'peer' ? peer.localAsNumber : undefined) ?? own.asNumber;
  const remoteAs = (from === 'reverse' ? peer.localAsNumber : undefined) ?? remote.asNumber;
  const internal = localAs === remoteAs;
  const clusterId = own.node.routeReflectorClusterId;
  const neighborIsClient = remote.speaker?.node.routeReflectorClusterId !== clusterId;
  const reachableBy = from === 'peer' && peer.reachableBy && familyOf(peer.reachableBy) === family ? peer.reachableBy : undefined;
  const source = peer.useNodeIp ? address : undefined;
  const transport = transportTo(remote.address, internal, peer.ttlSecurityHops, reachableBy, input.networks);
  if (transport.kind === 'direct' && source !== undefined) {
    const shared = input.networks.filter((network) => cidrContains(network, remote.address));
    if (!shared.some((network) => cidrContains(network, source)))
      refuse(
        `speaks from ${source}, which is not in ${shared.join(', ')}, the network of ${remote.address}`,
        'the session does not come up; sourceAddress: None lets the host choose its address there',
      );
  }
  // One of our hosts is trusted as a host in any AS. A speaker by address in another AS is external, even if a Node has that address.
  const isExternal = from === 'peer' && !internal && peer.remotes.kind === 'address';
  const session: Session = {
    ...basics(own, family),
    // A session by address keeps its symbol, whether or not the address is known as one of our hosts'.
    symbol:
      from === 'peer' && peer.remotes.kind === 'address'
        ? symbol(`peer${family}`, peer.name)
        : symbol(`peer${family}`, peer.name, remote.speaker?.node.name ?? ''),
    local: { address: source, port: own.listenPort, asNumber: localAs },
    neighbor: { address: remote.address, port: remote.port, asNumber: remoteAs },
    transport,
    trust: !isExternal ? 'host' : transport.kind === 'direct' ? 'nextDoor' : 'external',
    ttlSecurity: peer.ttlSecurityHops !== undefined,
    password: password?.value,
    restartSeconds: peer.maxRestartSeconds,
    keepaliveSeconds: peer.keepaliveSeconds,
    holdSeconds: peer.holdSeconds,
    bfd: peer.bfd,
    isOneOfMany: clusterId !== undefined && internal && neighborIsClient && remote.speaker !== undefined,
    nextHop: peer.nextHop === 'keep' && internal ? 'auto' : peer.nextHop, // inside an AS next hops are always kept
    allowedLocalAsNumbers: peer.allowedLocalAsNumbers,
    reflector: clusterId && internal ? { clusterId, neighborIsClient } : undefined,
    filters: peer.filters.map((name) => filterUse(name, family, input.filters, refuse)),
    reachableBy,
  };
  return [{ from, key, address: remote.address, port: remote.port, session }];
}

/**
 * An external neighbour next door has a direct session: then its routes lead through itself or its network, independent of BGP. (A next hop must not be resolved
 * by a route whose own next hop has to be resolved, or BIRD calls it unreachable.)
 */
function transportTo(
  address: IpAddress,
  internal: boolean,
  ttlSecurityHops: number | undefined,
  reachableBy: IpAddress | undefined,
  networks: readonly Cidr[],
): Session['transport'] {
  const nextDoor = !internal && reachableBy === undefined && (ttlSecurityHops ?? 1) === 1 && networks.some((network) => cidrContains(network, address));
  return nextDoor ? { kind: 'direct' } : { kind: 'multihop', hops: ttlSecurityHops };
}

/** A session's use of a filter. Problems of the filter are reported for the sessions that use it, because no others are affected. */
export function filterUse(name: string, family: IpFamily, filters: Resources['filters'], refuse: (reason: string, effect?: string) => void): FilterUse {
  const filter = filters.get(name);
  if (!filter?.ok) {
    refuse(
      `spec.filters: BGPFilter ${name} ${filter ? `is not understood: ${filter.reason}` : 'does not exist'}`,
      'all routes are rejected where it would stand',
    );
    return { name, filter: undefined };
  }
  for (const direction of ['import', 'export'] as const) {
    const { problem } = filter.value.rules[direction][family];
    if (problem) refuse(`spec.filters: BGPFilter ${name}: ${problem.field}: ${problem.reason}`, 'all routes that get so far are rejected');
  }
  return { name, filter: filter.value };
}
