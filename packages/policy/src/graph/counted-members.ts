// The members of one IP set. A member that several contributors add is in the set once. Also records what changed since the last `take`.

/** Members that joined and left. */
export type MemberChange = { readonly added: readonly string[]; readonly removed: readonly string[] };

/** Members with a count of their contributors. */
export class CountedMembers {
  readonly #present = new Set<string>();
  /** The number of contributors beyond the first. Most members have only one, and are not in this map. */
  readonly #further = new Map<string, number>();
  readonly #added = new Set<string>();
  readonly #removed = new Set<string>();
  #told = false;

  get size(): number {
    return this.#present.size;
  }

  /** Adds a contributor of the member. */
  add(member: string): void {
    if (this.#present.has(member)) {
      this.#further.set(member, (this.#further.get(member) ?? 0) + 1);
      return;
    }
    this.#present.add(member);
    if (this.#told && !this.#removed.delete(member)) this.#added.add(member);
  }

  /** Removes a contributor of the member. @throws RangeError when the member is removed more often than it was added */
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

  /** All members at the first call, then the change since the last call; undefined when nothing changed. */
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
