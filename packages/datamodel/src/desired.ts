// The desired local state: what `policy` hands to `render`. Plain values that say what this host's kernel is to hold, in Calico's terms,
// with every selector resolved and every invalid thing already made to fail closed. Nothing here knows of nftables.

export type IpFamily = 4 | 6;
/** A prefix in canonical text: masked, lower case, compressed (`10.65.0.4/32`, `2001:db8::/64`). Made only by `parseCidr()`. */
export type Cidr = string & { readonly _: 'Cidr' };
/** An address in canonical text. Made only by `parseAddress()`. */
export type IpAddress = string & { readonly _: 'IpAddress' };

/** Identifies a set by what it holds (a selector and its scope, or a named port): equal content asked for, equal id. At most 24 characters of [a-z0-9]. */
export type IpSetId = string & { readonly _: 'IpSetId' };
/** `<kind>/<namespace or empty>/<name>` */
export type PolicyId = string & { readonly _: 'PolicyId' };
export type ProfileId = string & { readonly _: 'ProfileId' };
/** `<orchestrator>/<workload>/<endpoint>`, workload being `<namespace>/<device_id>` */
export type WorkloadId = string & { readonly _: 'WorkloadId' };
export type HostEndpointId = string & { readonly _: 'HostEndpointId' };

/** `addresses`: prefixes, mostly /32 and /128. `named-ports`: (address, protocol, port). */
export type IpSetKind = 'addresses' | 'named-ports';
export type NamedPortMember = { readonly address: IpAddress; readonly protocol: number; readonly port: number };
export type IpSetMember = Cidr | NamedPortMember;

/** One set's change since the last flush. A member is unique in a set, whatever the number of its contributors. */
export type IpSetChange =
  | { readonly change: 'whole'; readonly kind: 'addresses'; readonly members: ReadonlySet<Cidr> }
  | { readonly change: 'whole'; readonly kind: 'named-ports'; readonly members: readonly NamedPortMember[] }
  | { readonly change: 'members'; readonly kind: 'addresses'; readonly added: readonly Cidr[]; readonly removed: readonly Cidr[] }
  | { readonly change: 'members'; readonly kind: 'named-ports'; readonly added: readonly NamedPortMember[]; readonly removed: readonly NamedPortMember[] }
  | { readonly change: 'removed' };

/** Both ends included. */
export type PortRange = { readonly first: number; readonly last: number };
export type IcmpMatch = { readonly type: number; readonly code?: number };

/** One side of a rule. All that is present must hold. */
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

export type RuleAction = 'allow' | 'deny' | 'pass' | 'log';

export type Rule = {
  readonly action: RuleAction;
  /** Absent: both families. A net of one family keeps the rule out of the other (render sees to that, peer/felix.md 3.2). */
  readonly ipVersion?: IpFamily;
  /** 1 to 255 */
  readonly protocol?: number;
  readonly notProtocol?: number;
  /** ICMP for IPv4 packets, ICMPv6 for IPv6 packets. */
  readonly icmp?: IcmpMatch;
  /** Not (type and code both as here). */
  readonly notIcmp?: IcmpMatch;
  readonly source: RuleSide;
  readonly destination: RuleSide;
};

export type Policy = { readonly id: PolicyId; readonly tier: string; readonly ingress: readonly Rule[]; readonly egress: readonly Rule[] };
/** A profile that an endpoint names and that does not exist, or is invalid, is here with a single deny rule each way. */
export type Profile = { readonly id: ProfileId; readonly ingress: readonly Rule[]; readonly egress: readonly Rule[] };

/** A tier that counts for an endpoint in one direction: the policies in order, and what happens at its end. */
export type TierPolicies = { readonly tier: string; readonly policies: readonly PolicyId[]; readonly endAction: 'deny' | 'pass' };

export type EndpointPolicy = {
  readonly ingress: readonly TierPolicies[];
  readonly egress: readonly TierPolicies[];
  /** In order, for both directions; after the last, deny. */
  readonly profiles: readonly ProfileId[];
};

export type IpNat = { readonly internal: IpAddress; readonly external: IpAddress };
/** Calico's `spec.qosControls`, as numbers, those present and in range. bits/s, bits, bytes, packets/s, packets, connections: see datastore.md. */
export type QosControls = { readonly [name: string]: number };

export type LocalWorkload = {
  readonly id: WorkloadId;
  readonly orchestrator: string;
  /** `<namespace>/<device_id>` */
  readonly workload: string;
  /** The port id. */
  readonly endpoint: string;
  readonly interfaceName: string;
  /** Canonical `fa:16:3e:…`, absent if the datastore has none. */
  readonly mac?: string;
  readonly addresses: readonly Cidr[];
  /** The subset of `addresses` and external addresses that this endpoint has: single addresses that nobody else has (ownership.ts, reserved-addresses.ts). */
  readonly routed: readonly Cidr[];
  readonly ipv4Gateway?: IpAddress;
  /** Absent too where it is somebody else's address: the host must not answer for it. */
  readonly ipv6Gateway?: IpAddress;
  /** Those of which this endpoint has both addresses. */
  readonly ipNats: readonly IpNat[];
  /** Never for addresses that somebody has: another workload of this host, or whoever `DesiredChange.reserved` names. */
  readonly allowSpoofedSourcePrefixes: readonly Cidr[];
  /** MACs that count for these addresses only, besides the port's own. Never empty when present. */
  readonly pairMacs?: readonly PairMac[];
  readonly qosControls?: QosControls;
  readonly liveMigrationRole?: 'source' | 'target';
  /** Two endpoints on one interface: the lowest id is active, the others name it here and are not programmed. */
  readonly shadowedBy?: WorkloadId;
  /** What its value asks for and it does not get, each with the reason: the rest of it works. Never empty when present. */
  readonly refusals?: readonly string[];
  readonly policy: EndpointPolicy;
};

/** A MAC that a workload may use with these addresses or prefixes (a VRRP router's, for one). */
export type PairMac = { readonly mac: string; readonly addresses: readonly Cidr[] };

export type LocalHostEndpoint = {
  readonly id: HostEndpointId;
  /** Absent: matched by `expectedIps`. `*`: every interface without a host endpoint of its own. */
  readonly interfaceName?: string;
  readonly expectedIps: readonly IpAddress[];
  /** Traffic to and from the host itself. */
  readonly policy: EndpointPolicy;
  /** Forwarded traffic, without profiles. No tier in either direction: nothing governs it, and it passes. */
  readonly forward: EndpointPolicy;
  /** Before tracking and before DNAT, without profiles: only a rule denies, every tier ends in `pass`. `untracked` is empty for `*`, `preDnat` has no egress. */
  readonly untracked: EndpointPolicy;
  readonly preDnat: EndpointPolicy;
};

/** An IP pool, for NAT. */
export type IpPool = { readonly cidr: Cidr; readonly natOutgoing: boolean };

/** What changed since the last flush, by the smallest step: a key with `undefined` is gone, a key that is not here did not change. */
export type DesiredChange = {
  readonly ipSets: ReadonlyMap<IpSetId, IpSetChange>;
  readonly policies: ReadonlyMap<PolicyId, Policy | undefined>;
  readonly profiles: ReadonlyMap<ProfileId, Profile | undefined>;
  readonly workloads: ReadonlyMap<WorkloadId, LocalWorkload | undefined>;
  readonly hostEndpoints: ReadonlyMap<HostEndpointId, LocalHostEndpoint | undefined>;
  /** By prefix. */
  readonly pools: ReadonlyMap<string, IpPool | undefined>;
  /** What others than workloads have (reserved-addresses.ts): no prefix that a workload may send from holds it. */
  readonly reserved: ReadonlyMap<Cidr, true | undefined>;
};

export const noChange: DesiredChange = {
  ipSets: new Map(),
  policies: new Map(),
  profiles: new Map(),
  workloads: new Map(),
  hostEndpoints: new Map(),
  pools: new Map(),
  reserved: new Map(),
};

/** Something in the datastore that is not understood, and therefore fails closed. Said once when it appears and once when it is gone. */
export type Defect = { readonly key: string; readonly reason: string };

/**
 * The calculation (packages/policy implements it; felix drives it). Pure and synchronous.
 * `update` notes one datastore key's new value (undefined: deleted), in any order, any number of times; keys that do not concern policy are ignored.
 * `flush` returns what changed in the output since the last flush. Output is a function of current content alone.
 */
export interface PolicyCalculation {
  update(key: string, value: Uint8Array | undefined): void;
  flush(): DesiredChange;
  /** Defects that appeared (with a reason) or went (undefined) since the last call, by datastore key. */
  takeDefects(): ReadonlyMap<string, Defect | undefined>;
}
