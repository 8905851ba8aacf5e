// What the rest of the project uses of nftables: a table whose wanted content is told piece by piece, and one call that makes the kernel's so.
import { CodedError } from '@calico-openstack/agent/errors';
import type { Rules } from './evaluate.ts';
import type { NftChain, NftElement, NftSet, TableFamily } from './objects.ts';

/** What the kernel refused: nothing of that transaction was applied. `object` names the chain, set or element that it was about, in nft's words. */
export type NftRefusal = { readonly code: string; readonly object: string; readonly detail?: string };

/** The kernel refused a transaction, or what was to be wanted cannot be programmed (code INVALID). `code` is that of the first refusal. */
export class NftablesError extends CodedError {
  /** In the order of the transaction; the first is the cause. */
  readonly refusals: readonly NftRefusal[];
  constructor(message: string, refusals: readonly [NftRefusal, ...NftRefusal[]]) {
    super(refusals[0].code, message);
    this.refusals = refusals;
  }
}

/** Of all transactions of an `apply`. `operations` counts rules and elements each; `resynced`: it started from a reading. */
export type ApplyReport = { readonly operations: number; readonly bytes: number; readonly tookMs: number; readonly resynced: boolean };

/**
 * One table, owned whole: what is in it and not wanted goes. Wanted content is held here; `apply` commits the difference to what the kernel is known to hold, so that
 * each packet is decided as before it or as after it, also one that is under way meanwhile, where all that differs is behind a map by number (difference.ts).
 * After a refusal, or at first, the kernel's content is read and compared: what was right already is not touched (a restart changes nothing).
 *
 * One `apply` is up to three transactions: what comes and nothing leads to yet; what something leads to; what goes and nothing leads to any more. Each of them, all or
 * nothing. Between them every packet is decided as before the second, or as after it. All is one transaction where a chain comes to a hook, or to another one.
 */
export interface TableProgrammer {
  readonly family: TableFamily;
  readonly name: string;
  /** This and the other wishes throw NftablesError (INVALID), and change nothing, where the object could not be programmed whatever the kernel holds. */
  setChain(chain: NftChain): void;
  removeChain(name: string): void;
  /** Makes the set or map wanted, with exactly these elements. */
  setSet(set: NftSet, elements: Iterable<NftElement>): void;
  removeSet(name: string): void;
  /** Cost follows the number of elements named, not the size of the set. Adding what is there (same key) replaces its data. */
  addElements(set: string, elements: Iterable<NftElement>): void;
  removeElements(set: string, elements: Iterable<NftElement>): void;
  /** Whether something is wanted that is not known to be in the kernel. */
  readonly dirty: boolean;
  /**
   * Throws NftablesError (with a NftRefusal) when the kernel refuses. Nothing that was to go is gone then; what was to come, or to change, may be there. The wishes
   * stay, and the next apply starts from a fresh reading.
   */
  apply(): ApplyReport;
  /** Read the kernel's content at the next apply and put right what somebody else changed. */
  distrust(): void;
  /** The wanted content, to judge packets by (evaluate.ts). As it is at each question. */
  readonly rules: Rules;
  /** The wanted content as nft text, for people. */
  print(): string;
}
