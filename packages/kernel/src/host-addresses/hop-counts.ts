// Which addresses routes have made somebody's, counted by routes: pure. A host may have a hundred thousand routes through a dozen routers; only the routers are kept.
import type { Change } from '../programmer/table.ts';
import type { RouteAddress, RouteAddresses } from './hops.ts';

/**
 * Counts can be wrong: the kernel does not tell what a replaced route was, nor which IPv4 routes went with a link. So an address comes with the first route that names
 * it, and goes only when a reading of all routes does not find it.
 */
export class HopCounts {
  #counts = new Map<string, { readonly address: RouteAddress; routes: number }>();

  get addresses(): Iterable<RouteAddress> {
    return [...this.#counts.values()].map(({ address }) => address);
  }

  add({ addresses }: RouteAddresses): boolean {
    let isNew = false;
    for (const address of addresses) {
      const key = keyOf(address);
      const count = this.#counts.get(key);
      if (count) count.routes += 1;
      else {
        this.#counts.set(key, { address, routes: 1 });
        isNew = true;
      }
    }
    return isNew;
  }

  /** Whether an address may be gone. */
  remove({ addresses }: RouteAddresses): boolean {
    let inDoubt = false;
    for (const address of addresses) {
      const count = this.#counts.get(keyOf(address));
      if (!count) continue;
      count.routes = Math.max(0, count.routes - 1);
      if (count.routes === 0) inDoubt = true;
    }
    return inDoubt;
  }

  apply(changes: readonly Change<RouteAddresses>[]): { readonly isNew: boolean; readonly inDoubt: boolean } {
    let [isNew, inDoubt] = [false, false];
    for (const { is, object } of changes) {
      if (is === 'present') isNew = this.add(object) || isNew;
      else inDoubt = this.remove(object) || inDoubt;
      inDoubt ||= object.replaced;
    }
    return { isNew, inDoubt };
  }

  /** Whether both hold the same addresses. */
  isAs(other: HopCounts): boolean {
    if (this.#counts.size !== other.#counts.size) return false;
    for (const key of this.#counts.keys()) if (!other.#counts.has(key)) return false;
    return true;
  }
}

const keyOf = ({ is, prefix, deviceIndex }: RouteAddress): string => `${is} ${prefix} ${deviceIndex}`;
