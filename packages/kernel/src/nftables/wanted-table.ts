// The desired content of one table, given and checked piece by piece, and which parts of it may differ from the kernel's. Pure: it does no I/O.
import { definitionText, hookText, type WantedChain } from './difference.ts';
import { liesIn, type Rules } from './evaluate.ts';
import type { NftChain, NftElement, NftSet, TableFamily } from './objects.ts';
import { elementId, heldElement, sameElement } from './operations.ts';
import { printTable } from './print.ts';
import { checkElement, checkedRules, checkSet, invalid } from './validate.ts';

type MutableSet = {
  readonly set: NftSet;
  readonly definition: string;
  readonly elements: Map<string, NftElement>;
  /** Ids of elements that may differ from what the kernel holds. */
  changed: Set<string> | 'all';
  /** The elements of a set of ranges in order, cached until the set changes. */
  sorted?: readonly NftElement[] | undefined;
};

/** The desired part of a TableProgrammer (table.ts). Its methods throw NftablesError (INVALID) for an object that cannot be programmed, and change nothing then. */
export class WantedTable {
  readonly #family: TableFamily;
  readonly #name: string;
  readonly chains = new Map<string, WantedChain>();
  readonly sets = new Map<string, MutableSet>();
  /** Names of chains and sets that may differ from what the kernel holds. */
  readonly changedChains = new Set<string>();
  readonly changedSets = new Set<string>();

  constructor(family: TableFamily, name: string) {
    this.#family = family;
    this.#name = name;
  }

  setChain(chain: NftChain): void {
    const encoded = checkedRules(this.#family, chain);
    this.chains.set(chain.name, { chain, hook: hookText(chain), encoded });
    this.changedChains.add(chain.name);
  }

  removeChain(name: string): void {
    if (this.chains.delete(name)) this.changedChains.add(name);
  }

  setSet(set: NftSet, elements: Iterable<NftElement>): void {
    checkSet(set);
    const wanted = new Map<string, NftElement>();
    for (const element of elements) {
      checkElement(set, element);
      const id = elementId(element);
      wanted.set(id, heldElement(id, element));
    }
    this.sets.set(set.name, { set, definition: definitionText(set), elements: wanted, changed: 'all' });
    this.changedSets.add(set.name);
  }

  removeSet(name: string): void {
    if (this.sets.delete(name)) this.changedSets.add(name);
  }

  addElements(name: string, elements: Iterable<NftElement>): void {
    const wanted = this.#setNamed(name);
    for (const element of elements) {
      checkElement(wanted.set, element);
      const id = elementId(element);
      const had = wanted.elements.get(id);
      if (had !== undefined && sameElement(had, element)) continue;
      wanted.elements.set(id, heldElement(id, element));
      this.#note(wanted, id);
    }
  }

  removeElements(name: string, elements: Iterable<NftElement>): void {
    const wanted = this.#setNamed(name);
    for (const element of elements) {
      checkElementKey(wanted.set, element);
      const id = elementId(element);
      if (wanted.elements.delete(id)) this.#note(wanted, id);
    }
  }

  get hasChanged(): boolean {
    return this.changedChains.size > 0 || this.changedSets.size > 0;
  }

  /** Marks everything as possibly different: all desired objects, and the chains and sets with these names that the kernel has. */
  noteAll(chains: Iterable<string>, sets: Iterable<string>): void {
    for (const chain of [...chains, ...this.chains.keys()]) this.changedChains.add(chain);
    for (const set of [...sets, ...this.sets.keys()]) this.changedSets.add(set);
    for (const wanted of this.sets.values()) wanted.changed = 'all';
  }

  /** Marks everything as the same: the kernel holds what is desired. */
  noteNone(): void {
    for (const name of this.changedSets) {
      const wanted = this.sets.get(name);
      if (wanted) wanted.changed = new Set();
    }
    this.changedChains.clear();
    this.changedSets.clear();
  }

  /** The current rules, for evaluating packets (evaluate.ts). */
  get rules(): Rules {
    return {
      family: this.#family,
      chains: () => [...this.chains.values()].map(({ chain }) => chain),
      chain: (name) => this.chains.get(name)?.chain,
      find: (name, key) => {
        const wanted = this.sets.get(name);
        if (!wanted) return undefined;
        if (wanted.set.interval) wanted.sorted ??= sortedRanges(wanted.elements);
        const element = wanted.sorted ? rangeOf(wanted.sorted, key) : wanted.elements.get(elementId({ key }));
        return element && { element, limit: wanted.set.limit !== undefined };
      },
    };
  }

  /** Prints the table as nft text. */
  print(): string {
    const sets = new Map([...this.sets].map(([name, wanted]) => [name, { set: wanted.set, elements: [...wanted.elements.values()] }]));
    return printTable({ family: this.#family, name: this.#name, chains: new Map([...this.chains].map(([name, wanted]) => [name, wanted.chain])), sets });
  }

  /** The sizes of the desired content. */
  get sizes(): Readonly<Record<'chains' | 'rules' | 'sets' | 'maps', number>> {
    let [rules, maps] = [0, 0];
    for (const { encoded } of this.chains.values()) rules += encoded.length;
    for (const { set } of this.sets.values()) if (set.data !== undefined) maps += 1;
    return { chains: this.chains.size, rules, sets: this.sets.size - maps, maps };
  }

  #setNamed(name: string): MutableSet {
    const wanted = this.sets.get(name);
    if (wanted === undefined) throw invalid(`set ${name}`, 'is to get or lose elements, but is not wanted itself');
    return wanted;
  }

  #note(wanted: MutableSet, id: string): void {
    wanted.sorted = undefined;
    if (wanted.changed !== 'all') wanted.changed.add(id);
    this.changedSets.add(wanted.set.name);
  }
}

const sortedRanges = (elements: ReadonlyMap<string, NftElement>): NftElement[] =>
  Array.from(elements.values(), ({ key, ...rest }) => ({ key, ...rest })).sort((one, other) => Buffer.compare(one.key, other.key));

/** Finds the range that holds the key among ranges in order that do not overlap. */
function rangeOf(ranges: readonly NftElement[], key: Uint8Array): NftElement | undefined {
  let [from, to] = [0, ranges.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (Buffer.compare((ranges[middle] as NftElement).key, key) <= 0) from = middle + 1;
    else to = middle;
  }
  const range = ranges[from - 1];
  return range && liesIn(range, key) ? range : undefined;
}

/** Checks the key of an element to be removed; nothing else of it is needed. */
function checkElementKey(set: NftSet, element: NftElement): void {
  const { data, verdict } = element;
  if (set.data === 'verdict' ? verdict !== undefined : set.data === undefined || data !== undefined) checkElement(set, element);
}
