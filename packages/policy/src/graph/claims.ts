// Who has what only one can have (an interface, an address): of all that claim it, the first by `compareClaims`. A function of the claims, never of who came first to us.
import { type AddressClaim, compareClaims } from '@calico-openstack/datamodel';

export class Claims<Claimant extends string> {
  /** By thing: all claims of it, and whose is the first. */
  readonly #things = new Map<string, { readonly claims: Map<Claimant, AddressClaim>; owner: Claimant }>();
  readonly #claimed = new Map<Claimant, ReadonlyMap<string, AddressClaim>>();

  /** A claimant now claims these things. Returns all whose share may have changed: everybody who claims a thing that it let go, took, or claims with another right. */
  set(claimant: Claimant, wanted: ReadonlyMap<string, AddressClaim>): ReadonlySet<Claimant> {
    const before = this.#claimed.get(claimant) ?? none;
    const affected = new Set<Claimant>();
    for (const thing of before.keys()) if (!wanted.has(thing)) this.#change(thing, claimant, undefined, affected);
    for (const [thing, claim] of wanted) {
      const had = before.get(thing);
      if (!had || compareClaims(had, claim) !== 0) this.#change(thing, claimant, claim, affected);
    }
    if (wanted.size > 0) this.#claimed.set(claimant, wanted);
    else this.#claimed.delete(claimant);
    affected.delete(claimant);
    return affected;
  }

  owner(thing: string): Claimant | undefined {
    return this.#things.get(thing)?.owner;
  }

  claimants(thing: string): Iterable<Claimant> {
    return this.#things.get(thing)?.claims.keys() ?? [];
  }

  #change(thing: string, claimant: Claimant, claim: AddressClaim | undefined, affected: Set<Claimant>): void {
    const held = this.#things.get(thing);
    const claims = held?.claims ?? new Map<Claimant, AddressClaim>();
    for (const other of claims.keys()) affected.add(other);
    if (claim) claims.set(claimant, claim);
    else claims.delete(claimant);
    let first: readonly [Claimant, AddressClaim] | undefined;
    for (const entry of claims) if (!first || compareClaims(entry[1], first[1]) < 0) first = entry;
    if (!first) this.#things.delete(thing);
    else if (held) held.owner = first[0];
    else this.#things.set(thing, { claims, owner: first[0] });
  }
}

const none: ReadonlyMap<string, AddressClaim> = new Map();
