// A TableProgrammer over anything that can read a table and commit transactions: the kernel (table.netlink.ts) or the fake (table.fake.ts). The shell around what is
// wanted (wanted-table.ts), what the kernel holds (held-table.ts) and difference.ts: when it reads, what it does after a refusal, when it tries again.
import { difference } from './difference.ts';
import { HeldTable } from './held-table.ts';
import type { NftSet, TableFamily } from './objects.ts';
import type { Held, Operation } from './operations.ts';
import { type ApplyReport, NftablesError, type TableProgrammer } from './table.ts';
import { nameProblem } from './text.ts';
import { checkLookups, invalid } from './validate.ts';
import { WantedTable } from './wanted-table.ts';

export interface TableKernel {
  /** What the table holds now, all of one generation. */
  read(): Held;
  /**
   * All or nothing: NftablesError when it was nothing. With `generation`, nothing also when the ruleset is of another one by now (code ERESTART). Any other error
   * leaves it open what happened. Gives the size of what was sent.
   */
  commit(operations: readonly Operation[], generation?: number): { readonly bytes: number };
}

type Attempt = { readonly operations: number; readonly bytes: number; readonly resynced: boolean };
/** `staged`: what was refused was one of several transactions. */
type RefusedAttempt = { readonly refused: NftablesError; readonly staged: boolean };

/** A ruleset that others change all the time must not keep ours from ever being put right: after so many tries it is no longer asked whether anything came between. */
const readingsThatMustHold = 3;

/** NftablesError (INVALID) when the name cannot be a table's. */
export function createTableProgrammer(family: TableFamily, name: string, kernel: TableKernel): TableProgrammer {
  const problem = nameProblem(name);
  if (problem !== undefined) throw invalid(`table ${JSON.stringify(name)}`, problem);
  const wanted = new WantedTable(family, name);
  const commits = new Commits(wanted, kernel);
  return {
    family,
    name,
    setChain: (chain) => wanted.setChain(chain),
    removeChain: (chain) => wanted.removeChain(chain),
    setSet: (set, elements) => wanted.setSet(set, elements),
    removeSet: (set) => wanted.removeSet(set),
    addElements: (set, elements) => wanted.addElements(set, elements),
    removeElements: (set, elements) => wanted.removeElements(set, elements),
    get dirty() {
      return !commits.isKnown || wanted.hasChanged;
    },
    apply: () => commits.apply(),
    distrust: () => commits.distrust(),
    rules: wanted.rules,
    print: () => wanted.print(),
  };
}

/** Brings what is wanted into the kernel, and remembers what it holds since. */
class Commits {
  readonly #wanted: WantedTable;
  readonly #kernel: TableKernel;
  /** Means nothing while not `#known`. */
  readonly #held = new HeldTable();
  #known = false;

  constructor(wanted: WantedTable, kernel: TableKernel) {
    this.#wanted = wanted;
    this.#kernel = kernel;
  }

  get isKnown(): boolean {
    return this.#known;
  }

  distrust(): void {
    this.#known = false;
  }

  apply(): ApplyReport {
    const startedMs = performance.now();
    let [readings, together] = [0, false];
    for (;;) {
      const done = this.#attempt(readings, together);
      if (!('refused' in done)) return { ...done, tookMs: performance.now() - startedMs };
      const { refused, staged } = done;
      if (refused.code === 'ERESTART' && readings < readingsThatMustHold) readings++;
      // What is between the old and the new may be refused where both are right (chains that lead back to themselves through what has come or not gone yet).
      else if (staged && !together) together = true;
      else throw refused;
    }
  }

  /** `together`: all in one transaction. */
  #attempt(readings: number, together: boolean): Attempt | RefusedAttempt {
    const held = this.#known ? undefined : this.#read();
    const planned = this.#plan(held, together);
    this.#known = false; // unless all goes well, it has to be read again
    let generation = held === undefined || readings >= readingsThatMustHold ? undefined : held.generation;
    let bytes = 0;
    try {
      for (const operations of planned) {
        bytes += this.#kernel.commit(operations, generation).bytes;
        if (generation !== undefined) generation = nextGeneration(generation);
      }
    } catch (error) {
      if (error instanceof NftablesError) return { refused: error, staged: planned.length > 1 };
      throw error;
    }
    this.#held.advance(this.#wanted);
    this.#wanted.noteNone();
    this.#known = true;
    return { operations: planned.flat().reduce((sum, operation) => sum + sizeOf(operation), 0), bytes, resynced: held !== undefined };
  }

  #read(): Held {
    const held = this.#kernel.read();
    this.#held.replace(held);
    this.#wanted.noteAll(held.chains.keys(), held.sets.keys());
    return held;
  }

  /** The transactions for what may have changed. Throws NftablesError (INVALID) where a chain looks for the wrong things in a set. */
  #plan(held: Held | undefined, together: boolean): readonly (readonly Operation[])[] {
    const { chains, sets, changedChains, changedSets } = this.#wanted;
    const setOf = (set: string): NftSet | undefined => sets.get(set)?.set;
    const missing = held !== undefined && !held.table;
    const planned = difference({
      wantedChains: chains,
      wantedSets: sets,
      heldChains: this.#held.chains,
      heldSets: this.#held.sets,
      chains: changedChains,
      sets: changedSets,
      leftovers: held?.leftovers ?? [],
      together: together || missing,
    });
    for (const operation of planned.flat()) if (operation.verb === 'add rules') checkLookups(operation.chain, setOf);
    return missing ? [[{ verb: 'add table' }, ...planned.flat()]] : planned;
  }
}

/** As the kernel counts: 32 bits, without 0. */
const nextGeneration = (generation: number): number => (generation === 0xffffffff ? 1 : generation + 1);

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
