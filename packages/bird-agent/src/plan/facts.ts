// What the plan is made from: the datastore's resources as they were understood, and what this host knows of itself.
import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import type { Decoded, Labels } from '@calico-openstack/datamodel';
import type { BgpConfiguration } from '../resources/bgp-configuration.ts';
import type { BgpFilter } from '../resources/bgp-filter.ts';
import type { BgpPeer, PeerRefusal } from '../resources/bgp-peer.ts';
import type { Departure } from '../resources/live-migration.ts';
import type { Node } from '../resources/node.ts';
import type { SecretRef } from '../resources/values.ts';

type ByName<T> = ReadonlyMap<string, T>;

/** By name. A resource that was not understood is there too, with the reason: it is not the same as an absent one. */
export type Resources = {
  /** In order of name. */
  readonly nodes: ByName<Decoded<Node>>;
  readonly configurations: ByName<Decoded<BgpConfiguration>>;
  readonly peers: ByName<{ readonly ok: true; readonly value: BgpPeer } | PeerRefusal>;
  readonly filters: ByName<Decoded<BgpFilter>>;
  readonly pools: ByName<Decoded<Cidr>>;
  /** Resources (`BGPPeer tor`) whose newest value is not understood, and why: above, their last value that was stands. */
  readonly outdated: ByName<string>;
  /** Of LiveMigrations; by namespace and name. */
  readonly departures: ByName<Decoded<Departure | undefined>>;
};

export type Host = {
  /** This host's Node. */
  readonly name: string;
  /** undefined: the Node's IPv4 address, or what is made from the name. */
  readonly routerId: IpAddress | undefined;
  /** Networks of this host's own interfaces: a neighbour in one of them is next door. */
  readonly networks: readonly Cidr[];
  /** Addresses of this host's own, with the lengths of their networks, wherever they are and whether or not they can be used now. */
  readonly addresses: readonly Cidr[];
  /** The networks of those addresses, and where they are. */
  readonly interfaceNetworks: readonly { readonly interface: string; readonly network: Cidr }[];
  /** Where etcd is. */
  readonly datastoreAddresses: readonly IpAddress[];
  /** Addresses of workloads here that are moving to another host. */
  readonly moving: readonly Cidr[];
  /** What the operator says may be announced by hosts besides single addresses. */
  readonly workloadPrefixes: readonly Cidr[];
  readonly workloadInterfacePrefixes: readonly string[];
  readonly deviceRouteProtocol: number;
  readonly exportPrefixes: readonly Cidr[];
  readonly holdSeconds: number;
  readonly restartWaitSeconds: number;
  /** undefined: any number. */
  readonly mostRoutes: number | undefined;
  /** `syslog`, `stderr`, or a path as BIRD's string. */
  readonly logFile: string;
};

/** What is pure but not this room's own, and what is secret. */
export type Lookups = {
  /** Whether labels match a selector; refused when the selector does not parse. */
  readonly selector: (selector: string) => Decoded<(labels: Labels) => boolean>;
  /** The password that a resource refers to, as BIRD's string. */
  readonly password: (reference: SecretRef) => Decoded<string>;
};

/** Something that is not as somebody wanted it, for log, metric and status. `key` is the resource (`BGPPeer tor`), `effect` what follows. */
export type Problem = { readonly key: string; readonly reason: string; readonly effect: string };
