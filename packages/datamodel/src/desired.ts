// The desired local state, which `policy` hands to `render`: plain values that say, in Calico's terms, what this host's kernel is to hold.
// Every selector is resolved, and everything invalid already fails closed. Nothing here knows of nftables.

import type { Cidr, IpAddress, IpFamily } from '@calico-openstack/addresses';

/** The id of a set, derived from what it holds (a selector and its scope, or a named port): the same content always has the same id. At most 24 characters of [a-z0-9]. */
export type IpSetId = string & { readonly _: 'IpSetId' };
/** A policy's id: `<kind>/<namespace or empty>/<name>`. */
export type PolicyId = string & { readonly _: 'PolicyId' };
/** A profile's name. */
export type ProfileId = string & { readonly _: 'ProfileId' };
/** A workload endpoint's id: `<orchestrator>/<workload>/<endpoint>`, where the workload is `<namespace>/<device_id>`. */
export type WorkloadId = string & { readonly _: 'WorkloadId' };
/** A host endpoint's name. */
export type HostEndpointId = string & { readonly _: 'HostEndpointId' };

/** The kinds of sets. `addresses` holds prefixes, mostly /32 and /128; `named-ports` holds (address, protocol, port). */
export type IpSetKind = 'addresses' | 'named-ports';
/** A member of a set of named ports. `protocol` is its IP protocol number. */
export type NamedPortMember = { readonly address: IpAddress; readonly protocol: number; readonly port: number };
/** A member of a set of either kind. */
export type IpSetMember = Cidr | NamedPortMember;

/** How one set changed since the last flush. A member is listed once, however many contributors it has. */
export type IpSetChange =
  | { readonly change: 'whole'; readonly kind: 'addresses'; readonly members: ReadonlySet<Cidr> }
  | { readonly change: 'whole'; readonly kind: 'named-ports'; readonly members: readonly NamedPortMember[] }
  | { readonly change: 'members'; readonly kind: 'addresses'; readonly added: readonly Cidr[]; readonly removed: readonly Cidr[] }
  | { readonly change: 'members'; readonly kind: 'named-ports'; readonly added: readonly NamedPortMember[]; readonly removed: readonly NamedPortMember[] }
  | { readonly change: 'removed' };

/** A range of ports, both ends included. */
export type PortRange = { readonly first: number; readonly last: number };
/** An ICMP type, with or without a code. */
export type IcmpMatch = { readonly type: number; readonly code?: number };

/** One side of a rule (source or destination). All conditions that are present must hold. */
export type RuleSide = {
  /** The address is in one of these. Never empty when present. May mix families. */
  readonly nets?: readonly Cidr[];
  /** The address is in none of these. */
  readonly notNets?: readonly Cidr[];
  /** The address is in every one of these sets. */
  readonly sets?: readonly IpSetId[];
  /** The address is in none of these sets. */
  readonly notSets?: readonly IpSetId[];
  /** The port is in one of these ranges, or (address, protocol, port) in one of `namedPorts`. */
  readonly ports?: readonly PortRange[];
  readonly namedPorts?: readonly IpSetId[];
  /** The port is in none of these ranges, and (address, protocol, port) in none of `notNamedPorts`. */
  readonly notPorts?: readonly PortRange[];
  readonly notNamedPorts?: readonly IpSetId[];
};

/** The action of a rule on a packet that it matches. `pass` skips the rest of the tier. `log` logs the packet and goes on with the next rule. */
export type RuleAction = 'allow' | 'deny' | 'pass' | 'log';

/** A rule of a policy or a profile. All conditions that are present must hold. */
export type Rule = {
  readonly action: RuleAction;
  /** Absent: both families, except that nets of one family alone restrict the rule to that family (`render` does that). */
  readonly ipVersion?: IpFamily;
  /** An IP protocol number, 1 to 255. */
  readonly protocol?: number;
  readonly notProtocol?: number;
  /** The ICMP type of IPv4 packets, the ICMPv6 type of IPv6 packets. */
  readonly icmp?: IcmpMatch;
  /** Excludes packets that have both this type and this code. */
  readonly notIcmp?: IcmpMatch;
  readonly source: RuleSide;
  readonly destination: RuleSide;
};

/** A policy's rules, in order. */
export type Policy = { readonly id: PolicyId; readonly tier: string; readonly ingress: readonly Rule[]; readonly egress: readonly Rule[] };
/** A profile's rules, in order. A profile that an endpoint names and that does not exist or is invalid has a single deny rule in each direction. */
export type Profile = { readonly id: ProfileId; readonly ingress: readonly Rule[]; readonly egress: readonly Rule[] };

/** A tier that applies to an endpoint in one direction: its policies in order, and what happens to packets that none of them decides. */
export type TierPolicies = { readonly tier: string; readonly policies: readonly PolicyId[]; readonly endAction: 'deny' | 'pass' };

/** All policy of an endpoint: its tiers in order, then its profiles. */
export type EndpointPolicy = {
  readonly ingress: readonly TierPolicies[];
  readonly egress: readonly TierPolicies[];
  /** The profiles in order, for both directions. A packet that none of them decides is denied. */
  readonly profiles: readonly ProfileId[];
};

/** A floating IP (`external`) and the fixed IP to which it is translated (`internal`). */
export type IpNat = { readonly internal: IpAddress; readonly external: IpAddress };
/**
 * Calico's `spec.qosControls`: the names that are present, with numbers in range. `…Bandwidth` and `…Peakrate` are in bits/s, `…Burst` in bits, `…Minburst` in bytes,
 * `…PacketRate` in packets/s, `…PacketBurst` in packets, `…MaxConnections` a number of connections.
 */
export type QosControls = { readonly [name: string]: number };

/** A workload endpoint of this host, as the kernel is to have it. */
export type LocalWorkload = {
  readonly id: WorkloadId;
  readonly orchestrator: string;
  /** `<namespace>/<device_id>` */
  readonly workload: string;
  /** The port id. */
  readonly endpoint: string;
  readonly interfaceName: string;
  /** The port's MAC in canonical text (`fa:16:3e:…`). Absent if the datastore has none. */
  readonly mac?: string;
  readonly addresses: readonly Cidr[];
  /** Those of `addresses` and of the external addresses that this endpoint owns: single addresses to which nobody else has a better right (ownership.ts, reserved-addresses.ts). */
  readonly routed: readonly Cidr[];
  /** The addresses that it shares with other ports of its network, whichever of them has them now. Absent when it shares none. */
  readonly shared?: SharedAddresses;
  readonly ipv4Gateway?: IpAddress;
  /** Absent also if the address belongs to somebody else, because the host must not answer for it. */
  readonly ipv6Gateway?: IpAddress;
  /** The floating IPs of which this endpoint owns both addresses. */
  readonly ipNats: readonly IpNat[];
  /** Prefixes from which the endpoint may send. They never give it an address that somebody else has: another workload of this host, or the holders of `DesiredChange.reserved`. */
  readonly allowSpoofedSourcePrefixes: readonly Cidr[];
  /** MACs that are valid only with certain addresses, in addition to the port's own MAC. Never empty when present. */
  readonly pairMacs?: readonly PairMac[];
  readonly qosControls?: QosControls;
  readonly liveMigrationRole?: 'source' | 'target';
  /** Set when a BGPPeer has this host speak BGP with the workload. */
  readonly bgpPeering?: WorkloadPeering;
  /** Set when another endpoint names the same interface and has the lower id: that one is active, this one is not programmed. */
  readonly shadowedBy?: WorkloadId;
  /** The parts of the endpoint's value that cannot take effect, each with its reason. The rest of the endpoint works. Never empty when present. */
  readonly refusals?: readonly string[];
  readonly policy: EndpointPolicy;
};

/**
 * Address pairs that several ports of a network have, for example the address of a VRRP group. Never empty. `createdMs` is the age of the port: of several that show that they have such
 * an address, the older one gets it (`compareClaims`).
 */
export type SharedAddresses = { readonly addresses: readonly Cidr[]; readonly createdMs: number };

/** Where a workload reaches the BIRD of its host. */
export type WorkloadPeering = {
  /** The host's own addresses on the workload's interface, at most one of each family: BGPConfiguration's `localWorkloadPeeringIPV4` and `localWorkloadPeeringIPV6`. Never empty. */
  readonly addresses: readonly IpAddress[];
  readonly port: number;
};

/** A MAC that a workload may use with these addresses or prefixes only, for example that of a VRRP router. */
export type PairMac = { readonly mac: string; readonly addresses: readonly Cidr[] };

/** A host endpoint of this host. */
export type LocalHostEndpoint = {
  readonly id: HostEndpointId;
  /** Absent: the interface is the one that has one of `expectedIps`. `*`: every interface without a host endpoint of its own. */
  readonly interfaceName?: string;
  readonly expectedIps: readonly IpAddress[];
  /** Policy for traffic to and from the host itself. */
  readonly policy: EndpointPolicy;
  /** Policy for forwarded traffic; profiles do not count. Without any tier, forwarded traffic passes. */
  readonly forward: EndpointPolicy;
  /** Policy before connection tracking and before DNAT; profiles do not count. Only a rule denies here: every tier ends in `pass`. `untracked` is empty for `*`, `preDnat` has no egress. */
  readonly untracked: EndpointPolicy;
  readonly preDnat: EndpointPolicy;
};

/** An IP pool. `natOutgoing`: packets from the pool to addresses outside of all pools are masqueraded. */
export type IpPool = { readonly cidr: Cidr; readonly natOutgoing: boolean };

/** What changed since the last flush. A key whose value is undefined was removed; a key that is absent did not change. */
export type DesiredChange = {
  readonly ipSets: ReadonlyMap<IpSetId, IpSetChange>;
  readonly policies: ReadonlyMap<PolicyId, Policy | undefined>;
  readonly profiles: ReadonlyMap<ProfileId, Profile | undefined>;
  readonly workloads: ReadonlyMap<WorkloadId, LocalWorkload | undefined>;
  readonly hostEndpoints: ReadonlyMap<HostEndpointId, LocalHostEndpoint | undefined>;
  /** Keyed by prefix. */
  readonly pools: ReadonlyMap<string, IpPool | undefined>;
  /** Addresses that belong to others than workloads (reserved-addresses.ts): no prefix from which a workload may send covers them. */
  readonly reserved: ReadonlyMap<Cidr, true | undefined>;
  /** Those of them that Nodes have: the addresses of the cloud's hosts. */
  readonly nodes: ReadonlyMap<Cidr, true | undefined>;
};

/** The change that changes nothing. */
export const noChange: DesiredChange = {
  ipSets: new Map(),
  policies: new Map(),
  profiles: new Map(),
  workloads: new Map(),
  hostEndpoints: new Map(),
  pools: new Map(),
  reserved: new Map(),
  nodes: new Map(),
};

/** Something in the datastore that is not understood and therefore fails closed. It is reported once when it appears and once when it is gone. */
export type Defect = { readonly key: string; readonly reason: string };

/**
 * The policy calculation: packages/policy implements it, felix drives it. Pure and synchronous.
 * `update` takes one datastore key's new value (undefined when it was deleted), in any order, any number of times; keys that do not concern policy are ignored.
 * `flush` returns how the output changed since the last flush. The output depends on the current content alone, not on how it came about.
 */
export interface PolicyCalculation {
  update(key: string, value: Uint8Array | undefined): void;
  flush(): DesiredChange;
  /** The defects that appeared (with a reason) or are gone (undefined) since the last call, by datastore key. */
  takeDefects(): ReadonlyMap<string, Defect | undefined>;
}
