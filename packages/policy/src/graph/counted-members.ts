// The members of one set, each there once whatever the number of its contributors, and what changed since it was last asked.

export type MemberChange = { readonly added: readonly string[]; readonly removed: readonly string[] };

export class CountedMembers {
  readonly #present = new Set<string>();
  /** Contributors beyond the first: most members have but one. */
  readonly #further = new Map<string, number>();
  readonly #added = new Set<string>();
  readonly #removed = new Set<string>();
  #told = false;

  get size(): number {
    return this.#present.size;
  }

  add(member: string): void {
    if (this.#present.has(member)) {
      this.#further.set(member, (this.#further.get(member) ?? 0) + 1);
      return;
    }
    this.#present.add(member);
    if (this.#told && !this.#removed.delete(member)) this.#added.add(member);
  }

  /** As often as it was added, no more. */
  remove(member: string): void {
    const further = this.#further.get(member);
    if (further !== undefined) {
      if (further > 1) this.#further.set(member, further - 1);
      else this.#further.delete(member);
      return;
    }
    if (!this.#present.delete(member)) throw new RangeError(`"${member}" is removed from a set more often than it was added`);
    if (this.#told && !this.#added.delete(member)) this.#removed.add(member);
  }

  /** The first time all members, afterwards what changed; undefined when nothing did. */
  take(): ReadonlySet<string> | MemberChange | undefined {
    if (!this.#told) {
      this.#told = true;
      return new Set(this.#present);
    }
    if (this.#added.size === 0 && this.#removed.size === 0) return undefined;
    const change = { added: [...this.#added], removed: [...this.#removed] };
    this.#added.clear();
    this.#removed.clear();
    return change;
  }
}
