// Keeps the sets of addresses that belong to somebody: this host's workloads, the host itself, its routers, etcd, BGP peers. A workload with a prefix around such an address may not send from it or claim it.
import { addressBytes, addressOf, type Cidr, familyOf, type IpFamily, isHostCidr } from '@calico-openstack/addresses';
import { impossiblePrefixes } from '@calico-openstack/datamodel';
import type { Field, NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import type { EditList, TableName } from './edits.ts';
import { OutermostPrefixes } from './outermost-prefixes.ts';
import { inSet, rangeElement, rule } from './statements.ts';

/** The set of single addresses. It is empty while no workload has a prefix. */
const singles = (family: IpFamily): string => `others-addresses${family}`;
/** The set of prefixes: those in which no host can have an address, and others that are reserved as a whole. */
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

/** The sets of this file, by table. */
export const othersSets: Readonly<Record<TableName, readonly NftSet[]>> = { inet: families.flatMap(setsOf), arp: setsOf(4) };

/** The elements that a set of this file has from the start. */
export function othersAtStart({ name }: NftSet): readonly NftElement[] {
  const family = families.find((each) => name === ranges(each));
  return family === undefined ? [] : impossiblePrefixes.filter((cidr) => familyOf(cidr) === family).map(rangeElement);
}

/** Rules that end in `statement` when the field holds an address that belongs to somebody or that nobody can have. @param before statements that must match first */
export const isAnothers = (family: IpFamily, field: Field, statement: Statement, before: readonly Statement[] = []): readonly NftRule[] =>
  [singles(family), ranges(family)].map((set) => rule(...before, inSet(set, [field]), statement));

/** Keeps the sets up to date. An address that two owners have stays until both give it up. */
export class Others {
  readonly #counts = new Map<Cidr, number>();
  readonly #prefixes: Readonly<Record<IpFamily, OutermostPrefixes>> = { 4: new OutermostPrefixes(4), 6: new OutermostPrefixes(6) };
  readonly #told = new Set<Cidr>();
  #touched = new Set<Cidr>();
  /** The number of workloads with prefixes. */
  #users = 0;
  #toldAny = false;

  constructor() {
    for (const cidr of impossiblePrefixes) this.#prefixes[familyOf(cidr)].add(cidr);
  }

  /** Changes the number of workloads with prefixes. */
  use(by: number): void {
    this.#users += by;
  }

  /** Counts one owner of an address more or less. A prefix is not counted: it has one owner. */
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

  /** Writes the edits for what changed. Called after everything of a step was counted. */
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
    if (impossiblePrefixes.includes(cidr)) return; // these are in the set from the start
    const family = familyOf(cidr);
    const { shown, hidden } = by > 0 ? this.#prefixes[family].add(cidr) : this.#prefixes[family].remove(cidr);
    for (const table of tablesOf(family)) {
      edits.removeElements(ranges(family), hidden.map(rangeElement), table);
      edits.addElements(ranges(family), shown.map(rangeElement), table);
    }
  }
}
