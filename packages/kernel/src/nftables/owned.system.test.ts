// Tests tables that nobody else may change, and what happens to those who try.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deleteTable, type OpenTable, openTable, owningKernel } from './table.netlink.ts';
import { NftablesError, type TableProgrammer } from './table.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';

let namespace: TestNamespace;
const opened: OpenTable[] = [];

beforeEach(() => {
  namespace = makeNamespace();
});
afterEach(() => {
  for (const table of opened.splice(0)) table.close();
  namespace.remove();
});

function open(owned: boolean): OpenTable {
  const table = openTable('inet', 'ours', namespace.name, { owned });
  opened.push(table);
  return table;
}

const wish = (table: TableProgrammer, chain: string): void => table.setChain({ name: chain, rules: [{ statements: [{ is: 'verdict', verdict: 'drop' }] }] });
const nft = (...command: string[]): string => {
  try {
    return namespace.nft(command);
  } catch (error) {
    return String((error as { stderr?: unknown }).stderr ?? error);
  }
};

describe('a table that is owned', () => {
  test('stays when another program flushes the ruleset; other programs can read it, but neither change nor delete it', () => {
    const table = open(true);
    wish(table, 'one');
    table.apply();
    nft('flush', 'ruleset');
    expect(nft('delete', 'table', 'inet', 'ours')).toContain('not permitted');
    expect(nft('add', 'rule', 'inet', 'ours', 'one', 'accept')).toContain('not permitted');
    expect(nft('list', 'ruleset')).toContain('chain one');
    wish(table, 'two');
    table.apply();
    table.distrust();
    expect(table.apply().operations).toBe(0);
    expect(nft('list', 'ruleset')).toContain('chain two');
  });

  test('is refused to a second owner with the reason, stays when its owner has ended, and is then taken over by the next', () => {
    const [owner, second] = [open(true), open(true)];
    wish(owner, 'one');
    owner.apply();
    wish(second, 'two');
    expect(() => second.apply()).toThrow(NftablesError);
    expect(() => second.apply()).toThrow('another process owns the table');
    owner.close();
    opened.shift();
    expect(nft('list', 'ruleset')).toContain('chain one');
    second.apply();
    expect(nft('list', 'ruleset')).toContain('chain two');
    nft('flush', 'ruleset');
    expect(nft('list', 'ruleset')).toContain('chain two');
  });

  test('can be deleted by anybody when its owner has ended', () => {
    const owner = open(true);
    wish(owner, 'one');
    owner.apply();
    owner.close();
    opened.shift();
    expect(nft('delete', 'table', 'inet', 'ours')).toBe('');
    expect(nft('list', 'ruleset')).toBe('');
  });
});

test('a table that was created without an owner is changed nevertheless, and owned once it is recreated', () => {
  nft('add', 'table', 'inet', 'ours');
  const table = open(true);
  wish(table, 'one');
  table.apply();
  expect(nft('list', 'ruleset')).toContain('chain one');
  deleteTable('inet', 'ours', namespace.name);
  table.distrust();
  table.apply();
  nft('flush', 'ruleset');
  expect(nft('list', 'ruleset')).toContain('chain one');
});

test('on a kernel without owned tables, the table is created as any other', () => {
  const asked: (boolean | undefined)[] = [];
  const kernel = owningKernel({
    read: () => ({ generation: 1, table: false, chains: new Map(), sets: new Map(), leftovers: [] }),
    commit(operations) {
      for (const operation of operations) if (operation.verb === 'add table') asked.push(operation.owned);
      if (asked.length === 1) throw new NftablesError('refused', [{ code: 'EOPNOTSUPP', object: 'table' }]);
      return { bytes: 0 };
    },
    portId: () => 1,
    exists: () => false,
    hasRules: () => false,
    elementsOf: () => [],
  });
  kernel.commit([{ verb: 'add table' }]);
  kernel.commit([{ verb: 'add table' }]);
  expect(asked).toEqual([true, undefined, undefined]);
});

test('a table that is not to be owned can be changed by anybody', () => {
  const table = open(false);
  wish(table, 'one');
  table.apply();
  nft('flush', 'ruleset');
  expect(nft('list', 'ruleset')).toBe('');
});
