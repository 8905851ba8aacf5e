// The input of the plan: the datastore's decoded resources, and what this host knows of itself.
import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import type { Decoded, Labels } from '@calico-openstack/datamodel';
import type { BgpConfiguration } from '../resources/bgp-configuration.ts';
import type { BgpFilter } from '../resources/bgp-filter.ts';
import type { BgpPeer, PeerRefusal } from '../resources/bgp-peer.ts';
import type { Departure } from '../resources/live-migration.ts';
import type { Node } from '../resources/node.ts';
import type { NodeIndex } from '../resources/node-index.ts';
import type { SecretRef } from '../resources/values.ts';
import type { Workload } from '../resources/workload.ts';

type ByName<T> = ReadonlyMap<string, T>;

/** The resources by name. An invalid resource is included with the reason, because it must not be treated like an absent one. */
export type Resources = {
  readonly nodes: ByName<Decoded<Node>>;
  /** The index of the same Nodes. */
  readonly nodeIndex: NodeIndex;
  readonly configurations: ByName<Decoded<BgpConfiguration>>;
  readonly peers: ByName<{ readonly ok: true; readonly value: BgpPeer } | PeerRefusal>;
  readonly filters: ByName<Decoded<BgpFilter>>;
  readonly pools: ByName<Decoded<Cidr>>;
  /** Resources (`BGPPeer tor`) whose newest value is invalid, and why. The maps above hold their last valid values. */
  readonly outdated: ByName<string>;
  /** The workloads of this host, by namespace and name. */
  readonly workloads: ByName<Workload>;
  /** The departures from LiveMigrations, by namespace and name. */
  readonly departures: ByName<Decoded<Departure | undefined>>;
};

/** What the host knows of itself. */
export type Host = {
  /** The name of this host's Node. */
  readonly name: string;
  /** The configured router id. When undefined, the router id is the Node's IPv4 address or else a digest of its name. */
  readonly routerId: IpAddress | undefined;
  /** The networks of this host's own interfaces. A neighbour in one of them is next door. */
  readonly networks: readonly Cidr[];
  /** This host's own addresses with their prefix lengths, whatever the state of their interfaces. */
  readonly addresses: readonly Cidr[];
  /** The networks of these addresses, with their interfaces. */
  readonly interfaceNetworks: readonly { readonly interface: string; readonly network: Cidr }[];
  /** The addresses of etcd. */
  readonly datastoreAddresses: readonly IpAddress[];
  /** The addresses of local workloads that are migrating to another host. */
  readonly moving: readonly Cidr[];
  /** Prefixes that the operator allows hosts to announce in addition to single addresses. */
  readonly workloadPrefixes: readonly Cidr[];
  readonly workloadInterfacePrefixes: readonly string[];
  readonly deviceRouteProtocol: number;
  readonly exportPrefixes: readonly Cidr[];
  readonly holdSeconds: number;
  readonly restartWaitSeconds: number;
  /** The greatest number of routes that one neighbour may announce; undefined when there is no limit. */
  readonly mostRoutes: number | undefined;
  /** `syslog`, `stderr`, or a path as a string of BIRD's language. */
  readonly logFile: string;
};

/** Functions that the plan needs from outside. */
export type Lookups = {
  /** Compiles a selector to a function on labels; refused when the selector does not parse. */
  readonly selector: (selector: string) => Decoded<(labels: Labels) => boolean>;
  /** The password to which a resource refers, as a string of BIRD's language. */
  readonly password: (reference: SecretRef) => Decoded<string>;
};

/** A resource or setting that is not applied as written, for log, metrics and status. `key` names the resource (`BGPPeer tor`), `effect` says what follows. */
export type Problem = { readonly key: string; readonly reason: string; readonly effect: string };
