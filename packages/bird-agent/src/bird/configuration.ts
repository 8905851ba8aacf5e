// What BIRD is to do, as a value: everything is decided here, and nothing is text yet (print.ts). Both families in one configuration.
import type { Cidr, IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { LogSeverity } from '../resources/bgp-configuration.ts';
import type { BgpFilter } from '../resources/bgp-filter.ts';
import type { Community } from '../resources/values.ts';

/**
 * The metric of all routes that BIRD programs: above that of a workload's route here that has arrived by live migration (512), below that of any other (1024).
 * So a route to the VM's new host beats the route to its tap that still stands on the old one, and nothing else does.
 * It must not vary by route: BIRD 2.0.12 leaves the IPv4 route of the former metric behind in the kernel, for ever.
 */
export const birdRouteMetric = 768;

/** One use of a BGPFilter by a session. undefined: it is missing or no BGPFilter, so whatever gets so far is rejected. */
export type FilterUse = { readonly name: string; readonly filter: BgpFilter | undefined };

/**
 * Whom a session's routes come from. `host`: one of our hosts, or a speaker inside the AS: it may only have workloads. An external peer is an operator's wish, and the
 * operator's filters decide about what is not this host's own; `nextDoor`: on a network of this host's.
 */
export type Trust = 'host' | 'external' | 'nextDoor';

export type Session = {
  /** BIRD's name for it, apostrophes included; stays the same as long as it is the same session. */
  readonly symbol: string;
  readonly family: IpFamily;
  /** Address undefined: the kernel chooses. */
  readonly local: { readonly address: IpAddress | undefined; readonly port: number; readonly asNumber: number };
  readonly neighbor: { readonly address: IpAddress; readonly port: number; readonly asNumber: number };
  /** The other side opens the connection. */
  readonly passive: boolean;
  /** Direct: the neighbour is on a network of this host's, and next hops are its own or on the same network. Else they are resolved by the routing table. */
  readonly transport: { readonly kind: 'direct' } | { readonly kind: 'multihop'; readonly hops: number | undefined };
  readonly ttlSecurity: boolean;
  /** As BIRD's string. */
  readonly password: string | undefined;
  readonly restartSeconds: number | undefined;
  readonly keepaliveSeconds: number | undefined;
  /** undefined: the configuration's. */
  readonly holdSeconds: number | undefined;
  /** The session ends as soon as the neighbour is not heard of by BFD, once it was. */
  readonly bfd: boolean;
  readonly nextHop: 'auto' | 'self' | 'keep';
  readonly allowedLocalAsNumbers: number | undefined;
  /** This host is a route reflector of that cluster, and the session an internal one: routes learned by BGP are passed on. */
  readonly reflector: { readonly clusterId: IpAddress; readonly neighborIsClient: boolean } | undefined;
  readonly trust: Trust;
  readonly filters: readonly FilterUse[];
  /** A gateway to the neighbour where routing would not find it. */
  readonly reachableBy: IpAddress | undefined;
};

/** What decides which routes are taken from whom. */
export type Guards = {
  /** This host's own addresses. */
  readonly own: readonly IpAddress[];
  /** The networks that this host is on. */
  readonly networks: readonly Cidr[];
  /** Addresses of other hosts, and of etcd. */
  readonly hosts: readonly IpAddress[];
  /** Addresses of workloads here that are moving to another host. */
  readonly moving: readonly Cidr[];
  /** Prefixes that an operator says are workloads': hosts may announce them, and parts of them. */
  readonly workloads: readonly Cidr[];
};

export type FamilyConfiguration = {
  /** Felix's metric for a workload's route; a lower one means that the workload has just arrived here. */
  readonly normalRoutePriority: number;
  /** Routes in these prefixes are announced whatever their interface. */
  readonly exportPrefixes: readonly Cidr[];
  /** Communities added to what is announced in a prefix. */
  readonly advertisements: readonly { readonly cidr: Cidr; readonly communities: readonly Community[] }[];
  readonly guards: Guards;
};

export type BirdConfiguration = {
  /** `syslog`, `stderr`, or a path as BIRD's string. */
  readonly logFile: string;
  readonly logSeverity: LogSeverity;
  readonly routerId: IpAddress;
  /** Beginnings of the names of workloads' interfaces. */
  readonly workloadInterfacePrefixes: readonly string[];
  /** The kernel's routing protocol number on the routes of workloads: Felix's DeviceRouteProtocol. */
  readonly deviceRouteProtocol: number;
  /** Patterns of interfaces whose networks BIRD must not know. */
  readonly ignoredInterfaces: readonly string[];
  /** Sessions listen on their local address only. */
  readonly bindToNodeAddress: boolean;
  readonly holdSeconds: number;
  /** How long a BIRD that was started with -R leaves the kernel's routes alone while its neighbours come back; a host that is gone for good holds that up. */
  readonly restartWaitSeconds: number;
  /** The most routes of one neighbour. undefined: any number. */
  readonly mostRoutes: number | undefined;
  readonly families: { readonly [family in IpFamily]: FamilyConfiguration };
  readonly sessions: readonly Session[];
};
