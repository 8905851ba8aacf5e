// The public interface of nftables: a table whose desired content is given piece by piece, and one call that makes the kernel hold it.
import { CodedError } from '@calico-openstack/agent/errors';
import type { Rules } from './evaluate.ts';
import type { NftChain, NftElement, NftSet, TableFamily } from './objects.ts';

/** A refusal of the kernel; nothing of that transaction was applied. `object` names the chain, set or element that it is about, as nft writes it. */
export type NftRefusal = { readonly code: string; readonly object: string; readonly detail?: string };

/** The kernel refused a transaction, or an object cannot be programmed at all (code INVALID). `code` is that of the first refusal. */
export class NftablesError extends CodedError {
  /** The refusals in the order of the transaction; the first is the cause. */
  readonly refusals: readonly NftRefusal[];
  constructor(message: string, refusals: readonly [NftRefusal, ...NftRefusal[]]) {
    super(refusals[0].code, message);
    this.refusals = refusals;
  }
}

/** The result of an `apply` with all its transactions. `operations` counts each rule and element; `resynced` is true when it started with a reading. */
export type ApplyReport = { readonly operations: number; readonly bytes: number; readonly tookMs: number; readonly resynced: boolean };

/** The sizes of the desired content, and counts since the table was opened: transactions that the kernel accepted and refused, and readings of its content. */
export type TableCounts = Readonly<Record<'chains' | 'rules' | 'sets' | 'maps' | 'committed' | 'refused' | 'readings', number>>;

/**
 * One table that belongs to this program as a whole: content that is not wanted is deleted. The wanted content is held here. `apply` commits the difference to what the kernel
 * is known to hold. At first, and after a refusal, the kernel's content is read and compared; correct content is not touched, so a restart changes nothing.
 *
 * One `apply` has up to three transactions, each all or nothing: additions that nothing leads to yet; changes of what something leads to; deletions of what nothing leads to any
 * more (difference.ts). Every packet is decided by all of the old content or by all of the new. This holds for packets in flight too when everything that differs lies behind
 * a map by number. There is only one transaction when the first chain is added to a hook, or one moves to another hook.
 */
export interface TableProgrammer {
  readonly family: TableFamily;
  readonly name: string;
  /** Sets a wanted chain. This and the next methods throw NftablesError (INVALID), and change nothing, when the object could never be programmed. */
  setChain(chain: NftChain): void;
  removeChain(name: string): void;
  /** Sets a wanted set or map with exactly these elements. */
  setSet(set: NftSet, elements: Iterable<NftElement>): void;
  removeSet(name: string): void;
  /** Adds wanted elements. The cost depends on their number, not on the size of the set. An element with an existing key replaces that one. */
  addElements(set: string, elements: Iterable<NftElement>): void;
  removeElements(set: string, elements: Iterable<NftElement>): void;
  /** Whether the wanted content is not known to be in the kernel. */
  readonly dirty: boolean;
  /**
   * Makes the kernel hold the wanted content. Throws NftablesError when the kernel refuses: then no deletion was carried out; additions and changes may have been.
   * The wanted content stays, and the next apply starts with a reading.
   */
  apply(): ApplyReport;
  /** Makes the next apply read the kernel's content and correct what somebody else has changed. */
  distrust(): void;
  /** The wanted content for evaluate.ts: always the present one. */
  readonly rules: Rules;
  /** The wanted content as nft text, for people. */
  print(): string;
  /** For metrics. Cost: the number of chains. */
  counts(): TableCounts;
}
