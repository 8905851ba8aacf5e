// The rules of the policies, or of the profiles, that a local endpoint uses. One that no local endpoint uses holds no IP sets and is not reported.
import type { IpSetId, Rule } from '@calico-openstack/datamodel';
import type { RuleLists } from '../decode/policy.ts';
import { compileRule } from './compile.ts';
import type { IpSetContent, IpSets } from './ip-sets.ts';
import { Outbox } from './outbox.ts';

/** Rules whose selectors have become IP sets. */
export type CompiledLists = { readonly ingress: readonly Rule[]; readonly egress: readonly Rule[] };

/** Active policies or active profiles. `Definition` is what the rules are made from; `Output` is what is reported about them. */
export class ActiveRules<Id extends string, Definition, Output> {
  readonly #sets: IpSets;
  readonly #read: (id: Id) => Definition | undefined;
  readonly #lists: (definition: Definition) => RuleLists;
  readonly #output: (id: Id, definition: Definition, lists: CompiledLists) => Output;
  readonly #uses = new Map<Id, number>();
  readonly #held = new Map<Id, readonly IpSetContent[]>();
  readonly #dirty = new Set<Id>();
  readonly #outbox = new Outbox<Id, Output>();

  /**
   * @param read the current definition; one that is in use always has one
   * @param lists the rules of a definition
   * @param output makes the reported value of the compiled rules
   */
  constructor(
    sets: IpSets,
    read: (id: Id) => Definition | undefined,
    lists: (definition: Definition) => RuleLists,
    output: (id: Id, definition: Definition, lists: CompiledLists) => Output,
  ) {
    this.#sets = sets;
    this.#read = read;
    this.#lists = lists;
    this.#output = output;
  }

  get size(): number {
    return this.#uses.size;
  }

  /** Whether a local endpoint uses it. */
  isUsed(id: Id): boolean {
    return this.#uses.has(id);
  }

  /** Counts one more user. */
  retain(id: Id): void {
    const uses = this.#uses.get(id) ?? 0;
    this.#uses.set(id, uses + 1);
    if (uses === 0) this.#dirty.add(id);
  }

  /** Counts one user less. */
  release(id: Id): void {
    const uses = this.#uses.get(id)! - 1;
    if (uses > 0) this.#uses.set(id, uses);
    else {
      this.#uses.delete(id);
      this.#dirty.add(id);
    }
  }

  /** Notes that the definition changed. */
  touch(id: Id): void {
    if (this.#uses.has(id)) this.#dirty.add(id);
  }

  /** Compiles what changed since the last flush, and returns what differs; undefined for what is no longer used. Cost: the changed rules, and the IP sets that become used. */
  flush(): Map<Id, Output | undefined> {
    for (const id of this.#dirty) {
      const definition = this.#uses.has(id) ? this.#read(id) : undefined;
      const before = this.#held.get(id) ?? [];
      if (definition === undefined) {
        this.#held.delete(id);
        this.#outbox.put(id, undefined);
      } else {
        const held: IpSetContent[] = [];
        const setOf = (content: IpSetContent): IpSetId => {
          held.push(content);
          return this.#sets.acquire(content);
        };
        const lists = this.#lists(definition);
        const compiled = { ingress: lists.ingress.map((rule) => compileRule(rule, setOf)), egress: lists.egress.map((rule) => compileRule(rule, setOf)) };
        this.#held.set(id, held);
        this.#outbox.put(id, this.#output(id, definition, compiled));
      }
      for (const content of before) this.#sets.release(content);
    }
    this.#dirty.clear();
    return this.#outbox.take();
  }
}
