// Remembers what the kernel holds of one table: what was last read, and what has been committed since.
import type { NftElement } from './objects.ts';
import { type Held, type HeldChain, type HeldSet, heldElement } from './operations.ts';
import type { WantedTable } from './wanted-table.ts';

type ProgrammedSet = HeldSet & { readonly elements: Map<string, NftElement> };

/** The chains and sets of one table, as last known of the kernel. */
export class HeldTable {
  #chains = new Map<string, HeldChain>();
  #sets = new Map<string, ProgrammedSet>();

  get chains(): ReadonlyMap<string, HeldChain> {
    return this.#chains;
  }

  get sets(): ReadonlyMap<string, HeldSet> {
    return this.#sets;
  }

  /** Replaces everything by a reading. */
  replace({ chains, sets }: Held): void {
    this.#chains = new Map(chains);
    this.#sets = new Map([...sets].map(([name, { definition, elements }]) => [name, { definition, elements: heldElements(elements) }]));
  }

  /** Records that the changed part of the desired table was committed. */
  advance({ chains, sets, changedChains, changedSets }: Pick<WantedTable, 'chains' | 'sets' | 'changedChains' | 'changedSets'>): void {
    for (const name of changedChains) {
      const wanted = chains.get(name);
      if (wanted === undefined) this.#chains.delete(name);
      else this.#chains.set(name, { hook: wanted.hook, rules: wanted.encoded });
    }
    for (const name of changedSets) {
      const wanted = sets.get(name);
      const held = this.#sets.get(name);
      if (wanted === undefined) this.#sets.delete(name);
      else if (wanted.changed === 'all' || held === undefined) this.#sets.set(name, { definition: wanted.definition, elements: new Map(wanted.elements) });
      else for (const id of wanted.changed) advanceElement(held, id, wanted.elements.get(id));
    }
  }
}

function heldElements(elements: ReadonlyMap<string, NftElement>): Map<string, NftElement> {
  const held = new Map<string, NftElement>();
  for (const [id, element] of elements) held.set(id, heldElement(id, element));
  return held;
}

function advanceElement({ elements }: ProgrammedSet, id: string, wanted: NftElement | undefined): void {
  if (wanted === undefined) elements.delete(id);
  else elements.set(id, wanted);
}
