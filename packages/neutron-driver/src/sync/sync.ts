// Synchronises objects: reads etcd, then the rows, decides, and writes the differences unless somebody else has written meanwhile; then it repeats that. It may run for any objects at any time.
import { CodedError } from '@calico-openstack/agent/errors';
import type { Compare, Etcd, KeyValue, Operation } from '@calico-openstack/etcd';
import type { AddressRules } from '../addressing/rules.ts';
import type { ProjectNames } from '../projects.ts';
import type { Rows, RowsQuestion, RowsSource } from '../rows.ts';
import type { Change } from './change.ts';
import { birth } from './content.ts';
import { type Found, keysToRead, type Plan, plan, projectsOf, questionFor, type Settings, type Unit, type Warning } from './plan.ts';

/** Other writers kept changing the same keys until the deadline. */
export class SyncError extends CodedError {
  constructor(message: string) {
    super('SYNC_TIMEOUT', message);
  }
}

/** The result of synchronising. */
export type SyncResult = {
  /** The changes that needed a write. They have to be checked once more later (see Journal). */
  readonly wrote: readonly Change[];
  /** Changes that were written without their project's name. They have to be checked again when Keystone may be back. */
  readonly unnamed: readonly Change[];
  /** The changes that have to be checked because of these writes. */
  readonly followUps: readonly Change[];
  readonly puts: number;
  readonly deletes: number;
  readonly conflicts: number;
  readonly warnings: readonly Warning[];
};

/** The parts that synchronising needs. */
export type SyncOptions = {
  readonly etcd: Etcd;
  readonly settings: Settings;
  /** Looks up the names of projects. Unknown ones are missing in the result. */
  readonly projects: (ids: readonly string[], source: RowsSource) => Promise<ProjectNames>;
  /** The rules for which addresses nobody may have. */
  readonly addresses: () => Promise<AddressRules>;
  readonly nowMs?: () => number;
};

/** How many comparisons, and how many operations, etcd accepts in one transaction. */
export const maxOperations = 128;

/** What was read before synchronising: values of etcd, and the changed objects' rows, which are younger. */
export type Ahead = { readonly found: Found; readonly rows?: Rows };

/** Synchronises the changed objects with rows of `source`. Whatever is missing in `ahead`, or turns out to be too old, is read. */
export type Sync = (changes: readonly Change[], source: RowsSource, deadlineMs: number, ahead?: Ahead) => Promise<SyncResult>;

/**
 * Makes etcd hold what Neutron's rows say about each changed object. Rejects with EtcdError, with the source's errors, or with SyncError when others
 * keep writing the same keys until `deadlineMs` (compared with `nowMs`). What was written until then stays; every unit is complete.
 */
export function createSync({ etcd, settings, projects, addresses, nowMs = Date.now }: SyncOptions): Sync {
  return async function sync(changes, source, deadlineMs, ahead?) {
    const wrote = new Set<Change>();
    const unnamed = new Set<Change>();
    const followUps: Change[] = [];
    const warnings = new Map<string, Warning>();
    let [puts, deletes, conflicts] = [0, 0, 0];
    let pending = changes;
    const keys = new Set(keysToRead(changes, settings));
    let more: Partial<RowsQuestion> = {};
    let known = ahead;
    while (pending.length > 0) {
      if (nowMs() > deadlineMs) throw new SyncError(`others kept writing the same keys (${pending.length} objects left, ${conflicts} conflicts)`);
      // etcd is read first. So when two writers race, the one that writes later has seen the newer rows.
      const early = known && hasAll(known.found, keys) ? known : undefined;
      known = undefined;
      const found = early?.found ?? (await readKeys(etcd, [...keys]));
      const rows = early?.rows ?? (await source.rows(joinQuestions(questionFor(pending), more)));
      const names = await projects(projectsOf(rows), source);
      const decision = plan(pending, { found, rows, projects: names, settings, addresses: await addresses(), born: () => birth(new Date(nowMs())) });
      const { missing } = decision;
      const newQuestion = missing.question.security_groups.length + missing.question.address_groups.length > 0;
      if (missing.keys.length > 0 || newQuestion) {
        for (const key of missing.keys) keys.add(key);
        more = joinQuestions(missing.question, more);
        continue;
      }
      // Where nothing differs nothing is written, and so nothing is compared: others may have written behind an early read.
      if (early && decision.units.length < pending.length) continue;
      for (const change of pending) if (decision.unnamed.has(change.id)) unnamed.add(change);
      for (const warning of decision.warnings) warnings.set(`${warning.object} ${warning.what}`, warning);
      const failed: Change[] = [];
      for (const units of packed(decision.units)) {
        const compares = comparesOf(units);
        if (await write(etcd, compares, units)) {
          for (const unit of units) {
            wrote.add(unit.change);
            followUps.push(...unit.followUps);
            puts += count(unit, 'put');
            deletes += count(unit, 'delete');
          }
        } else {
          conflicts += 1;
          failed.push(...units.map((unit) => unit.change));
          for (const { key } of compares) keys.add(key); // a group's policy that was assumed to exist may be missing
        }
      }
      pending = failed;
      if (failed.length > 1) {
        // An object that others keep writing must not delay the rest.
        for (const change of failed) {
          const one = await sync([change], source, deadlineMs);
          for (const each of one.wrote) wrote.add(each);
          followUps.push(...one.followUps);
          for (const warning of one.warnings) warnings.set(`${warning.object} ${warning.what}`, warning);
          puts += one.puts;
          deletes += one.deletes;
          conflicts += one.conflicts;
        }
        pending = [];
      }
    }
    return { wrote: [...wrote], unnamed: [...unnamed], followUps, puts, deletes, conflicts, warnings: [...warnings.values()] };
  };
}

const hasAll = (found: Found, keys: Iterable<string>): boolean => [...keys].every((key) => found.has(key));

const count = (unit: Unit, kind: 'put' | 'delete'): number => unit.operations.filter((operation) => kind in operation).length;

/** Reads keys in as few transactions as etcd allows. A key that does not exist has the value undefined. */
export async function readKeys(etcd: Pick<Etcd, 'transact'>, keys: readonly string[]): Promise<Map<string, KeyValue | undefined>> {
  const found = new Map<string, KeyValue | undefined>();
  for (let start = 0; start < keys.length; start += maxOperations) {
    const some = keys.slice(start, start + maxOperations);
    const result = await etcd.transact(
      [],
      some.map((key) => ({ get: key })),
    );
    for (const [index, key] of some.entries()) found.set(key, result.found[index]);
  }
  return found;
}

/** Packs units into transactions that are as large as possible. A unit is split only if it alone is too large. */
function* packed(units: Plan['units']): Generator<readonly Unit[]> {
  let some: Unit[] = [];
  let size = 0;
  for (const unit of units) {
    const needs = Math.min(maxOperations, Math.max(unit.operations.length, unit.compares.length));
    if (some.length > 0 && size + needs > maxOperations) {
      yield some;
      some = [];
      size = 0;
    }
    some.push(unit);
    size += needs;
  }
  if (some.length > 0) yield some;
}

/** One comparison for each key. When one unit needs the key to exist and another needs it to be unchanged, it has to be unchanged. */
function comparesOf(units: readonly Unit[]): readonly Compare[] {
  const compares = new Map<string, Compare>();
  for (const compare of units.flatMap((unit) => unit.compares)) if ('modRevision' in compare || !compares.has(compare.key)) compares.set(compare.key, compare);
  const all = [...compares.values()];
  // An object that refers to very many others is written nevertheless: checking that those exist is optional, checking that nobody has written meanwhile is not.
  return all.length <= maxOperations ? all : all.filter((compare) => 'modRevision' in compare);
}

async function write(etcd: Etcd, compares: readonly Compare[], units: readonly Unit[]): Promise<boolean> {
  const operations = [...new Map(units.flatMap((unit) => unit.operations).map((operation) => [keyOf(operation), operation])).values()];
  return (await etcd.transact(compares, operations)).succeeded;
}

function keyOf(operation: Operation): string {
  if ('put' in operation) return operation.put;
  if ('delete' in operation) return operation.delete;
  return 'get' in operation ? operation.get : operation.deletePrefix;
}

function joinQuestions(a: Partial<RowsQuestion>, b: Partial<RowsQuestion>): RowsQuestion {
  const join = (kind: keyof RowsQuestion): readonly string[] => [...new Set([...(a[kind] ?? []), ...(b[kind] ?? [])])];
  return { ports: join('ports'), subnets: join('subnets'), security_groups: join('security_groups'), address_groups: join('address_groups') };
}
