// What has to be done for a table to hold what is wanted: the core of the driver, without any I/O.
import type { NftChain, NftElement, NftSet } from './objects.ts';
import { type HeldChain, type HeldSet, type Operation, sameElement, sameRules } from './operations.ts';
import { printDefinition, printHook } from './print.ts';
import { lookupsOf } from './validate.ts';

/** A chain that is wanted. `hook`: printHook's words; `encoded`: its rules as encodeRule gives them. */
export type WantedChain = { readonly chain: NftChain; readonly hook: string; readonly encoded: readonly Uint8Array[] };

/** A set that is wanted, with its elements by elementId. `changed`: the elements that may be others than those that the kernel holds; 'all': look at each. */
export type WantedSet = {
  readonly set: NftSet;
  readonly definition: string;
  readonly elements: ReadonlyMap<string, NftElement>;
  readonly changed: ReadonlySet<string> | 'all';
};

export type Difference = {
  readonly wantedChains: ReadonlyMap<string, WantedChain>;
  readonly wantedSets: ReadonlyMap<string, WantedSet>;
  readonly heldChains: ReadonlyMap<string, HeldChain>;
  readonly heldSets: ReadonlyMap<string, HeldSet>;
  /** Names that are looked at; nothing else can have changed. */
  readonly chains: Iterable<string>;
  readonly sets: Iterable<string>;
};

export const hookText = (chain: NftChain): string => (chain.hook === undefined ? '' : printHook(chain.hook));
export const definitionText = (set: NftSet): string => printDefinition(set);

/**
 * The operations, in an order in which every one finds what it needs and nothing that it takes away is still in use:
 * elements go (they may jump), rules go, sets go, chains go; then sets come, chains, rules, and elements.
 * A set or base chain that is to be another comes anew, with everything that uses it.
 */
export function difference({ wantedChains, wantedSets, heldChains, heldSets, chains, sets }: Difference): Operation[] {
  const deleteElements: Operation[] = [];
  const flushChains = new Set<string>();
  const deleteSets: Operation[] = [];
  const deleteChains: Operation[] = [];
  const addSets: Operation[] = [];
  const addChains: Operation[] = [];
  const addRules = new Map<string, Operation>();
  const addElements: Operation[] = [];
  const remade = new Set<string>();

  for (const name of sets) {
    const [wanted, held] = [wantedSets.get(name), heldSets.get(name)];
    const same = wanted !== undefined && held !== undefined && wanted.definition === held.definition;
    if (held !== undefined && !same) deleteSets.push({ verb: 'delete set', set: name });
    if (wanted === undefined) continue;
    if (!same) addSets.push({ verb: 'add set', set: wanted.set });
    if (!same && held !== undefined) remade.add(name);
    const { gone, come } = same ? elementDifference(wanted, held) : { gone: [], come: [...wanted.elements.values()] };
    if (gone.length > 0) deleteElements.push({ verb: 'delete elements', set: wanted.set, elements: gone });
    if (come.length > 0) addElements.push({ verb: 'add elements', set: wanted.set, elements: come });
  }

  function refill({ chain, encoded }: WantedChain): void {
    if (encoded.length > 0) addRules.set(chain.name, { verb: 'add rules', chain, encoded });
  }

  for (const name of chains) {
    const [wanted, held] = [wantedChains.get(name), heldChains.get(name)];
    if (wanted !== undefined && held !== undefined && wanted.hook === held.hook) {
      if (sameRules(held.rules, wanted.encoded)) continue;
      if (held.rules.length > 0) flushChains.add(name);
      refill(wanted);
      continue;
    }
    if (held !== undefined) {
      if (held.rules.length > 0) flushChains.add(name);
      deleteChains.push({ verb: 'delete chain', chain: name });
    }
    if (wanted !== undefined) {
      addChains.push({ verb: 'add chain', chain: wanted.chain });
      refill(wanted);
    }
  }

  // Rare, and then everything is looked at: nothing else says which chains use a set.
  if (remade.size > 0) {
    for (const [name, wanted] of wantedChains) {
      if (!usesAny(wanted.chain, remade) || addRules.has(name)) continue;
      flushChains.add(name);
      refill(wanted);
    }
  }

  const flushes = [...flushChains].map((chain): Operation => ({ verb: 'flush chain', chain }));
  return [...deleteElements, ...flushes, ...deleteSets, ...deleteChains, ...addSets, ...addChains, ...addRules.values(), ...addElements];
}

function elementDifference(wanted: WantedSet, held: HeldSet): { readonly gone: NftElement[]; readonly come: NftElement[] } {
  const gone: NftElement[] = [];
  const come: NftElement[] = [];
  const compare = (id: string): void => {
    const [have, want] = [held.elements.get(id), wanted.elements.get(id)];
    if (have !== undefined && want !== undefined && sameElement(have, want)) return;
    if (have !== undefined) gone.push(have);
    if (want !== undefined) come.push(want);
  };
  if (wanted.changed !== 'all') {
    for (const id of wanted.changed) compare(id);
    return { gone, come };
  }
  for (const id of held.elements.keys()) compare(id);
  for (const id of wanted.elements.keys()) if (!held.elements.has(id)) compare(id);
  return { gone, come };
}

const usesAny = (chain: NftChain, sets: ReadonlySet<string>): boolean =>
  chain.rules.some((rule) => rule.statements.some((statement) => lookupsOf(statement).some(({ set }) => sets.has(set))));
