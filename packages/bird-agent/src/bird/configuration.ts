// BIRD's configuration as a value. Everything is decided here; print.ts makes it text. One configuration serves both families.
import type { Cidr, IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { LogSeverity } from '../resources/bgp-configuration.ts';
import type { BgpFilter } from '../resources/bgp-filter.ts';
import type { Community } from '../resources/values.ts';

/**
 * The metric of all routes that BIRD programs. It lies above that of a local workload's route that has arrived by live migration (512) and below that of any other (1024).
 * So a route to the VM's new host beats the route to its tap that still exists on the old host, and nothing else does.
 * It must not vary by route: BIRD 2.0.12 never removes the IPv4 route of the former metric from the kernel.
 */
export const birdRouteMetric = 768;

/** A session's use of a BGPFilter. `filter` is undefined when it is missing or not a BGPFilter; then every route that gets this far is rejected. */
export type FilterUse = { readonly name: string; readonly filter: BgpFilter | undefined };

/**
 * How far a neighbour is trusted. `host`: one of our hosts, or a speaker inside the AS, which may announce workloads only. `external`: a peer that an operator wants,
 * whose routes are decided by the operator's filters, except for this host's own addresses. `nextDoor`: an external peer on a network of this host.
 * `workload`: a tenant's workload of this host, which has its own addresses and what the operator's filters accept.
 */
export type Trust = 'host' | 'workload' | 'external' | 'nextDoor';

/** A BGP session. */
export type Session = {
  /** BIRD's name for the session, with apostrophes. It does not change during the life of the session. */
  readonly symbol: string;
  readonly family: IpFamily;
  /** This end of the session. When the address is undefined, the kernel chooses it. */
  readonly local: { readonly address: IpAddress | undefined; readonly port: number; readonly asNumber: number };
  readonly neighbor: { readonly address: IpAddress; readonly port: number; readonly asNumber: number };
  /** Whether the other side opens the connection. */
  readonly passive: boolean;
  /** `direct`: the neighbour is on a network of this host, and next hops are the neighbour or on the same network. `multihop`: next hops are resolved in the routing table. */
  readonly transport: { readonly kind: 'direct' } | { readonly kind: 'multihop'; readonly hops: number | undefined };
  readonly ttlSecurity: boolean;
  /** The TCP MD5 password as a string of BIRD's language. */
  readonly password: string | undefined;
  readonly restartSeconds: number | undefined;
  readonly keepaliveSeconds: number | undefined;
  /** The session's hold time. When undefined, the configuration's hold time applies. */
  readonly holdSeconds: number | undefined;
  /** Whether the session uses BFD: it ends as soon as BFD loses the neighbour, once it had it. */
  readonly bfd: boolean;
  /** Whether this host may have thousands of sessions like this one: with all hosts of the mesh, or with a reflector's clients. */
  readonly isOneOfMany: boolean;
  readonly nextHop: 'auto' | 'self' | 'keep';
  readonly allowedLocalAsNumbers: number | undefined;
  /** Set when this host is a route reflector of that cluster and the session is internal: then routes learnt by BGP are passed on. */
  readonly reflector: { readonly clusterId: IpAddress; readonly neighborIsClient: boolean } | undefined;
  readonly trust: Trust;
  /** The single addresses of the workload at the other end, where the trust is `workload`. */
  readonly ownAddresses: readonly Cidr[];
  readonly filters: readonly FilterUse[];
  /** A gateway to the neighbour, when routing alone would not find it. */
  readonly reachableBy: IpAddress | undefined;
};

/** The data that decides which routes are accepted from whom. */
export type Guards = {
  /** This host's own addresses. */
  readonly own: readonly IpAddress[];
  /** The networks of this host's interfaces. */
  readonly networks: readonly Cidr[];
  /** The addresses of other hosts, of etcd and of the neighbours that BGPPeers name. */
  readonly hosts: readonly IpAddress[];
  /** The addresses of local workloads that are migrating to another host. */
  readonly moving: readonly Cidr[];
  /** Prefixes that an operator has declared to be workloads': hosts may announce them, and parts of them. */
  readonly workloads: readonly Cidr[];
};

/** The configuration of one family. */
export type FamilyConfiguration = {
  /** This host's address in the family, to which other hosts send traffic for its guests' prefixes; undefined when the Node has none. */
  readonly nodeAddress: IpAddress | undefined;
  /** Felix's metric for a workload's route. A lower metric means that the workload has just arrived here. */
  readonly normalRoutePriority: number;
  /** Routes in these prefixes are announced from any interface. */
  readonly exportPrefixes: readonly Cidr[];
  /** The communities to add to announced routes in a prefix. */
  readonly advertisements: readonly { readonly cidr: Cidr; readonly communities: readonly Community[] }[];
  readonly guards: Guards;
};

/** The whole configuration. */
export type BirdConfiguration = {
  /** BIRD's log: `syslog`, `stderr`, or a path as a string of BIRD's language. */
  readonly logFile: string;
  readonly logSeverity: LogSeverity;
  readonly routerId: IpAddress;
  /** The beginnings of the names of workload interfaces. */
  readonly workloadInterfacePrefixes: readonly string[];
  /** The routing protocol number that Felix puts on workloads' routes (DeviceRouteProtocol). */
  readonly deviceRouteProtocol: number;
  /** Patterns of interfaces whose networks BIRD must ignore. */
  readonly ignoredInterfaces: readonly string[];
  /** Whether sessions listen on their local address only. */
  readonly bindToNodeAddress: boolean;
  readonly holdSeconds: number;
  /** How long a BIRD that was started with -R keeps the kernel's routes while its neighbours return. One host that has vanished for good makes it wait for the whole time. */
  readonly restartWaitSeconds: number;
  /** The greatest number of routes that one neighbour may announce; undefined when there is no limit. */
  readonly mostRoutes: number | undefined;
  readonly families: { readonly [family in IpFamily]: FamilyConfiguration };
  readonly sessions: readonly Session[];
};
