// Decides whether a workload may have an address, alike for Felix and the DHCP agent, from plain data. In a routed cloud all addresses form one flat space:
// a workload that was given the address of a router or of etcd would have it in the whole cloud.
import { addressOf, type Cidr, cidrContains, hostCidr, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import { impossibleForHosts } from './possible-addresses.ts';

/** Who has a reserved address. `whose` is a phrase that follows "is": `an etcd endpoint`. `isThisHosts`: the host has the address on an interface of its own. */
export type Holder = { readonly whose: string; readonly isThisHosts?: boolean };

/** The holders of reserved prefixes, nearly all of which hold one address. */
export type Reservations = ReadonlyMap<Cidr, Holder>;

/** The addresses that belong to others than workloads. Several sources contribute to them. */
export class ReservedAddresses {
  readonly #bySource = new Map<string, Reservations>();
  /** The holders of each prefix, by source. */
  readonly #holders = new Map<Cidr, Map<string, Holder>>();
  /** The reserved prefixes that hold more than one address. There are few. */
  readonly #wide = new Set<Cidr>();

  /**
   * Replaces what `source` (any name) reserves; undefined when it reserves nothing any more. Returns the prefixes that were added, removed or have another holder now.
   * Its cost grows with what `source` reserves.
   */
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
   * Why no workload may have `address`, as a phrase that follows it: `is the next hop of a route of this host`, `lies in 127.0.0.0/8, the loopback addresses`,
   * `holds 10.0.0.1, an etcd endpoint`; undefined when a workload may have it. A prefix is allowed only when nobody else has any address in it.
   * For an address, the cost grows with the reserved prefixes of more than one address; for a prefix, with everything that is reserved.
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

  /** Whether this host has `address` on an interface of its own, so that it is not another's. */
  isThisHosts(address: Cidr | IpAddress): boolean {
    const cidr = address.includes('/') ? (address as Cidr) : hostCidr(address as IpAddress);
    return this.#holder(cidr)?.isThisHosts === true && !impossibleForHosts(cidr);
  }

  /** The holder of the address according to all sources other than `source`, as a phrase that fits behind "is"; undefined when there is none. */
  otherHolder(address: IpAddress, source: string): string | undefined {
    const others = [...(this.#holders.get(hostCidr(address)) ?? [])].filter(([each]) => each !== source).sort(([one], [other]) => (one < other ? -1 : 1));
    return others[0]?.[1].whose;
  }

  /** Whether exactly this prefix is reserved. */
  has(cidr: Cidr): boolean {
    return this.#holders.has(cidr);
  }

  /** Whether a source whose name begins so reserves exactly this prefix. */
  hasFrom(cidr: Cidr, beginning: string): boolean {
    for (const source of this.#holders.get(cidr)?.keys() ?? []) if (source.startsWith(beginning)) return true;
    return false;
  }

  /** The reserved prefixes inside of `prefix`, sorted as text. The cost grows with everything that is reserved. */
  within(prefix: Cidr): readonly Cidr[] {
    return [...this.#holders.keys()].filter((cidr) => cidrContains(prefix, cidr)).sort();
  }

  /** The holder of exactly this prefix. Of several sources, the first by name is quoted, so that the answer does not depend on the order in which they reported. */
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
