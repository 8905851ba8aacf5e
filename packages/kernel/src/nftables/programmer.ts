// A TableProgrammer over anything that can read a table and commit transactions: the kernel (table.netlink.ts) or the fake (table.fake.ts).
import { definitionText, difference, hookText, type WantedChain } from './difference.ts';
import { liesIn } from './evaluate.ts';
import type { NftElement, NftSet, TableFamily } from './objects.ts';
import { elementId, type Held, type HeldChain, type Operation, sameElement } from './operations.ts';
import { printTable } from './print.ts';
import { type ApplyReport, NftablesError, type TableProgrammer } from './table.ts';
import { nameProblem } from './text.ts';
import { checkElement, checkedRules, checkLookups, checkSet, invalid } from './validate.ts';

export interface TableKernel {
  /** What the table holds now, all of one generation. */
  read(): Held;
  /**
   * All or nothing: NftablesError when it was nothing. With `generation`, nothing also when the ruleset is of another one by now (code ERESTART). Any other error
   * leaves it open what happened. Gives the size of what was sent.
   */
  commit(operations: readonly Operation[], generation?: number): { readonly bytes: number };
}

type ProgrammedSet = { readonly definition: string; readonly elements: Map<string, NftElement> };
type MutableSet = {
  readonly set: NftSet;
  readonly definition: string;
  readonly elements: Map<string, NftElement>;
  changed: Set<string> | 'all' /** Of a set of ranges, while it stays as it is. */;
  sorted?: readonly NftElement[] | undefined;
};

type Attempt = { readonly operations: number; readonly bytes: number; readonly resynced: boolean };
/** `staged`: what was refused was one of several transactions. */
type RefusedAttempt = { readonly refused: NftablesError; readonly staged: boolean };

/** A ruleset that others change all the time must not keep ours from ever being put right: after so many tries it is no longer asked whether anything came between. */
const readingsThatMustHold = 3;

/** NftablesError (INVALID) when the name cannot be a table's. */
export function programTable(family: TableFamily, name: string, kernel: TableKernel): TableProgrammer {
  const problem = nameProblem(name);
  if (problem !== undefined) throw invalid(`table ${JSON.stringify(name)}`, problem);

  const wantedChains = new Map<string, WantedChain>();
  const wantedSets = new Map<string, MutableSet>();
  /** What the kernel was last seen to accept or to hold. Means nothing while not `known`. */
  let heldChains = new Map<string, HeldChain>();
  let heldSets = new Map<string, ProgrammedSet>();
  let known = false;
  const changedChains = new Set<string>();
  const changedSets = new Set<string>();

  function setChain(chain: Parameters<TableProgrammer['setChain']>[0]): void {
    const encoded = checkedRules(family, chain);
    wantedChains.set(chain.name, { chain, hook: hookText(chain), encoded });
    changedChains.add(chain.name);
  }

  function setSet(set: NftSet, elements: Iterable<NftElement>): void {
    checkSet(set);
    const wanted = new Map<string, NftElement>();
    for (const element of elements) {
      checkElement(set, element);
      wanted.set(elementId(element), element);
    }
    wantedSets.set(set.name, { set, definition: definitionText(set), elements: wanted, changed: 'all' });
    changedSets.add(set.name);
  }

  function setNamed(name: string): MutableSet {
    const wanted = wantedSets.get(name);
    if (wanted === undefined) throw invalid(`set ${name}`, 'is to get or lose elements, but is not wanted itself');
    return wanted;
  }

  function note(wanted: MutableSet, id: string): void {
    wanted.sorted = undefined;
    if (wanted.changed !== 'all') wanted.changed.add(id);
    changedSets.add(wanted.set.name);
  }

  function addElements(name: string, elements: Iterable<NftElement>): void {
    const wanted = setNamed(name);
    for (const element of elements) {
      checkElement(wanted.set, element);
      const id = elementId(element);
      const had = wanted.elements.get(id);
      if (had !== undefined && sameElement(had, element)) continue;
      wanted.elements.set(id, element);
      note(wanted, id);
    }
  }

  function removeElements(name: string, elements: Iterable<NftElement>): void {
    const wanted = setNamed(name);
    for (const element of elements) {
      checkElementKey(wanted.set, element);
      const id = elementId(element);
      if (wanted.elements.delete(id)) note(wanted, id);
    }
  }

  function read(): Held {
    const held = kernel.read();
    heldChains = new Map(held.chains);
    heldSets = new Map([...held.sets].map(([set, { definition, elements }]) => [set, { definition, elements: new Map(elements) }]));
    for (const chain of [...heldChains.keys(), ...wantedChains.keys()]) changedChains.add(chain);
    for (const set of [...heldSets.keys(), ...wantedSets.keys()]) changedSets.add(set);
    for (const wanted of wantedSets.values()) wanted.changed = 'all';
    return held;
  }

  /** The transactions for what may have changed. Throws NftablesError (INVALID) where a chain looks for the wrong things in a set. */
  function plan(held: Held | undefined, together: boolean): readonly (readonly Operation[])[] {
    const setOf = (set: string): NftSet | undefined => wantedSets.get(set)?.set;
    const missing = held !== undefined && !held.table;
    const planned = difference({
      wantedChains,
      wantedSets,
      heldChains,
      heldSets,
      chains: changedChains,
      sets: changedSets,
      leftovers: held?.leftovers ?? [],
      together: together || missing,
    });
    for (const operation of planned.flat()) if (operation.verb === 'add rules') checkLookups(operation.chain, setOf);
    return missing ? [[{ verb: 'add table' }, ...planned.flat()]] : planned;
  }

  /** What was committed is what the kernel holds. */
  function advance(): void {
    for (const name of changedChains) {
      const wanted = wantedChains.get(name);
      if (wanted === undefined) heldChains.delete(name);
      else heldChains.set(name, { hook: wanted.hook, rules: wanted.encoded });
    }
    for (const name of changedSets) {
      const wanted = wantedSets.get(name);
      if (wanted === undefined) heldSets.delete(name);
      else advanceSet(name, wanted);
    }
    changedChains.clear();
    changedSets.clear();
  }

  function advanceSet(name: string, wanted: MutableSet): void {
    const held = heldSets.get(name);
    if (wanted.changed === 'all' || held === undefined) {
      heldSets.set(name, { definition: wanted.definition, elements: new Map(wanted.elements) });
    } else {
      for (const id of wanted.changed) {
        const element = wanted.elements.get(id);
        if (element === undefined) held.elements.delete(id);
        else held.elements.set(id, element);
      }
    }
    wanted.changed = new Set();
  }

  /** `together`: all in one transaction. */
  function attempt(readings: number, together: boolean): Attempt | RefusedAttempt {
    const held = known ? undefined : read();
    const planned = plan(held, together);
    known = false; // unless all goes well, it has to be read again
    let generation = held === undefined || readings >= readingsThatMustHold ? undefined : held.generation;
    let bytes = 0;
    try {
      for (const operations of planned) {
        bytes += kernel.commit(operations, generation).bytes;
        if (generation !== undefined) generation = nextGeneration(generation);
      }
    } catch (error) {
      if (error instanceof NftablesError) return { refused: error, staged: planned.length > 1 };
      throw error;
    }
    advance();
    known = true;
    return { operations: planned.flat().reduce((sum, operation) => sum + sizeOf(operation), 0), bytes, resynced: held !== undefined };
  }

  function apply(): ApplyReport {
    const startedMs = performance.now();
    let [readings, together] = [0, false];
    for (;;) {
      const done = attempt(readings, together);
      if (!('refused' in done)) return { ...done, tookMs: performance.now() - startedMs };
      const { refused, staged } = done;
      if (refused.code === 'ERESTART' && readings < readingsThatMustHold) readings++;
      // What is between the old and the new may be refused where both are right (chains that lead back to themselves through what has come or not gone yet).
      else if (staged && !together) together = true;
      else throw refused;
    }
  }

  return {
    family,
    name,
    setChain,
    removeChain(chain) {
      if (wantedChains.delete(chain)) changedChains.add(chain);
    },
    setSet,
    removeSet(set) {
      if (wantedSets.delete(set)) changedSets.add(set);
    },
    addElements,
    removeElements,
    get dirty() {
      return !known || changedChains.size > 0 || changedSets.size > 0;
    },
    apply,
    distrust() {
      known = false;
    },
    rules: {
      family,
      chains: () => [...wantedChains.values()].map(({ chain }) => chain),
      chain: (name) => wantedChains.get(name)?.chain,
      find(name, key) {
        const wanted = wantedSets.get(name);
        if (!wanted) return undefined;
        if (wanted.set.interval) wanted.sorted ??= sortedRanges(wanted.elements);
        const element = wanted.sorted ? rangeOf(wanted.sorted, key) : wanted.elements.get(elementId({ key }));
        return element && { element, limit: wanted.set.limit !== undefined };
      },
    },
    print() {
      const sets = new Map([...wantedSets].map(([set, wanted]) => [set, { set: wanted.set, elements: [...wanted.elements.values()] }]));
      return printTable({ family, name, chains: new Map([...wantedChains].map(([chain, wanted]) => [chain, wanted.chain])), sets });
    },
  };
}

const sortedRanges = (elements: ReadonlyMap<string, NftElement>): NftElement[] =>
  [...elements.values()].sort((one, other) => Buffer.compare(one.key, other.key));

/** The range that holds the key, of ranges in order that do not overlap. */
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

/** As the kernel counts: 32 bits, without 0. */
const nextGeneration = (generation: number): number => (generation === 0xffffffff ? 1 : generation + 1);

/** To be removed, an element needs no more than its key. */
function checkElementKey(set: NftSet, element: NftElement): void {
  const { data, verdict } = element;
  if (set.data === 'verdict' ? verdict !== undefined : set.data === undefined || data !== undefined) checkElement(set, element);
}

/** Rules and elements count each; everything else is one. */
function sizeOf(operation: Operation): number {
  switch (operation.verb) {
    case 'add elements':
    case 'delete elements':
      return operation.elements.length;
    case 'add rules':
      return operation.encoded.length;
    default:
      return 1;
  }
}
