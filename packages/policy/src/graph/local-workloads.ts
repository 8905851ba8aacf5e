// This host's workload endpoints: each with its policies, its share of what two may claim, and its part in a live migration.
import { type Cidr, hostCidr, type LocalWorkload, type ProfileId, type WorkloadEndpoint, type WorkloadId } from '@calico-openstack/datamodel';
import { Claims } from './claims.ts';
import type { MemberKind } from './governance.ts';
import type { LiveMigrations } from './live-migrations.ts';
import { type LocalEndpoint, LocalEndpoints, type Surroundings } from './local-endpoints.ts';

/** `workload` is `<namespace>/<device_id>`, `endpoint` the port id. */
export type WorkloadIdentity = { readonly orchestrator: string; readonly workload: string; readonly endpoint: string };

export const workloadId = ({ orchestrator, workload, endpoint }: WorkloadIdentity): WorkloadId => `${orchestrator}/${workload}/${endpoint}` as WorkloadId;

export type WorkloadDefinition = WorkloadIdentity & WorkloadEndpoint;

export class LocalWorkloads extends LocalEndpoints<WorkloadId, WorkloadDefinition, LocalWorkload> {
  readonly #migrations: LiveMigrations;
  readonly #interfaces = new Claims<WorkloadId>();
  /** Only of endpoints that have their interface: one that waits for it has no addresses to route either. */
  readonly #addresses = new Claims<WorkloadId>();
  #allowSourceSpoofing = false;

  constructor(surroundings: Surroundings, migrations: LiveMigrations) {
    super(surroundings);
    this.#migrations = migrations;
  }

  setAllowSourceSpoofing(allowed: boolean): void {
    if (allowed === this.#allowSourceSpoofing) return;
    this.#allowSourceSpoofing = allowed;
    this.touchWhere((_, { allowSpoofedSourcePrefixes }) => allowSpoofedSourcePrefixes.length > 0);
  }

  protected override kindOf(): MemberKind {
    return 'workload';
  }

  /** Interfaces first: an endpoint without its interface claims no address. */
  protected override settle(): void {
    for (const id of [...this.dirty]) {
      const local = this.locals.get(id);
      for (const other of this.#interfaces.set(id, local ? [local.definition.interfaceName] : [])) this.dirty.add(other);
    }
    for (const id of [...this.dirty]) {
      const local = this.locals.get(id);
      const claimed = local && this.#interfaces.owner(local.definition.interfaceName) === id ? addressesOf(local.definition) : [];
      for (const other of this.#addresses.set(id, claimed)) this.dirty.add(other);
    }
  }

  protected override output(id: WorkloadId, { definition, subject }: LocalEndpoint<WorkloadDefinition>, complain: (reason: string) => void): LocalWorkload {
    const { orchestrator, workload, endpoint, interfaceName, mac, ipNetworks, ipv4Gateway, ipv6Gateway, ipNats, qosControls } = definition;
    const owner = this.#interfaces.owner(interfaceName)!;
    const addresses = addressesOf(definition);
    const liveMigrationRole = this.#migrations.roleOf(id, subject.labelling);
    if (owner !== id) complain(`interface ${interfaceName} belongs to ${owner}, the lowest of those that name it; this endpoint waits for it`);
    for (const address of addresses) {
      const holder = this.#addresses.owner(address);
      if (owner === id && holder !== id) complain(`${address} belongs to ${holder}, the lowest of those that have it`);
    }
    if (definition.allowSpoofedSourcePrefixes.length > 0 && !this.#allowSourceSpoofing)
      complain('spec.allowSpoofedSourcePrefixes is ignored: WorkloadSourceSpoofing is not Any');
    return {
      id,
      orchestrator,
      workload,
      endpoint,
      interfaceName,
      ...(mac !== undefined && { mac }),
      addresses: ipNetworks,
      routed: addresses.filter((address) => this.#addresses.owner(address) === id),
      ...(ipv4Gateway && { ipv4Gateway }),
      ...(ipv6Gateway && { ipv6Gateway }),
      ipNats,
      allowSpoofedSourcePrefixes: this.#allowSourceSpoofing ? definition.allowSpoofedSourcePrefixes : [],
      ...(qosControls && { qosControls }),
      ...(liveMigrationRole && { liveMigrationRole }),
      ...(owner !== id && { shadowedBy: owner }),
      policy: { ...subject.governed.normal, profiles: definition.profiles as readonly ProfileId[] },
    };
  }
}

/** Its own addresses, then its external ones. */
const addressesOf = ({ ipNetworks, ipNats }: WorkloadEndpoint): readonly Cidr[] => [
  ...new Set([...ipNetworks, ...ipNats.map(({ external }) => hostCidr(external))]),
];
