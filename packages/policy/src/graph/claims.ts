// Decides who owns an interface or address that only one can have. The owner is the first claimant by `compareClaims`, so the result depends on the claims alone, and not on the order in
// which they arrived.
import { type AddressClaim, compareClaims } from '@calico-openstack/datamodel';

/** Claims and owners, by interface or address. */
export class Claims<Claimant extends string> {
  /** All claims of each thing, and its owner. */
  readonly #things = new Map<string, { readonly claims: Map<Claimant, AddressClaim>; owner: Claimant }>();
  readonly #claimed = new Map<Claimant, ReadonlyMap<string, AddressClaim>>();

  /** Replaces the claims of a claimant. Returns the other claimants whose share may have changed: those that claim a thing whose owner changed. */
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

  /** The owner of a thing; undefined when nobody claims it. */
  owner(thing: string): Claimant | undefined {
    return this.#things.get(thing)?.owner;
  }

  /** The claims of a claimant, as they were set last. */
  of(claimant: Claimant): ReadonlyMap<string, AddressClaim> {
    return this.#claimed.get(claimant) ?? none;
  }

  /** Everybody who claims a thing. */
  claimants(thing: string): Iterable<Claimant> {
    return this.#things.get(thing)?.claims.keys() ?? [];
  }

  /** Costs constant time, however many claim the thing, unless its owner withdraws its claim. */
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
