// Who has what only one can have (an interface, an address): of all that claim it, the one with the lowest id. A function of the claims, never of who came first.
import { compareText } from '@calico-openstack/datamodel';

export class Claims<Claimant extends string> {
  readonly #claimants = new Map<string, Set<Claimant>>();
  readonly #claimed = new Map<Claimant, readonly string[]>();

  /** A claimant now claims these things. Returns all whose share may have changed: everybody who claims a thing that it let go or took. */
  set(claimant: Claimant, things: readonly string[]): ReadonlySet<Claimant> {
    const before = this.#claimed.get(claimant) ?? [];
    const affected = new Set<Claimant>();
    for (const thing of before) {
      if (things.includes(thing)) continue;
      const claimants = this.#claimants.get(thing)!;
      claimants.delete(claimant);
      if (claimants.size === 0) this.#claimants.delete(thing);
      for (const other of claimants) affected.add(other);
    }
    for (const thing of things) {
      if (before.includes(thing)) continue;
      const claimants = this.#claimants.get(thing) ?? new Set();
      for (const other of claimants) affected.add(other);
      this.#claimants.set(thing, claimants.add(claimant));
    }
    if (things.length > 0) this.#claimed.set(claimant, things);
    else this.#claimed.delete(claimant);
    return affected;
  }

  owner(thing: string): Claimant | undefined {
    let owner: Claimant | undefined;
    for (const claimant of this.#claimants.get(thing) ?? []) if (owner === undefined || compareText(claimant, owner) < 0) owner = claimant;
    return owner;
  }
}
