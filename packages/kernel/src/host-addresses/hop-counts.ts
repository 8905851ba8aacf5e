// Counts, for each address that is a next hop or the host's own, the routes that name it. Pure. A host may have a hundred thousand routes through a dozen routers; only the routers are kept.
import type { Change } from '../programmer/table.ts';
import type { RouteAddress, RouteAddresses } from './hops.ts';

/**
 * Counts can be wrong: the kernel reports neither what a replaced route was, nor which IPv4 routes were dropped with a link. So an address is added with the first route that names
 * it, and removed only when a reading of all routes does not find it.
 */
export class HopCounts {
  readonly #own = new Map<string, Counted>();
  readonly #nextHops = new Map<string, Counted>();

  get addresses(): Iterable<RouteAddress> {
    return [...this.#own.values(), ...this.#nextHops.values()].map(({ address }) => address);
  }

  get nextHops(): Iterable<RouteAddress> {
    return [...this.#nextHops.values()].map(({ address }) => address);
  }

  /** Counts a route as `routes` routes. Returns its addresses that no other route had named before. */
  add({ addresses }: RouteAddresses, routes = 1): readonly RouteAddress[] {
    return addresses.filter((address) => {
      const counts = this.#countsOf(address);
      const key = keyOf(address);
      const count = counts.get(key);
      if (count) count.routes += routes;
      else counts.set(key, { address, routes });
      return !count;
    });
  }

  /** Removes a route from the counts. Returns whether an address may be gone. */
  remove({ addresses }: RouteAddresses): boolean {
    let inDoubt = false;
    for (const address of addresses) {
      const count = this.#countsOf(address).get(keyOf(address));
      if (!count) continue;
      count.routes = Math.max(0, count.routes - 1);
      if (count.routes === 0) inDoubt = true;
    }
    return inDoubt;
  }

  /**
   * Applies changes. With `whileRead` the routes are being read, so that a new route may be read as well. Its address counts as known, but the route is not counted, because a route that
   * was counted twice would keep its address for ever, and a route that is not counted only costs another reading.
   */
  apply(changes: readonly Change<RouteAddresses>[], whileRead = false): { readonly added: readonly RouteAddress[]; readonly inDoubt: boolean } {
    const added: RouteAddress[] = [];
    let inDoubt = false;
    for (const { is, object } of changes) {
      if (is === 'present') added.push(...this.add(object, whileRead ? 0 : 1));
      else inDoubt = this.remove(object) || inDoubt;
      inDoubt ||= object.replaced;
    }
    return { added, inDoubt };
  }

  /** The addresses that only one of the two has. */
  differences(other: HopCounts): readonly RouteAddress[] {
    return [...missingIn(other, this), ...missingIn(this, other)];
  }

  has(address: RouteAddress): boolean {
    return this.#countsOf(address).has(keyOf(address));
  }

  #countsOf({ is }: RouteAddress): Map<string, Counted> {
    return is === 'own' ? this.#own : this.#nextHops;
  }
}

type Counted = { readonly address: RouteAddress; routes: number };

const missingIn = (one: HopCounts, of: HopCounts): RouteAddress[] => [...of.addresses].filter((address) => !one.has(address));

const keyOf = ({ prefix, deviceIndex }: RouteAddress): string => `${prefix} ${deviceIndex}`;
