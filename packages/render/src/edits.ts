// What a rendering changes in a table, as plain values. Felix hands them to the table programmer in order.
import type { NftChain, NftElement, NftSet } from '@calico-openstack/kernel/nftables/objects';
import type { TableProgrammer } from '@calico-openstack/kernel/nftables/table';

/** One change of a table's desired content. */
export type TableEdit =
  | { readonly edit: 'set-chain'; readonly chain: NftChain }
  | { readonly edit: 'remove-chain'; readonly name: string }
  | { readonly edit: 'set-set'; readonly set: NftSet; readonly elements: readonly NftElement[] }
  | { readonly edit: 'remove-set'; readonly name: string }
  | { readonly edit: 'add-elements'; readonly set: string; readonly elements: readonly NftElement[] }
  | { readonly edit: 'remove-elements'; readonly set: string; readonly elements: readonly NftElement[] };

/** The two tables: `inet` for packets, `arp` for the addresses that a workload claims by ARP. */
export type TableName = 'inet' | 'arp';
/** Edits by table, to be applied in order. */
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

/** An edit that the programmer did not accept, which is a fault of ours. `error` says why. */
export type RejectedEdit = { readonly table: TableName; readonly edit: TableEdit; readonly error: unknown };

/**
 * Hands edits to the programmers of the two tables; nothing is committed yet. An edit that is not accepted does not stop the others and fails closed: a chain with rules that cannot be
 * expressed drops every packet that reaches it. Only a chain at a hook stays as it was, because all of the host's traffic passes through it.
 * @returns the edits that were not accepted
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
