// What a rendering changes in a table, as values that print and compare. Felix hands them to the table programmer in order.
import type { NftChain, NftElement, NftSet } from '@calico-openstack/kernel/nftables/objects';
import type { TableProgrammer } from '@calico-openstack/kernel/nftables/table';

export type TableEdit =
  | { readonly edit: 'set-chain'; readonly chain: NftChain }
  | { readonly edit: 'remove-chain'; readonly name: string }
  | { readonly edit: 'set-set'; readonly set: NftSet; readonly elements: readonly NftElement[] }
  | { readonly edit: 'remove-set'; readonly name: string }
  | { readonly edit: 'add-elements'; readonly set: string; readonly elements: readonly NftElement[] }
  | { readonly edit: 'remove-elements'; readonly set: string; readonly elements: readonly NftElement[] };

/** The two tables: `inet` for packets, `arp` for what a workload claims about addresses. */
export type TableName = 'inet' | 'arp';
export type TableEdits = Readonly<Record<TableName, readonly TableEdit[]>>;

/** Collects edits while a rendering runs. */
export class EditList {
  readonly inet: TableEdit[] = [];
  readonly arp: TableEdit[] = [];

  setChain(chain: NftChain, table: TableName = 'inet'): void {
    this[table].push({ edit: 'set-chain', chain });
  }
  removeChain(name: string, table: TableName = 'inet'): void {
    this[table].push({ edit: 'remove-chain', name });
  }
  setSet(set: NftSet, elements: readonly NftElement[], table: TableName = 'inet'): void {
    this[table].push({ edit: 'set-set', set, elements });
  }
  removeSet(name: string, table: TableName = 'inet'): void {
    this[table].push({ edit: 'remove-set', name });
  }
  addElements(set: string, elements: readonly NftElement[], table: TableName = 'inet'): void {
    if (elements.length > 0) this[table].push({ edit: 'add-elements', set, elements });
  }
  removeElements(set: string, elements: readonly NftElement[], table: TableName = 'inet'): void {
    if (elements.length > 0) this[table].push({ edit: 'remove-elements', set, elements });
  }
}

const tableNames: readonly TableName[] = ['inet', 'arp'];

/** An edit that the programmer cannot take, whatever the kernel holds: `error` says why. */
export type RejectedEdit = { readonly table: TableName; readonly edit: TableEdit; readonly error: unknown };

/**
 * Hands edits to the programmers of the two tables; nothing is committed yet. An edit that is not taken stops none of the others, and opens nothing: a chain whose rules
 * cannot be said drops what comes to it, whoever jumps there. (Not one that hangs on a hook: all of the host's traffic comes there. What it was before stays.)
 */
export function applyEdits(tables: Readonly<Record<TableName, TableProgrammer>>, edits: TableEdits): readonly RejectedEdit[] {
  const rejected: RejectedEdit[] = [];
  for (const name of tableNames) {
    for (const edit of edits[name]) {
      try {
        applyEdit(tables[name], edit);
      } catch (error) {
        rejected.push({ table: name, edit, error });
        if (edit.edit === 'set-chain' && !edit.chain.hook)
          tables[name].setChain({ ...edit.chain, rules: [{ statements: [{ is: 'verdict', verdict: 'drop' }] }] });
      }
    }
  }
  return rejected;
}

function applyEdit(table: TableProgrammer, edit: TableEdit): void {
  switch (edit.edit) {
    case 'set-chain':
      table.setChain(edit.chain);
      break;
    case 'remove-chain':
      table.removeChain(edit.name);
      break;
    case 'set-set':
      table.setSet(edit.set, edit.elements);
      break;
    case 'remove-set':
      table.removeSet(edit.name);
      break;
    case 'add-elements':
      table.addElements(edit.set, edit.elements);
      break;
    case 'remove-elements':
      table.removeElements(edit.set, edit.elements);
      break;
    default:
      edit satisfies never;
  }
}
