// Who has what only one can have (an interface, an address): of all that claim it, the first by `compareClaims`. A function of the claims, never of who came first to us.
import { type AddressClaim, compareClaims } from '@calico-openstack/datamodel';

export class Claims<Claimant extends string> {
  /** By thing: all claims of it, and whose is the first. */
  readonly #things = new Map<string, { readonly claims: Map<Claimant, AddressClaim>; owner: Claimant }>();
  readonly #claimed = new Map<Claimant, ReadonlyMap<string, AddressClaim>>();

  /** A claimant now claims these things. Returns the others whose share may have changed: everybody who claims a thing whose owner is another now. */
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

  /** What it claims, as it was set last. */
  of(claimant: Claimant): ReadonlyMap<string, AddressClaim> {
    return this.#claimed.get(claimant) ?? none;
  }

  claimants(thing: string): Iterable<Claimant> {
    return this.#things.get(thing)?.claims.keys() ?? [];
  }

  /** Costs no more than the change, however many claim the thing, but when its owner lets it go. */
  #change(thing: string, claimant: Claimant, claim: AddressClaim | undefined, affected: Set<Claimant>): void {
    const held = this.#things.get(thing);
    if (!held) {
      this.#things.set(thing, { claims: new Map([[claimant, claim!]]), owner: claimant });
      return;
    }
    const { claims, owner } = held;
    if (claim) claims.set(claimant, claim);
    else claims.delete(claimant);
    if (claims.size === 0) this.#things.delete(thing);
    else if (owner === claimant) held.owner = firstOf(claims);
    else if (claim && compareClaims(claim, claims.get(owner)!) < 0) held.owner = claimant;
    if (held.owner !== owner || owner === claimant) for (const other of claims.keys()) affected.add(other);
  }
}

function firstOf<Claimant>(claims: ReadonlyMap<Claimant, AddressClaim>): Claimant {
  let first: readonly [Claimant, AddressClaim] | undefined;
  for (const entry of claims) if (!first || compareClaims(entry[1], first[1]) < 0) first = entry;
  return first![0];
}

const none: ReadonlyMap<string, AddressClaim> = new Map();
