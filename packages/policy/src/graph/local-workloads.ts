// This host's workload endpoints, each with its policies, the interface and addresses that it owns, and its role in a live migration.
import { addressOf, type Cidr, cidrContains, hostCidr, isHostCidr } from '@calico-openstack/addresses';
import {
  type AddressClaim,
  addressPairMacsAnnotation,
  decodePairMacs,
  type IpNat,
  type LocalWorkload,
  type PairMac,
  type ProfileId,
  type ReservedAddresses,
  resourceKey,
  type WorkloadEndpoint,
  type WorkloadId,
} from '@calico-openstack/datamodel';
import type { AddressPairs } from './address-pairs.ts';
import { Claims } from './claims.ts';
import type { MemberKind } from './governance.ts';
import type { LiveMigrations } from './live-migrations.ts';
import { type LocalEndpoint, LocalEndpoints, type Surroundings } from './local-endpoints.ts';
import { gatewaysOf, NetworkGateways, networkOf } from './network-gateways.ts';
import type { WorkloadPeerings } from './workload-peerings.ts';

/** Identifies a workload endpoint on its host. `workload` is `<namespace>/<device_id>`, `endpoint` is the port's id. */
export type WorkloadIdentity = { readonly orchestrator: string; readonly workload: string; readonly endpoint: string };

/** The identity as one string. */
export const workloadId = ({ orchestrator, workload, endpoint }: WorkloadIdentity): WorkloadId => `${orchestrator}/${workload}/${endpoint}` as WorkloadId;

/** A workload endpoint with its identity. */
export type WorkloadDefinition = WorkloadIdentity & WorkloadEndpoint;

/** The workload endpoints of this host. */
export class LocalWorkloads extends LocalEndpoints<WorkloadId, WorkloadDefinition, LocalWorkload> {
  readonly #migrations: LiveMigrations;
  readonly #reserved: ReservedAddresses;
  readonly #peerings: WorkloadPeerings;
  readonly #interfaces = new Claims<WorkloadId>();
  /** Only endpoints that own their interface claim addresses: one that waits for its interface has nowhere to route them to. */
  readonly #addresses = new Claims<WorkloadId>();
  readonly #gateways = new NetworkGateways();
  readonly #pairs: AddressPairs;
  /** The present holder of each shared address, as the host has found out; undefined when none of this host's endpoints holds it. */
  #holders: ReadonlyMap<Cidr, WorkloadId | undefined> = new Map();
  #allowSourceSpoofing = false;

  constructor(surroundings: Surroundings, migrations: LiveMigrations, reserved: ReservedAddresses, peerings: WorkloadPeerings, pairs: AddressPairs) {
    super(surroundings);
    this.#pairs = pairs;
    this.#migrations = migrations;
    this.#reserved = reserved;
    this.#peerings = peerings;
  }

  /** See PolicyOptions. */
  setAllowSourceSpoofing(allowed: boolean): void {
    if (allowed === this.#allowSourceSpoofing) return;
    this.#allowSourceSpoofing = allowed;
    this.touchWhere((_, { allowSpoofedSourcePrefixes }) => allowSpoofedSourcePrefixes.length > 0);
  }

  /** Replaces the holders of shared addresses. An address without an entry belongs to the first claimant by `compareClaims`. */
  setHolders(holders: ReadonlyMap<Cidr, WorkloadId | undefined>): void {
    const before = this.#holders;
    this.#holders = new Map(holders);
    for (const cidr of new Set([...before.keys(), ...holders.keys()]))
      if (before.get(cidr) !== holders.get(cidr) || before.has(cidr) !== holders.has(cidr)) this.claimantsChanged([cidr]);
  }

  /** Marks the endpoints dirty that claim one of these addresses. */
  claimantsChanged(cidrs: Iterable<Cidr>): void {
    for (const cidr of cidrs) for (const id of this.#addresses.claimants(cidr)) this.dirty.add(id);
  }

  /** Marks the endpoints dirty that claim one of these prefixes or name it as a gateway: its reservations changed. */
  reservationsChanged(cidrs: ReadonlySet<Cidr>): void {
    if (cidrs.size === 0) return;
    const wide = [...cidrs].filter((cidr) => !isHostCidr(cidr));
    this.claimantsChanged(cidrs);
    const peeringTouched = this.#peerings.addresses.some((address) => cidrs.has(hostCidr(address)));
    this.touchWhere(
      (_, definition) =>
        gatewaysOf(definition).some((gateway) => cidrs.has(gateway)) ||
        peeringTouched ||
        (wide.length > 0 &&
          [...claimsOf('' as WorkloadId, definition).keys(), ...gatewaysOf(definition)].some((own) => wide.some((cidr) => cidrContains(cidr, own)))),
    );
  }

  protected override kindOf(): MemberKind {
    return 'workload';
  }

  /** Settles interfaces before addresses, because an endpoint without its interface claims no address. */
  protected override settle(): void {
    /** Addresses whose owner may have changed, including all new gateways that somebody claims. */
    const touched = new Set<Cidr>();
    for (const id of [...this.dirty]) {
      const local = this.locals.get(id);
      for (const other of this.#interfaces.set(id, local ? interfaceClaim(id, local.definition) : none)) this.dirty.add(other);
      for (const gateway of this.#gateways.set(id, local?.definition)) for (const other of this.#addresses.claimants(gateway)) this.dirty.add(other);
    }
    for (const id of [...this.dirty]) {
      const local = this.locals.get(id);
      const claimed = local && this.#interfaces.owner(local.definition.interfaceName) === id ? claimsOf(id, local.definition) : none;
      for (const claims of [this.#addresses.of(id), claimed]) for (const cidr of claims.keys()) touched.add(cidr as Cidr);
      for (const other of this.#addresses.set(id, claimed)) this.dirty.add(other);
    }
    for (const id of this.#gateways.takeTurned(touched, (gateway) => this.#ownerOf(gateway))) this.dirty.add(id);
  }

  protected override output(id: WorkloadId, { definition, subject }: LocalEndpoint<WorkloadDefinition>, complain: (reason: string) => void): LocalWorkload {
    const { orchestrator, workload, endpoint, interfaceName, mac, ipNetworks, ipv4Gateway, ipv6Gateway, qosControls } = definition;
    const owner = this.#interfaces.owner(interfaceName)!;
    const bgpPeering = this.#peerings.of(subject.labelling, (address) => this.#reserved.otherHolder(address, peeringSource) !== undefined);
    const liveMigrationRole = this.#migrations.roleOf(id, subject.labelling);
    if (owner !== id) complain(`interface ${interfaceName} belongs to ${owner}, the first of those that name it; this endpoint waits for it`);
    const { routed, ipNats, refusals } = this.#share(id, definition, complain);
    const shared = owner === id ? [...this.#addresses.of(id).keys()].filter((cidr) => this.#isShared(id, cidr as Cidr)) : [];
    const gatewayOfOthers = ipv6Gateway && this.#gatewayObstacle(id, hostCidr(ipv6Gateway));
    if (gatewayOfOthers) refusals.push(`ipv6Gateway ${ipv6Gateway} ${gatewayOfOthers}: the host does not answer for it`);
    for (const refusal of refusals) complain(refusal);
    if (definition.allowSpoofedSourcePrefixes.length > 0 && !this.#allowSourceSpoofing)
      complain('spec.allowSpoofedSourcePrefixes is ignored: WorkloadSourceSpoofing is not Any');
    const pairMacs = pairMacsOf(definition, complain);
    return {
      id,
      orchestrator,
      workload,
      endpoint,
      interfaceName,
      ...(mac !== undefined && { mac }),
      addresses: ipNetworks,
      routed,
      ...(shared.length > 0 && { shared: { addresses: shared.sort() as Cidr[], createdMs: definition.createdMs } }),
      ...(ipv4Gateway && { ipv4Gateway }),
      ...(ipv6Gateway && !gatewayOfOthers && { ipv6Gateway }),
      ipNats,
      allowSpoofedSourcePrefixes: this.#allowSourceSpoofing ? definition.allowSpoofedSourcePrefixes : [],
      ...(pairMacs.length > 0 && { pairMacs }),
      ...(qosControls && { qosControls }),
      ...(liveMigrationRole && { liveMigrationRole }),
      ...(bgpPeering && { bgpPeering }),
      ...(owner !== id && { shadowedBy: owner }),
      ...(owner === id && refusals.length > 0 && { refusals }),
      policy: { ...subject.governed.normal, profiles: definition.profiles as readonly ProfileId[] },
    };
  }

  /**
   * The addresses that the endpoint owns, and why it does not own the others. It is only a complaint, not a refusal, that another endpoint owns one of its address pairs: the members
   * of a VRRP group share one.
   */
  #share(
    id: WorkloadId,
    definition: WorkloadDefinition,
    complain: (reason: string) => void,
  ): { readonly routed: readonly Cidr[]; readonly ipNats: readonly IpNat[]; readonly refusals: string[] } {
    const refusals: string[] = [];
    const mine = new Set<Cidr>();
    for (const cidr of definition.ipNetworks)
      if (!isHostCidr(cidr)) refusals.push(`${cidr} in ipNetworks is a prefix, and a workload has single addresses only`);
    if (this.#interfaces.owner(definition.interfaceName) !== id) return { routed: [], ipNats: [], refusals };
    for (const [thing, { kind }] of this.#addresses.of(id)) {
      const cidr = thing as Cidr;
      const holder = this.#ownerOf(cidr);
      const obstacle = this.#obstacleOf(definition, cidr, kind);
      if (obstacle) refusals.push(`${addressOf(cidr)} ${obstacle}`);
      else if (holder === id) mine.add(cidr);
      else if (kind === 'fixed') refusals.push(`${addressOf(cidr)} belongs to ${holder}, the first of those that have it`);
      else if (!this.#holders.has(cidr) || !this.#isShared(id, cidr)) complain(`${addressOf(cidr)} belongs to ${holder}, the first of those that have it`);
    }
    if (definition.ipNats.length === 0) return { routed: [...mine], ipNats: definition.ipNats, refusals };
    const ipNats = definition.ipNats.filter(({ internal, external }) => mine.has(hostCidr(internal)) && mine.has(hostCidr(external)));
    const given = new Set(ipNats);
    const own = new Set(definition.ipNetworks);
    for (const nat of definition.ipNats)
      if (!given.has(nat) && !own.has(hostCidr(nat.internal))) refusals.push(`${nat.internal} in ipNATs, for ${nat.external}, is none of its addresses`);
    const translated = new Set(ipNats.map(({ external }) => hostCidr(external)));
    return { routed: [...mine].filter((cidr) => own.has(cidr) || translated.has(cidr)), ipNats, refusals };
  }

  #obstacleOf(definition: WorkloadDefinition, cidr: Cidr, kind: AddressClaim['kind']): string | undefined {
    const isGateway = kind === 'pair' && this.#gateways.has(definition, cidr);
    return this.#reserved.obstacle(cidr) ?? (isGateway ? 'is a gateway of its network, which this host has on the taps' : undefined);
  }

  /**
   * Whether an endpoint shares the address as a pair with others of its network, so that it belongs to the port whose guest announces it. A fixed address, and a pair of another network,
   * keep their owner by `compareClaims`, and no announcement changes that.
   */
  #isShared(id: WorkloadId, cidr: Cidr): boolean {
    const owner = this.#addresses.owner(cidr);
    const [mine, first] = [this.locals.get(id)?.definition, owner === undefined ? undefined : this.locals.get(owner)?.definition];
    if (!mine || !first || networkOf(mine) !== networkOf(first) || this.#addresses.of(owner!).get(cidr)?.kind !== 'pair') return false;
    return this.#addresses.of(id).get(cidr)?.kind === 'pair' && this.#pairs.areShared(mine, cidr) && this.#obstacleOf(mine, cidr, 'pair') === undefined;
  }

  /** The owner of an address: the holder of a shared address, or the first claimant by `compareClaims` of any other. */
  #ownerOf(cidr: Cidr): WorkloadId | undefined {
    const owner = this.#addresses.owner(cidr);
    if (owner === undefined || !this.#holders.has(cidr) || !this.#isShared(owner, cidr)) return owner;
    const holder = this.#holders.get(cidr);
    return holder !== undefined && this.#isShared(holder, cidr) ? holder : undefined;
  }

  /**
   * Why the host may not answer for a gateway on the endpoint's tap; undefined when it may. A link-local gateway is valid on its tap alone. The host answers for an address
   * of its own in any case, because upstream's DHCP agent keeps gateways on links of their own.
   */
  #gatewayObstacle(id: WorkloadId, gateway: Cidr): string | undefined {
    if (gateway.startsWith('fe80:')) return undefined;
    const holder = this.#ownerOf(gateway);
    if (this.#reserved.isThisHosts(gateway)) return undefined;
    return this.#reserved.obstacle(gateway) ?? (holder !== undefined && holder !== id ? `belongs to ${holder}` : undefined);
  }
}

/** Who reserves the hosts' addresses in sessions with workloads (`ReservedAddresses.set`). */
export const peeringSource = resourceKey({ plural: 'bgpconfigurations', name: 'default' });

const none: ReadonlyMap<string, AddressClaim> = new Map();

/** The older of two endpoints owns the interface that both name, so that nobody can take an interface over by choosing an id that sorts first. */
const interfaceClaim = (id: WorkloadId, { interfaceName, createdMs }: WorkloadEndpoint): ReadonlyMap<string, AddressClaim> =>
  new Map([[interfaceName, { kind: 'fixed', createdMs, id }]]);

/** The single addresses that an endpoint claims: its own, and the external ones that are translated to them. An external address counts as fixed, because Neutron assigned it. */
function claimsOf(id: WorkloadId, { ipNetworks, allowedIps, ipNats, createdMs }: WorkloadEndpoint): ReadonlyMap<Cidr, AddressClaim> {
  const fixed = { kind: 'fixed', createdMs, id } as const;
  const claims = new Map<Cidr, AddressClaim>();
  for (const cidr of ipNetworks) if (isHostCidr(cidr)) claims.set(cidr, fixed);
  const own = ipNats.length > 0 ? new Set(claims.keys()) : undefined;
  for (const cidr of allowedIps) if (claims.has(cidr)) claims.set(cidr, { kind: 'pair', createdMs, id });
  for (const { internal, external } of ipNats) if (own!.has(hostCidr(internal))) claims.set(hostCidr(external), fixed);
  return claims;
}

/** The address pairs with MACs of their own, sorted by MAC so that equal values give equal chains. */
function pairMacsOf({ annotations, mac: ownMac }: WorkloadEndpoint, complain: (reason: string) => void): readonly PairMac[] {
  const text = annotations[addressPairMacsAnnotation];
  if (text === undefined) return [];
  const read = decodePairMacs(text);
  if (!read.ok) {
    complain(`annotation ${addressPairMacsAnnotation} ${read.reason}; its address pairs have the port's own MAC`);
    return [];
  }
  const byMac = new Map<string, Cidr[]>();
  for (const [cidr, macs] of read.value) for (const mac of macs) if (mac !== ownMac) byMac.set(mac, [...(byMac.get(mac) ?? []), cidr]);
  return [...byMac].sort(([one], [other]) => (one < other ? -1 : 1)).map(([mac, addresses]) => ({ mac, addresses: addresses.sort() }));
}
