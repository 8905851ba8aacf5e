// Computes BIRD's configuration from the datastore's resources and the host's facts. The same facts give the same plan, whatever came before. Remembered results only save work.
import { createHash } from 'node:crypto';
import { addressFromBytes, addressOf, familyOf, type IpAddress, type IpFamily } from '@calico-openstack/addresses';
import type { Decoded } from '@calico-openstack/datamodel';
import { type BirdConfiguration, birdRouteMetric, type Session } from '../bird/configuration.ts';
import { type KeptFlatMap, keptFlatMap } from '../kept.ts';
import { advertisementsOf, type BgpConfiguration, resolveAdvertisements } from '../resources/bgp-configuration.ts';
import type { Node } from '../resources/node.ts';
import { settleClaims } from './claims.ts';
import type { Host, Lookups, Problem, Resources } from './facts.ts';
import { guardsOf } from './guards.ts';
import { createMeshMemory, type Mesh, type MeshMemory, planSessions, type Speaker } from './sessions.ts';
import { planWorkloadSessions } from './workload-sessions.ts';

/** The desired configuration, or why there is none. */
export type Plan =
  | { readonly ok: true; readonly configuration: BirdConfiguration; readonly problems: readonly Problem[] }
  /** BIRD's configuration must not change, because an indispensable resource is invalid. */
  | { readonly ok: false; readonly problems: readonly Problem[] };

const defaultAsNumber = 64512;
const defaultPort = 179;
const defaultRoutePriority = 1024;

/** Makes the plan. Invalid resources are named in `problems` with the consequences. */
export type Planner = (resources: Resources, host: Host, lookups: Lookups) => Plan;

/** Creates a planner that remembers what it has derived from each Node, so that the next plan costs what has changed. */
export function createPlanner(): Planner {
  const nodeName = ({ name }: Node): string => name;
  const memory: Memory = {
    speakers: keptFlatMap<Node, Speaker>(nodeName),
    mesh: createMeshMemory(),
    hosts: { 4: keptFlatMap<Node, IpAddress>(nodeName), 6: keptFlatMap<Node, IpAddress>(nodeName) },
  };
  return (resources, host, lookups) => planFrom(resources, host, lookups, memory);
}

/** Makes a plan from scratch. */
export const plan: Planner = (resources, host, lookups) => createPlanner()(resources, host, lookups);

type Memory = {
  readonly speakers: KeptFlatMap<Node, Speaker>;
  readonly mesh: MeshMemory;
  readonly hosts: { readonly [family in IpFamily]: KeptFlatMap<Node, IpAddress> };
};

function planFrom(resources: Resources, host: Host, lookups: Lookups, memory: Memory): Plan {
  const problems: Problem[] = [];
  const halt = (key: string, reason: string): Plan => ({
    ok: false,
    problems: [...problems, { key, reason, effect: "BIRD's configuration stays as it is" }],
  });
  for (const [key, reason] of resources.outdated) problems.push({ key, reason, effect: 'its last value that was understood stands' });

  const cluster = resources.configurations.get('default');
  if (cluster?.ok === false) return halt('BGPConfiguration default', cluster.reason);
  const perHost = resources.configurations.get(`node.${host.name}`);
  if (perHost?.ok === false) return halt(`BGPConfiguration node.${host.name}`, perHost.reason);
  const own = resources.nodes.get(host.name);
  if (!own) return halt(`Node ${host.name}`, 'does not exist (yet)');
  if (!own.ok) return halt(`Node ${host.name}`, own.reason);

  const settings = combine(cluster?.value, perHost?.value);
  const advertisements = resolveAdvertisements(settings);
  if (!advertisements.ok) return halt(`BGPConfiguration ${perHost?.value.prefixAdvertisements ? `node.${host.name}` : 'default'}`, advertisements.reason);
  problems.push(...unsupportedFields(resources, host.name));

  const hostPorts = listenPorts(resources);
  const speaker = (node: Node): Speaker => ({
    node,
    asNumber: node.asNumber ?? settings.asNumber ?? defaultAsNumber,
    listenPort: hostPorts.get(node.name) ?? cluster?.value.listenPort ?? defaultPort,
  });
  problems.push(...absentAddresses(own.value, host));
  const others = settleClaims(otherNodes(resources, own.value, problems), resources.nodeIndex, host.name, ownAddresses(own.value, host), problems);
  const peeringAddresses = settings.workloadPeering ?? { 4: undefined, 6: undefined };
  const speakers = memory.speakers(others, JSON.stringify([settings.asNumber, cluster?.value.listenPort, [...hostPorts]]), speaker);
  const fabric = planSessions({
    own: speaker(own.value),
    others: speakers,
    isNodeAddress: (address) => resources.nodeIndex.claimants.has(address),
    mesh: meshOf(settings),
    peers: resources.peers,
    filters: resources.filters,
    networks: [...host.networks, ...families.flatMap((family) => own.value.addresses[family]?.network ?? [])],
    lookups,
    memory: memory.mesh,
  });
  const workloads = planWorkloadSessions({
    own: speaker(own.value),
    peers: resources.peers,
    workloads: resources.workloads,
    filters: resources.filters,
    peeringAddresses,
    isTaken: takenAddresses(own.value, resources, host, fabric.peers),
    lookups,
  });
  problems.push(...fabric.problems, ...workloads.problems);

  const guarded = {
    own: own.value,
    others,
    host,
    pools: resources.pools,
    advertisements: advertisements.value,
    peeringAddresses: families.flatMap((each) => peeringAddresses[each] ?? []),
    peers: fabric.peers.map(({ neighbor }) => neighbor.address).filter((address) => !resources.nodeIndex.claimants.has(address)),
    ignoredInterfaces: settings.ignoredInterfaces ?? [],
  };
  const ofFamily = (of: IpFamily): BirdConfiguration['families'][IpFamily] => ({
    nodeAddress: own.value.addresses[of]?.address,
    normalRoutePriority: normalRoutePriority(settings, of, problems),
    exportPrefixes: host.exportPrefixes.filter((prefix) => familyOf(prefix) === of),
    advertisements: advertisementsOf(advertisements.value, of),
    guards: guardsOf(of, guarded, memory.hosts[of]),
  });
  const configured = { 4: ofFamily(4), 6: ofFamily(6) }; // before the problems are counted
  return {
    ok: true,
    problems: distinct(problems),
    configuration: {
      logFile: host.logFile,
      logSeverity: settings.logSeverity ?? 'Info',
      routerId: host.routerId ?? own.value.addresses[4]?.address ?? routerIdFromName(host.name),
      workloadInterfacePrefixes: host.workloadInterfacePrefixes,
      deviceRouteProtocol: host.deviceRouteProtocol,
      ignoredInterfaces: settings.ignoredInterfaces ?? [],
      bindToNodeAddress: settings.bindMode === 'NodeIP',
      holdSeconds: host.holdSeconds,
      restartWaitSeconds: host.restartWaitSeconds,
      mostRoutes: host.mostRoutes,
      families: configured,
      sessions: [...fabric.mesh, ...fabric.peers, ...workloads.sessions],
    },
  };
}

const meshOf = (settings: Settings): Mesh => ({
  enabled: settings.nodeToNodeMeshEnabled ?? true,
  password: settings.nodeMeshPassword,
  restartSeconds: settings.nodeMeshMaxRestartSeconds,
  bfd: settings.meshBfd ?? false,
});

/** The listening ports of the hosts that have one of their own in a BGPConfiguration, by host name. */
const listenPorts = ({ configurations }: Resources): ReadonlyMap<string, number> =>
  new Map(
    [...configurations].flatMap(([name, each]) =>
      name.startsWith('node.') && each.ok && each.value.listenPort ? [[name.replace(/^node\./, ''), each.value.listenPort]] : [],
    ),
  );

/** Whether no workload can have this address, whatever its endpoint says, because it is a host's, etcd's, or another neighbour's. */
function takenAddresses(own: Node, { nodeIndex }: Resources, host: Host, peers: readonly Session[]): (address: IpAddress) => boolean {
  const taken = new Set([...ownAddresses(own, host), ...host.datastoreAddresses, ...peers.map(({ neighbor }) => neighbor.address)]);
  return (address) => taken.has(address) || nodeIndex.claimants.has(address);
}

const families = [4, 6] as const satisfies readonly IpFamily[];

const understood = <T>(result: Decoded<T> | undefined): T | undefined => (result?.ok ? result.value : undefined);

/** The settings of this host; a field is undefined when Calico's default applies. */
type Settings = Partial<BgpConfiguration> & Pick<BgpConfiguration, 'communities' | 'prefixAdvertisements' | 'logSeverity'>;

/** Combines the cluster's BGPConfiguration with this host's. For the fields that a host may have, the host's value counts; the others are the cluster's only, as in upstream's agent. */
function combine(cluster: BgpConfiguration | undefined, host: BgpConfiguration | undefined): Settings {
  return {
    ...cluster,
    communities: host?.communities ?? cluster?.communities,
    prefixAdvertisements: host?.prefixAdvertisements ?? cluster?.prefixAdvertisements,
    logSeverity: host?.logSeverity ?? cluster?.logSeverity,
  };
}

/** Removes duplicates: a problem that several sessions share is reported once. */
const distinct = (problems: readonly Problem[]): readonly Problem[] => [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];

/** All addresses that this host has, or that its Node says it has. */
function ownAddresses(own: Node, host: Host): ReadonlySet<IpAddress> {
  return new Set([...host.addresses.map(addressOf), ...families.flatMap((family) => own.addresses[family]?.address ?? [])]);
}

/** Addresses of the Node that this host does not have, so that it cannot use them. */
function absentAddresses(own: Node, { addresses }: Host): readonly Problem[] {
  if (addresses.length === 0) return []; // the host's addresses are not known
  const here = new Set(addresses.map(addressOf));
  return families.flatMap((family): Problem[] => {
    const address = own.addresses[family]?.address;
    if (address === undefined || here.has(address)) return [];
    return [
      {
        key: `Node ${own.name}`,
        reason: `spec.bgp.ipv${family}Address: ${address} is on no interface of this host`,
        effect: `no session of that family comes up; add the address, or set IPv${family}Address in bird-agent.cfg and remove it from the Node`,
      },
    ];
  });
}

/** The other Nodes, sorted by name. An invalid Node is reported and left out. */
function otherNodes({ nodeIndex: { sorted, invalid } }: Resources, own: Node, problems: Problem[]): readonly Node[] {
  for (const [name, reason] of [...invalid].sort(([a], [b]) => (a < b ? -1 : 1)))
    problems.push({ key: `Node ${name}`, reason, effect: 'no session with that host' });
  return sorted.filter((node) => node !== own);
}

/** Reports fields of BGPConfiguration that this agent does not support. */
export function unsupportedFields({ configurations }: Pick<Resources, 'configurations'>, host: string): readonly Problem[] {
  const known = ['default', `node.${host}`].flatMap((name): Problem[] =>
    (understood(configurations.get(name))?.unsupported ?? []).map((field) => ({
      key: `BGPConfiguration ${name}`,
      reason: `${field}: is not supported`,
      effect: 'the field is ignored',
    })),
  );
  // The other fields apply to the cluster only: on single hosts they would split the mesh.
  const misplaced = (understood(configurations.get(`node.${host}`))?.clusterOnly ?? []).map(
    (field): Problem => ({
      key: `BGPConfiguration node.${host}`,
      reason: `${field}: only BGPConfiguration default may have it`,
      effect: 'the field is ignored',
    }),
  );
  const strange = [...configurations.keys()]
    .filter((name) => name !== 'default' && !name.startsWith('node.'))
    .map((name): Problem => ({ key: `BGPConfiguration ${name}`, reason: 'is neither "default" nor "node.<host>"', effect: 'it is ignored' }));
  return [...known, ...misplaced, ...strange];
}

function normalRoutePriority(settings: Settings, family: IpFamily, problems: Problem[]): number {
  const wanted = settings.normalRoutePriority?.[family] ?? defaultRoutePriority;
  if (wanted > birdRouteMetric) return wanted;
  problems.push({
    key: 'BGPConfiguration default',
    reason: `spec.ipv${family}NormalRoutePriority: ${wanted} is not above ${birdRouteMetric}, the metric of BIRD's own routes`,
    effect: `${defaultRoutePriority} is used`,
  });
  return defaultRoutePriority;
}

/** The router id of a host without IPv4: four bytes of its name's digest, the first between 1 and 223 (upstream's `hash`). */
function routerIdFromName(name: string): IpAddress {
  const [first = 0, ...rest] = createHash('sha256').update(name).digest().subarray(0, 4);
  return addressFromBytes(Uint8Array.of((first % 223) + 1, ...rest));
}
