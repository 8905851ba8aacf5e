// The roles of local endpoints in live migrations.
import { sameContent, type WorkloadId } from '@calico-openstack/datamodel';
import type { LiveMigrationDefinition, MigrationReference } from '../decode/live-migration.ts';
import { type LabelLookup, matches } from '../selector/evaluate.ts';

/** Whether the VM leaves the endpoint or arrives at it. */
export type Role = 'source' | 'target';

/** The id of the endpoint that is referred to, or the part of an id that all endpoints of the workload share. */
const referenceId = ({ orchestrator, workload, endpoint }: MigrationReference): string =>
  `${orchestrator}/${workload}${endpoint === undefined ? '' : `/${endpoint}`}`;

const workloadPart = (id: WorkloadId): string => id.slice(0, id.lastIndexOf('/'));

/** The LiveMigrations, as far as they concern this host. */
export class LiveMigrations {
  readonly #host: string;
  readonly #migrations = new Map<string, LiveMigrationDefinition>();
  /** By endpoint or workload of this host: the migrations that name it, and the role that they give it. */
  readonly #roles = new Map<string, Map<string, Role>>();
  readonly #bySelector = new Set<string>();

  constructor(host: string) {
    this.#host = host;
  }

  /** Sets the migration under a datastore key; undefined removes it. Returns a test for the endpoints whose role may have changed; undefined when nothing changed. */
  set(key: string, migration: LiveMigrationDefinition | undefined): ((id: WorkloadId) => boolean) | undefined {
    const before = this.#migrations.get(key);
    if (sameContent(before, migration)) return undefined;
    if (migration) this.#migrations.set(key, migration);
    else this.#migrations.delete(key);
    const touched = new Set<string>();
    for (const side of ['source', 'target'] as const) this.#unname(key, before?.[side], touched);
    for (const side of ['source', 'target'] as const) this.#name(key, side, migration?.[side], touched); // the target is set last, because it wins over the source
    if (migration?.targetSelector) this.#bySelector.add(key);
    else this.#bySelector.delete(key);
    if (before?.targetSelector || migration?.targetSelector) return () => true;
    return (id) => touched.has(id) || touched.has(workloadPart(id));
  }

  /** The role of a local endpoint; undefined when no migration concerns it. The target's role wins over the source's. */
  roleOf(id: WorkloadId, labels: LabelLookup): Role | undefined {
    let role: Role | undefined;
    for (const name of [id, workloadPart(id)]) {
      for (const named of this.#roles.get(name)?.values() ?? []) {
        if (named === 'target') return 'target';
        role = named;
      }
    }
    for (const key of this.#bySelector) if (matches(this.#migrations.get(key)!.targetSelector!.expression, labels)) return 'target';
    return role;
  }

  #name(key: string, role: Role, reference: MigrationReference | undefined, touched: Set<string>): void {
    if (reference?.host !== this.#host) return;
    const id = referenceId(reference);
    const roles = this.#roles.get(id) ?? new Map<string, Role>();
    this.#roles.set(id, roles.set(key, role));
    touched.add(id);
  }

  #unname(key: string, reference: MigrationReference | undefined, touched: Set<string>): void {
    if (reference?.host !== this.#host) return;
    const id = referenceId(reference);
    const roles = this.#roles.get(id);
    roles?.delete(key);
    if (roles?.size === 0) this.#roles.delete(id);
    touched.add(id);
  }
}
