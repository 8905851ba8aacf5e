// A TableProgrammer over anything that can read a table and commit transactions: the kernel (table.netlink.ts) or the fake (table.fake.ts). It is the shell around the desired content
// (wanted-table.ts), the kernel's content (held-table.ts) and difference.ts. It decides when to read, what to do after a refusal, and when to retry.
import { unreachable } from '@calico-openstack/agent/errors';
import { difference } from './difference.ts';
import { HeldTable } from './held-table.ts';
import type { NftSet, TableFamily } from './objects.ts';
import type { Held, Operation } from './operations.ts';
import { type ApplyReport, NftablesError, type TableProgrammer } from './table.ts';
import { nameProblem } from './text.ts';
import { checkLookups, invalid } from './validate.ts';
import { WantedTable } from './wanted-table.ts';

/** What a TableProgrammer needs of the kernel. */
export interface TableKernel {
  /** Reads the table, all of one generation of the ruleset. */
  read(): Held;
  /**
   * Commits all operations or none. Throws NftablesError when none were; with `generation` also when the ruleset has another generation by now (code ERESTART). After any other error
   * it is unknown what happened. Returns the size of what was sent in bytes.
   */
  commit(operations: readonly Operation[], generation?: number): { readonly bytes: number };
}

type Attempt = { readonly operations: number; readonly bytes: number; readonly resynced: boolean };
/** A refused attempt. `staged` means that it was one of several transactions. */
type RefusedAttempt = { readonly refused: NftablesError; readonly staged: boolean };

/** After this many readings the generation is no longer checked: other programs' constant changes must not keep ours from being installed. */
const readingsThatMustHold = 3;

/** Creates the programmer of a table. Throws NftablesError (INVALID) for a name that no table can have. */
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
    counts: () => ({ ...wanted.sizes, ...commits.done }),
  };
}

/** Commits the desired table to the kernel, and remembers what the kernel holds since. */
class Commits {
  readonly #wanted: WantedTable;
  readonly #kernel: TableKernel;
  /** Valid only while `#known`. */
  readonly #held = new HeldTable();
  #known = false;
  readonly done = { committed: 0, refused: 0, readings: 0 };

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

  /** Makes one attempt; `together` means in one transaction. */
  #attempt(readings: number, together: boolean): Attempt | RefusedAttempt {
    const held = this.#known ? undefined : this.#read();
    const planned = this.#plan(held, together);
    this.#known = false; // until the commit succeeds: otherwise the kernel has to be read again
    let generation = held === undefined || readings >= readingsThatMustHold ? undefined : held.generation;
    let bytes = 0;
    try {
      for (const operations of planned) {
        bytes += this.#kernel.commit(operations, generation).bytes;
        this.done.committed += 1;
        if (generation !== undefined) generation = nextGeneration(generation);
      }
    } catch (error) {
      this.done.refused += 1;
      if (error instanceof NftablesError) return { refused: error, staged: planned.length > 1 };
      throw error;
    }
    this.#held.advance(this.#wanted);
    this.#wanted.noteNone();
    this.#known = true;
    return { operations: planned.flat().reduce((sum, operation) => sum + sizeOf(operation), 0), bytes, resynced: held !== undefined };
  }

  #read(): Held {
    this.done.readings += 1;
    const held = this.#kernel.read();
    this.#held.replace(held);
    this.#wanted.noteAll(held.chains.keys(), held.sets.keys());
    return held;
  }

  /** The transactions for what may have changed. Throws NftablesError (INVALID) where a chain looks up keys of the wrong type in a set. */
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

/** The next generation as the kernel counts: 32 bits, without 0. */
const nextGeneration = (generation: number): number => (generation === 0xffffffff ? 1 : generation + 1);

/** Counts each rule and each element; every other operation counts one. */
function sizeOf(operation: Operation): number {
  switch (operation.verb) {
    case 'add elements':
    case 'delete elements':
      return operation.elements.length;
    case 'add rules':
      return operation.encoded.length;
    case 'add table':
    case 'delete table':
    case 'add chain':
    case 'flush chain':
    case 'delete chain':
    case 'add set':
    case 'delete set':
    case 'delete object':
      return 1;
    default:
      return unreachable(operation);
  }
}
