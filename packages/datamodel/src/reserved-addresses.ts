// Whether a workload may have an address: one answer for Felix and the DHCP agent, from plain data, whatever etcd says. In a routed cloud all addresses are one flat
// space: who is let have an address has it everywhere, be it the host's router's or etcd's.
import { addressOf, cidrContains, hostCidr, isHostCidr } from './addresses.ts';
import type { Cidr, IpAddress } from './desired.ts';
import { impossibleForHosts } from './possible-addresses.ts';

/** `whose`: as a phrase behind "is": `an etcd endpoint`. `isThisHosts`: the host has the address on an interface of its own. */
export type Holder = { readonly whose: string; readonly isThisHosts?: boolean };

/** By prefix, nearly always of one address. */
export type Reservations = ReadonlyMap<Cidr, Holder>;

/** What somebody else than a workload has, by the source that says so. */
export class ReservedAddresses {
  readonly #bySource = new Map<string, Reservations>();
  /** By prefix, then by source: who has it. */
  readonly #holders = new Map<Cidr, Map<string, Holder>>();
  /** The prefixes of more than one address among them: few. */
  readonly #wide = new Set<Cidr>();

  /** `source` (any name) now reserves these; undefined: nothing. Returns the prefixes that came, went, or are somebody else's now. Cost: what `source` reserves. */
  set(source: string, reservations: Reservations | undefined): ReadonlySet<Cidr> {
    const before = this.#bySource.get(source) ?? none;
    const after = reservations ?? none;
    const changed = new Set<Cidr>();
    for (const cidr of before.keys()) {
      if (after.has(cidr)) continue;
      const holders = this.#holders.get(cidr)!;
      holders.delete(source);
      if (holders.size === 0) {
        this.#holders.delete(cidr);
        this.#wide.delete(cidr);
      }
      changed.add(cidr);
    }
    for (const [cidr, holder] of after) {
      if (isSameHolder(before.get(cidr), holder)) continue;
      const holders = this.#holders.get(cidr) ?? new Map<string, Holder>();
      this.#holders.set(cidr, holders.set(source, holder));
      if (!isHostCidr(cidr)) this.#wide.add(cidr);
      changed.add(cidr);
    }
    if (after.size > 0) this.#bySource.set(source, after);
    else this.#bySource.delete(source);
    return changed;
  }

  /**
   * Why no workload may have `address`, as a phrase behind it: `is the next hop of a route of this host`, `lies in 127.0.0.0/8, the loopback addresses`,
   * `holds 10.0.0.1, an etcd endpoint`; undefined when it may. Of a prefix: when nobody else has any address in it.
   * Cost: the prefixes of more than one address that are reserved; for a prefix, all that is reserved.
   */
  obstacle(address: Cidr | IpAddress): string | undefined {
    const cidr = address.includes('/') ? (address as Cidr) : hostCidr(address as IpAddress);
    const impossible = impossibleForHosts(cidr);
    if (impossible) return `${isHostCidr(cidr) ? 'lies in' : 'overlaps'} ${impossible}`;
    const holder = this.#holder(cidr);
    if (holder !== undefined) return `is ${holder.whose}`;
    for (const wide of this.#wide) if (cidrContains(wide, cidr)) return `lies in ${wide}, ${this.#holder(wide)!.whose}`;
    if (isHostCidr(cidr)) return undefined;
    const [inside] = this.within(cidr);
    return inside && `holds ${isHostCidr(inside) ? addressOf(inside) : inside}, ${this.#holder(inside)!.whose}`;
  }

  /** Whether `address` is nobody's but this host's, which has it on an interface of its own. */
  isThisHosts(address: Cidr | IpAddress): boolean {
    const cidr = address.includes('/') ? (address as Cidr) : hostCidr(address as IpAddress);
    return this.#holder(cidr)?.isThisHosts === true && !impossibleForHosts(cidr);
  }

  has(cidr: Cidr): boolean {
    return this.#holders.has(cidr);
  }

  /** All that is reserved inside of `prefix`, in order of text. Cost: all that is reserved. */
  within(prefix: Cidr): readonly Cidr[] {
    return [...this.#holders.keys()].filter((cidr) => cidrContains(prefix, cidr)).sort();
  }

  /** Whose `cidr` is, if somebody has just this. Of several sources the first by name is quoted, so that the answer does not depend on who spoke first. */
  #holder(cidr: Cidr): Holder | undefined {
    const holders = this.#holders.get(cidr);
    if (!holders) return undefined;
    let first: string | undefined;
    for (const source of holders.keys()) if (first === undefined || source < first) first = source;
    return holders.get(first!);
  }
}

const none: Reservations = new Map();

const isSameHolder = (one: Holder | undefined, other: Holder): boolean =>
  one !== undefined && one.whose === other.whose && (one.isThisHosts ?? false) === (other.isThisHosts ?? false);
