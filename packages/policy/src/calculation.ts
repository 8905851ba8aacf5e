// The whole calculation. `update` hands a key's value to the nodes of the graph that use it. `flush` lets the nodes settle in the order in which they depend on one another.
import { type Cidr, isHostCidr } from '@calico-openstack/addresses';
import {
  type Defect,
  type DesiredChange,
  decodeWorkloadEndpoint,
  type HostEndpointId,
  type Policy,
  type PolicyCalculation,
  type PolicyId,
  type Profile,
  type ProfileId,
  parseResourceKey,
  parseWorkloadEndpointName,
  type Reservations,
  ReservedAddresses,
  reservationsOfBgpConfiguration,
  reservationsOfBgpPeer,
  reservationsOfNode,
  resourceKey,
  type WorkloadId,
} from '@calico-openstack/datamodel';
import { decodeHostEndpoint, hostEndpointNets } from './decode/host-endpoint.ts';
import { decodeIpPool } from './decode/ip-pool.ts';
import { labelList, workloadLabels } from './decode/labels.ts';
import { decodeLiveMigration } from './decode/live-migration.ts';
import { decodeNetworkSet } from './decode/network-set.ts';
import { type HeldPolicy, holdPolicy, type PolicyKind, policyId, RecentRules } from './decode/policy.ts';
import { allowingRules, decodeProfile, defaultAllowProfile, denyingRules, type ProfileDefinition, type ProfileRules } from './decode/profile.ts';
import type { Reading } from './decode/reading.ts';
import { decodeTier } from './decode/tier.ts';
import { decodePeeringSettings, decodeWorkloadPeer } from './decode/workload-peer.ts';
import { ActiveRules } from './graph/active-rules.ts';
import { AddressPairs } from './graph/address-pairs.ts';
import { Contributors } from './graph/contributors.ts';
import { Defects } from './graph/defects.ts';
import { Governance } from './graph/governance.ts';
import { LocalHostEndpoints } from './graph/host-endpoints.ts';
import { IpSets } from './graph/ip-sets.ts';
import { LabelTable } from './graph/labels.ts';
import { LiveMigrations } from './graph/live-migrations.ts';
import { LocalWorkloads, workloadId } from './graph/local-workloads.ts';
import { Pools } from './graph/pools.ts';
import { Tally } from './graph/tally.ts';
import { WorkloadPeerings } from './graph/workload-peerings.ts';

/** The options of the calculation, which follow from the configuration. */
export type PolicyOptions = {
  /** Whether an endpoint's `allowSpoofedSourcePrefixes` are honoured (FelixConfiguration `workloadSourceSpoofing: Any`). False until it is set. */
  readonly allowSourceSpoofing: boolean;
};

/** The calculation as the agent uses it. */
export type Calculation = PolicyCalculation & {
  /** Sets the options. They take effect at the next flush. */
  setOptions(options: Partial<PolicyOptions>): void;
  /**
   * Replaces the addresses that no workload may have because of one source: the kernel, BIRD's configuration or etcd's endpoints. Takes effect at the next flush.
   * The addresses of Nodes and BGPPeers in the datastore are reserved without this call.
   */
  reserve(source: ReservationSource, reservations: Reservations): void;
  /**
   * Replaces the holders of addresses that ports share (`LocalWorkload.shared`): the endpoint that holds each, or undefined when none of this host's does. An address without an entry
   * belongs to the first claimant by `compareClaims`. Takes effect at the next flush.
   */
  setHolders(holders: ReadonlyMap<Cidr, WorkloadId | undefined>): void;
  /** Sizes as of the last flush, for metrics. */
  counts(): Counts;
};

/** Where reserved addresses outside the datastore come from. */
export type ReservationSource = 'host' | 'etcd' | 'bird';

/**
 * `contributors` counts the endpoints and network sets of the cluster, `labellings` the distinct combinations of their labels, `selectors` the distinct selectors of IP sets,
 * and `scanned` those of them that no index serves. `active` policies and profiles are those that a local endpoint uses. `hosts` have a Node or a workload endpoint.
 */
export type Counts = Readonly<
  Record<
    | 'contributors'
    | 'labellings'
    | 'tiers'
    | 'policies'
    | 'profiles'
    | 'activePolicies'
    | 'activeProfiles'
    | 'ipSets'
    | 'selectors'
    | 'scanned'
    | 'hosts'
    | 'workloadEndpoints'
    | 'hostEndpoints',
    number
  >
>;

/**
 * Creates an empty calculation.
 * @param host the host whose endpoints are local. It is compared exactly with the host in a WorkloadEndpoint's key, and with `spec.node` of a HostEndpoint.
 */
export function createPolicyCalculation({ host, ...options }: { readonly host: string } & Partial<PolicyOptions>): Calculation {
  const calculation = new Graph(host);
  calculation.setOptions(options);
  return calculation;
}

type Value = Uint8Array | undefined;

const noNames: readonly string[] = [];

/** What the keys of Nodes begin with. */
const nodesRoot = resourceKey({ plural: 'nodes', name: '' });

class Graph implements Calculation {
  readonly #host: string;
  readonly #defects = new Defects();
  readonly #labels = new LabelTable();
  readonly #sets = new IpSets();
  readonly #pools = new Pools();
  readonly #migrations: LiveMigrations;
  readonly #peerings: WorkloadPeerings;
  /** Policies and profiles that were updated since the last flush. They are applied by the next flush, so that a policy that is deleted and written again costs nothing. */
  readonly #pendingPolicies = new Map<PolicyId, HeldPolicy | undefined>();
  readonly #pendingProfiles = new Map<ProfileId, ProfileDefinition | undefined>();
  readonly #profiles = new Map<ProfileId, ProfileDefinition>();
  readonly #activeProfiles: ActiveRules<ProfileId, ProfileRules, Profile>;
  readonly #activePolicies: ActiveRules<PolicyId, HeldPolicy, Policy>;
  readonly #recentRules = new RecentRules();
  readonly #governance: Governance;
  readonly #reserved = new ReservedAddresses();
  /** Prefixes whose reservations changed since the last flush. */
  readonly #reservationsChanged = new Set<Cidr>();
  readonly #toldReserved = new Set<Cidr>();
  readonly #toldNodes = new Set<Cidr>();
  readonly #workloads: LocalWorkloads;
  readonly #pairs = new AddressPairs();
  readonly #hostEndpoints: LocalHostEndpoints;
  readonly #contributors: Contributors;
  readonly #tally = new Tally();
  /** How to relabel the local endpoint under a datastore key. */
  readonly #localKeys = new Map<string, (labelling: Parameters<LocalWorkloads['relabel']>[1]) => void>();

  constructor(host: string) {
    this.#host = host;
    this.#migrations = new LiveMigrations(host);
    this.#peerings = new WorkloadPeerings(host);
    this.#activePolicies = new ActiveRules(
      this.#sets,
      (id) => this.#governance.policy(id),
      (policy) => this.#recentRules.of(policy),
      (id, { tier }, lists) => ({ id, tier, ...lists }),
    );
    this.#activeProfiles = new ActiveRules(
      this.#sets,
      (id) => (id === defaultAllowProfile ? allowingRules : (this.#profiles.get(id) ?? denyingRules)),
      (rules) => rules,
      (id, _, lists) => ({ id, ...lists }),
    );
    this.#governance = new Governance(this.#activePolicies);
    const surroundings = {
      governance: this.#governance,
      defects: this.#defects,
      profiles: {
        retain: (id: ProfileId) => this.#activeProfiles.retain(id),
        release: (id: ProfileId) => this.#activeProfiles.release(id),
        exists: (id: ProfileId) => id === defaultAllowProfile || this.#profiles.has(id),
      },
    };
    this.#workloads = new LocalWorkloads(surroundings, this.#migrations, this.#reserved, this.#peerings, this.#pairs);
    this.#hostEndpoints = new LocalHostEndpoints(surroundings);
    this.#contributors = new Contributors(this.#labels, {
      labellingAppeared: (labelling) => this.#sets.labellingAppeared(labelling),
      labellingDisappeared: (labelling) => this.#sets.labellingDisappeared(labelling),
      contributionChanged: (before, after) => this.#sets.contributionChanged(before, after),
      relabelled: (key, labelling) => this.#localKeys.get(key)?.(labelling),
    });
  }

  setOptions({ allowSourceSpoofing }: Partial<PolicyOptions>): void {
    if (allowSourceSpoofing !== undefined) this.#workloads.setAllowSourceSpoofing(allowSourceSpoofing);
  }

  reserve(source: ReservationSource, reservations: Reservations): void {
    this.#setReserved(source, reservations);
  }

  setHolders(holders: ReadonlyMap<Cidr, WorkloadId | undefined>): void {
    this.#workloads.setHolders(holders);
  }

  update(key: string, value: Value): void {
    const resource = parseResourceKey(key);
    if (!resource) return;
    const { namespace, name } = resource;
    switch (resource.plural) {
      case 'workloadendpoints':
        this.#setWorkloadEndpoint(key, resource.namespace, name, value);
        break;
      case 'hostendpoints':
        this.#setHostEndpoint(key, name as HostEndpointId, value);
        break;
      case 'networksets':
      case 'globalnetworksets':
        this.#setNetworkSet(key, namespace, value);
        break;
      case 'networkpolicies':
        this.#setPolicy(key, 'NetworkPolicy', namespace, name, value);
        break;
      case 'globalnetworkpolicies':
        this.#setPolicy(key, 'GlobalNetworkPolicy', undefined, name, value);
        break;
      case 'tiers':
        this.#governance.setTier(name, this.#read(key, value, decodeTier));
        break;
      case 'profiles':
        this.#setProfile(key, name as ProfileId, value);
        break;
      case 'ippools':
        this.#pools.set(name, this.#read(key, value, decodeIpPool));
        break;
      case 'livemigrations': {
        const affected = this.#migrations.set(key, this.#read(key, value, decodeLiveMigration));
        if (affected) this.#workloads.touchWhere(affected);
        break;
      }
      case 'nodes':
        this.#tally.node(name, value !== undefined);
        this.#setReserved(key, value && reservationsOfNode(name, value));
        if (this.#peerings.setNode(name, value)) this.#workloads.touchWhere(() => true);
        break;
      case 'bgppeers':
        this.#setReserved(key, value && reservationsOfBgpPeer(name, value));
        if (this.#peerings.setPeer(name, this.#read(key, value, decodeWorkloadPeer))) this.#workloads.touchWhere(() => true);
        break;
      case 'bgpconfigurations':
        this.#setReserved(key, value && reservationsOfBgpConfiguration(name, value));
        if (this.#peerings.setSettings(name, this.#read(key, value, decodePeeringSettings))) this.#workloads.touchWhere(() => true);
        break;
      // These kinds do not affect policy.
      case 'stagednetworkpolicies':
      case 'stagedkubernetesnetworkpolicies':
      case 'stagedglobalnetworkpolicies':
      case 'felixconfigurations':
      case 'clusterinformations':
      case 'bgpfilters':
        break;
      default:
        resource satisfies never;
    }
  }

  flush(): DesiredChange {
    this.#applyProfiles();
    this.#applyPolicies();
    this.#governance.settle();
    this.#workloads.reservationsChanged(this.#reservationsChanged);
    const workloads = this.#workloads.flush();
    const hostEndpoints = this.#hostEndpoints.flush();
    const policies = this.#activePolicies.flush();
    const profiles = this.#activeProfiles.flush();
    const addresses = this.#takeReserved();
    return { ipSets: this.#sets.flush(), policies, profiles, workloads, hostEndpoints, pools: this.#pools.take(), ...addresses };
  }

  counts(): Counts {
    return {
      contributors: this.#contributors.size,
      labellings: this.#labels.size,
      tiers: this.#governance.tierCount,
      policies: this.#governance.policyCount,
      profiles: this.#profiles.size,
      activePolicies: this.#activePolicies.size,
      activeProfiles: this.#activeProfiles.size,
      ipSets: this.#sets.size,
      ...this.#sets.selectorCounts,
      ...this.#tally.counts,
    };
  }

  takeDefects(): ReadonlyMap<string, Defect | undefined> {
    return this.#defects.take();
  }

  #setWorkloadEndpoint(key: string, namespace: string, name: string, value: Value): void {
    const parts = parseWorkloadEndpointName(name);
    if (!parts) {
      this.#defects.set(key, 'content', value ? ['the name has not the four parts host, orchestrator, workload and endpoint; it counts as absent'] : []);
      return;
    }
    const local = parts.host === this.#host;
    const identity = { orchestrator: parts.orchestrator, workload: `${namespace}/${parts.workload}`, endpoint: parts.endpoint };
    const id: WorkloadId | undefined = local ? workloadId(identity) : undefined;
    const decoded = value && decodeWorkloadEndpoint(value);
    this.#defects.set(key, 'content', decoded && !decoded.ok ? [`${decoded.reason}; the endpoint counts as absent`] : []);
    this.#tally.endpoint('workloadEndpoints', parts.host, this.#contributors.has(key), decoded?.ok === true);
    this.#workloads.claimantsChanged(this.#pairs.set(key, parts.endpoint, decoded?.ok ? decoded.value : undefined));
    if (!decoded?.ok) {
      if (id) this.#workloads.delete(id);
      this.#localKeys.delete(key);
      this.#contributors.delete(key);
      return;
    }
    const endpoint = decoded.value;
    const { profiles, ipNetworks, ports } = endpoint;
    const nets = ipNetworks.every(isHostCidr) ? ipNetworks : ipNetworks.filter(isHostCidr);
    const labelling = this.#contributors.set(key, { labels: workloadLabels(endpoint), profiles, contribution: { nets, ports } });
    if (!id) return;
    this.#workloads.set(key, id, { ...identity, ...endpoint }, labelling);
    this.#localKeys.set(key, (relabelled) => this.#workloads.relabel(id, relabelled));
  }

  #setReserved(source: string, reservations: Reservations | undefined): void {
    for (const cidr of this.#reserved.set(source, reservations)) this.#reservationsChanged.add(cidr);
  }

  #takeReserved(): Pick<DesiredChange, 'reserved' | 'nodes'> {
    const [reserved, nodes] = [new Map<Cidr, true | undefined>(), new Map<Cidr, true | undefined>()];
    for (const cidr of this.#reservationsChanged) {
      tell(cidr, this.#reserved.has(cidr), this.#toldReserved, reserved);
      tell(cidr, this.#reserved.hasFrom(cidr, nodesRoot), this.#toldNodes, nodes);
    }
    this.#reservationsChanged.clear();
    return { reserved, nodes };
  }

  #setHostEndpoint(key: string, id: HostEndpointId, value: Value): void {
    const definition = this.#read(key, value, decodeHostEndpoint);
    this.#tally.endpoint('hostEndpoints', undefined, this.#contributors.has(key), definition !== undefined);
    if (definition?.host !== this.#host) {
      this.#hostEndpoints.delete(id);
      this.#localKeys.delete(key);
    }
    if (!definition) {
      this.#contributors.delete(key);
      return;
    }
    const { labels, profiles, ports, host } = definition;
    const contribution = { nets: hostEndpointNets(definition), ports };
    const labelling = this.#contributors.set(key, { labels: labelList(labels), profiles, contribution });
    if (host !== this.#host) return;
    this.#hostEndpoints.set(key, id, definition, labelling);
    this.#localKeys.set(key, (relabelled) => this.#hostEndpoints.relabel(id, relabelled));
  }

  #setNetworkSet(key: string, namespace: string | undefined, value: Value): void {
    const set = this.#read(key, value, (bytes) => decodeNetworkSet(bytes, namespace));
    if (set) this.#contributors.set(key, { labels: labelList(set.labels), profiles: set.profiles, contribution: { nets: set.nets, ports: [] } });
    else this.#contributors.delete(key);
  }

  #setPolicy(key: string, kind: PolicyKind, namespace: string | undefined, name: string, value: Value): void {
    this.#pendingPolicies.set(
      policyId(kind, namespace, name),
      this.#read(key, value, (bytes) => holdPolicy(bytes, kind, namespace, name, this.#recentRules)),
    );
  }

  #setProfile(key: string, id: ProfileId, value: Value): void {
    if (id === defaultAllowProfile)
      this.#defects.set(key, 'content', value ? ['the name is that of a profile that cannot be changed; it is ignored'] : noNames);
    else this.#pendingProfiles.set(id, this.#read(key, value, decodeProfile));
  }

  #read<T>(key: string, value: Value, decode: (bytes: Uint8Array) => Reading<T>): T | undefined {
    const reading = value && decode(value);
    this.#defects.set(key, 'content', reading?.defects ?? noNames);
    return reading?.value;
  }

  #applyProfiles(): void {
    for (const [id, profile] of this.#pendingProfiles) {
      const existed = this.#profiles.has(id);
      if (profile) this.#profiles.set(id, profile);
      else this.#profiles.delete(id);
      this.#contributors.setProfileLabels(id, profile?.labels);
      this.#activeProfiles.touch(id);
      if (existed === (profile !== undefined) || !this.#activeProfiles.isUsed(id)) continue;
      this.#workloads.touchWhere((_, { profiles }) => profiles.includes(id));
      this.#hostEndpoints.touchWhere((_, { profiles }) => profiles.includes(id));
    }
    this.#pendingProfiles.clear();
  }

  #applyPolicies(): void {
    for (const [id, policy] of this.#pendingPolicies) {
      this.#governance.setPolicy(id, policy);
      this.#activePolicies.touch(id);
    }
    this.#pendingPolicies.clear();
  }
}

/** Records in `changes` whether something is now true of the prefix, unless that was already reported. `told` holds the prefixes of which the last report said so. */
function tell(cidr: Cidr, isSo: boolean, told: Set<Cidr>, changes: Map<Cidr, true | undefined>): void {
  if (isSo === told.has(cidr)) return;
  if (isSo) told.add(cidr);
  else told.delete(cidr);
  changes.set(cidr, isSo || undefined);
}
