// Addresses that somebody has: this host's workloads, the host, its routers, etcd, BGP peers. Nobody speaks for them because a prefix of his holds them, however wide it is.
import { addressBytes, addressOf, type Cidr, familyOf, type IpFamily, impossiblePrefixes, isHostCidr } from '@calico-openstack/datamodel';
import type { Field, NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import type { EditList, TableName } from './edits.ts';
import { PrefixCover } from './prefix-cover.ts';
import { inSet, rangeElement, rule } from './statements.ts';

/** Single addresses; empty while no workload has a prefix. */
const singles = (family: IpFamily): string => `others-addresses${family}`;
/** Prefixes: those in which no host can have an address, and whatever else is reserved as a whole. */
const ranges = (family: IpFamily): string => `others-prefixes${family}`;

const families = [4, 6] as const;
const tablesOf = (family: IpFamily): readonly TableName[] => (family === 4 ? ['inet', 'arp'] : ['inet']);
const setsOf = (family: IpFamily): NftSet[] => {
  const key = [family === 4 ? 'ipv4_addr' : 'ipv6_addr'] as const;
  return [
    { name: singles(family), key },
    { name: ranges(family), key, interval: true },
  ];
};

export const othersSets: Readonly<Record<TableName, readonly NftSet[]>> = { inet: families.flatMap(setsOf), arp: setsOf(4) };

/** What the sets hold from the start. */
export function othersAtStart({ name }: NftSet): readonly NftElement[] {
  const family = families.find((each) => name === ranges(each));
  return family === undefined ? [] : impossiblePrefixes.filter((cidr) => familyOf(cidr) === family).map(rangeElement);
}

/** Rules that end in `statement` when the field holds an address that somebody has, or nobody can have. */
export const isAnothers = (family: IpFamily, field: Field, statement: Statement, before: readonly Statement[] = []): readonly NftRule[] =>
  [singles(family), ranges(family)].map((set) => rule(...before, inSet(set, [field]), statement));

/** Keeps the sets: counts who has what, so that what two have stays until both let it go. */
export class Others {
  readonly #counts = new Map<Cidr, number>();
  readonly #covers: Readonly<Record<IpFamily, PrefixCover>> = { 4: new PrefixCover(4), 6: new PrefixCover(6) };
  readonly #told = new Set<Cidr>();
  #touched = new Set<Cidr>();
  /** How many workloads have prefixes. */
  #users = 0;
  #toldAny = false;

  constructor() {
    for (const cidr of impossiblePrefixes) this.#covers[familyOf(cidr)].add(cidr);
  }

  /** `by` workloads more (or less, when negative) have prefixes. */
  use(by: number): void {
    this.#users += by;
  }

  /** Somebody more has the address, or (-1) somebody less. Prefixes are counted once: they have one who reserves them. */
  count(cidr: Cidr, by: 1 | -1, edits: EditList): void {
    if (!isHostCidr(cidr)) {
      this.#setRange(cidr, by, edits);
      return;
    }
    const count = (this.#counts.get(cidr) ?? 0) + by;
    if (count > 0) this.#counts.set(cidr, count);
    else this.#counts.delete(cidr);
    this.#touched.add(cidr);
  }

  /** After all of a step is counted: what differs is written. */
  emit(edits: EditList): void {
    const any = this.#users > 0;
    if (any !== this.#toldAny) this.#touched = new Set([...this.#counts.keys(), ...this.#told]);
    this.#toldAny = any;
    const [gone, come]: [Cidr[], Cidr[]] = [[], []];
    if (any || this.#told.size > 0) {
      for (const cidr of this.#touched) {
        const wanted = any && this.#counts.has(cidr);
        if (wanted === this.#told.has(cidr)) continue;
        if (wanted) this.#told.add(cidr);
        else this.#told.delete(cidr);
        (wanted ? come : gone).push(cidr);
      }
    }
    this.#touched.clear();
    if (gone.length + come.length === 0) return;
    for (const family of families) {
      const elements = (cidrs: readonly Cidr[]): NftElement[] =>
        cidrs.filter((cidr) => familyOf(cidr) === family).map((cidr) => ({ key: addressBytes(addressOf(cidr)) }));
      for (const table of tablesOf(family)) {
        edits.removeElements(singles(family), elements(gone), table);
        edits.addElements(singles(family), elements(come), table);
      }
    }
  }

  #setRange(cidr: Cidr, by: 1 | -1, edits: EditList): void {
    if (impossiblePrefixes.includes(cidr)) return; // always there
    const family = familyOf(cidr);
    const { shown, hidden } = by > 0 ? this.#covers[family].add(cidr) : this.#covers[family].remove(cidr);
    for (const table of tablesOf(family)) {
      edits.removeElements(ranges(family), hidden.map(rangeElement), table);
      edits.addElements(ranges(family), shown.map(rangeElement), table);
    }
  }
}
