// The parts that local endpoints play in live migrations.
import type { WorkloadId } from '@calico-openstack/datamodel';
import type { LiveMigrationDefinition, MigrationReference } from '../decode/live-migration.ts';
import { type LabelLookup, matches } from '../selector/evaluate.ts';
import { sameContent } from './outbox.ts';

export type Role = 'source' | 'target';

/** An endpoint's id, or the part of it that names its whole workload. */
const referenceId = ({ orchestrator, workload, endpoint }: MigrationReference): string =>
  `${orchestrator}/${workload}${endpoint === undefined ? '' : `/${endpoint}`}`;

const workloadPart = (id: WorkloadId): string => id.slice(0, id.lastIndexOf('/'));

export class LiveMigrations {
  readonly #host: string;
  readonly #migrations = new Map<string, LiveMigrationDefinition>();
  /** Which migrations name an endpoint or workload of this host, and as what. */
  readonly #roles = new Map<string, Map<string, Role>>();
  readonly #bySelector = new Set<string>();

  constructor(host: string) {
    this.#host = host;
  }

  /** Returns a test for the endpoints whose role may have changed; undefined when nothing did. */
  set(key: string, migration: LiveMigrationDefinition | undefined): ((id: WorkloadId) => boolean) | undefined {
    const before = this.#migrations.get(key);
    if (sameContent(before, migration)) return undefined;
    if (migration) this.#migrations.set(key, migration);
    else this.#migrations.delete(key);
    const touched = new Set<string>();
    for (const side of ['source', 'target'] as const) this.#unname(key, before?.[side], touched);
    for (const side of ['source', 'target'] as const) this.#name(key, side, migration?.[side], touched); // the target last: it beats the source
    if (migration?.targetSelector) this.#bySelector.add(key);
    else this.#bySelector.delete(key);
    if (before?.targetSelector || migration?.targetSelector) return () => true;
    return (id) => touched.has(id) || touched.has(workloadPart(id));
  }

  /** Target beats source, whatever names them. */
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
