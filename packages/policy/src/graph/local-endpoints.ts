// The endpoints of this host, of one kind: their labels, the profiles that they use, and which of them must be recomputed.
import type { ProfileId } from '@calico-openstack/datamodel';
import type { Defects } from './defects.ts';
import type { Governance, Member, MemberKind, Subject } from './governance.ts';
import type { Labelling } from './labels.ts';
import { Outbox } from './outbox.ts';

/** Counts the users of profiles, and says whether a profile exists. */
export type ProfileUsers = { retain(id: ProfileId): void; release(id: ProfileId): void; exists(id: ProfileId): boolean };

/** The parts of the graph that local endpoints depend on. */
export type Surroundings = { readonly governance: Governance; readonly profiles: ProfileUsers; readonly defects: Defects };

/** A local endpoint. `key` is its datastore key. */
export type LocalEndpoint<Definition> = { readonly key: string; definition: Definition; subject: Subject };

/** Local workloads or local host endpoints. */
export abstract class LocalEndpoints<Id extends string, Definition extends { readonly profiles: readonly string[] }, Output> {
  protected readonly locals = new Map<Id, LocalEndpoint<Definition> & { member: Member }>();
  protected readonly dirty = new Set<Id>();
  readonly #surroundings: Surroundings;
  /** What the last computation of an endpoint used, to be released by the next one. */
  readonly #seen = new Map<Id, { readonly key: string; readonly profiles: readonly ProfileId[] }>();
  readonly #outbox = new Outbox<Id, Output>();

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  /** Which policies apply to an endpoint. */
  protected abstract kindOf(definition: Definition): MemberKind;

  /** Makes the value that is reported. Calls `complain` for each part of the endpoint's value that cannot take effect. */
  protected abstract output(id: Id, local: LocalEndpoint<Definition>, complain: (reason: string) => void): Output;

  /** Runs before the dirty endpoints are recomputed. It may mark others dirty. */
  protected abstract settle(): void;

  /** Sets a local endpoint. */
  set(key: string, id: Id, definition: Definition, labelling: Labelling): void {
    const local = this.locals.get(id);
    this.dirty.add(id);
    if (local?.member.kind === this.kindOf(definition)) {
      local.definition = definition;
      this.relabel(id, labelling);
      return;
    }
    if (local) this.#surroundings.governance.leave(local.subject, local.member);
    const member: Member = { kind: this.kindOf(definition), touch: () => this.dirty.add(id) };
    this.locals.set(id, { key, definition, member, subject: this.#surroundings.governance.join(labelling, member) });
  }

  /** Removes a local endpoint. */
  delete(id: Id): void {
    const local = this.locals.get(id);
    if (!local) return;
    this.locals.delete(id);
    this.#surroundings.governance.leave(local.subject, local.member);
    this.dirty.add(id);
  }

  /** Moves a local endpoint to another labelling. */
  relabel(id: Id, labelling: Labelling): void {
    const local = this.locals.get(id);
    if (!local || local.subject.labelling === labelling) return;
    this.#surroundings.governance.leave(local.subject, local.member);
    local.subject = this.#surroundings.governance.join(labelling, local.member);
    this.dirty.add(id);
  }

  /** Marks the endpoints that pass the test dirty. Cost: all local endpoints. */
  touchWhere(test: (id: Id, definition: Definition) => boolean): void {
    for (const [id, { definition }] of this.locals) if (test(id, definition)) this.dirty.add(id);
  }

  /** Recomputes the dirty endpoints, and returns those that differ; undefined for one that is gone. */
  flush(): Map<Id, Output | undefined> {
    this.settle();
    for (const id of this.dirty) this.#look(id);
    this.dirty.clear();
    return this.#outbox.take();
  }

  #look(id: Id): void {
    const { profiles, defects } = this.#surroundings;
    const local = this.locals.get(id);
    const before = this.#seen.get(id);
    const named = (local?.definition.profiles ?? []) as readonly ProfileId[];
    for (const profile of named) profiles.retain(profile);
    for (const profile of before?.profiles ?? []) profiles.release(profile);
    if (!local) {
      this.#seen.delete(id);
      if (before) defects.set(before.key, 'place', []);
      this.#outbox.put(id, undefined);
      return;
    }
    this.#seen.set(id, { key: local.key, profiles: named });
    const reasons: string[] = [];
    for (const profile of named) if (!profiles.exists(profile)) reasons.push(`profile "${profile}" does not exist; it denies everything in its place`);
    this.#outbox.put(
      id,
      this.output(id, local, (reason) => reasons.push(reason)),
    );
    defects.set(local.key, 'place', reasons);
  }
}
