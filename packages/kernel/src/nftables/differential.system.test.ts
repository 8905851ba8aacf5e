import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fieldNames } from './fields.ts';
import type { NftTable, Statement } from './objects.ts';
import { printTable } from './print.ts';
import { deleteTable, openTable } from './table.netlink.ts';
import { corpus } from './testing/corpus.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';
import { randomTable } from './testing/random.ts';

let byUs: TestNamespace;
let byNft: TestNamespace;
beforeAll(() => {
  byUs = makeNamespace();
  byNft = makeNamespace();
});
afterAll(() => {
  byUs.remove();
  byNft.remove();
});

function program(table: NftTable): { readonly operations: number; readonly resynced: boolean } {
  const programmer = openTable(table.family, table.name, byUs.name);
  try {
    for (const { set, elements } of table.sets.values()) programmer.setSet(set, elements);
    for (const chain of table.chains.values()) programmer.setChain(chain);
    return programmer.apply();
  } finally {
    programmer.close();
  }
}

/** nft must list our programmed table exactly as it lists a table loaded from our text, and from its own listing. When the table is read back, nothing must be left to do. */
function compare(table: NftTable): void {
  try {
    program(table);
    const ours = byUs.nft(['list', 'table', table.family, table.name]);
    byNft.nft(['-c', '-f', '-'], printTable(table));
    byNft.nft(['-f', '-'], printTable(table));
    expect(ours).toBe(byNft.nft(['list', 'table', table.family, table.name]));
    byNft.nft(['-f', '-'], `delete table ${table.family} ${table.name}\n${ours}`);
    expect(plainReject(ours)).toBe(plainReject(byNft.nft(['list', 'table', table.family, table.name])));
    expect(program(table)).toMatchObject({ operations: 0, resynced: true });
  } finally {
    deleteTable(table.family, table.name, byUs.name);
    deleteTable(table.family, table.name, byNft.name);
  }
}

/** Normalises rejections: after a match of an address family, nft lists the same rejection in a shorter form, and reads that as the family's own. */
const plainReject = (text: string): string => text.replaceAll(/reject with icmp(x|v6)? port-unreachable/g, 'reject');

test.each(corpus.map((table) => [`${table.family} ${table.name}`, table] as const))(
  '%s: programmed by us and loaded from our text, nft lists the same',
  (_name, table) => {
    compare(table);
  },
);

test('the corpus has every field and every kind of statement', () => {
  const statements = corpus.flatMap((table) => [...table.chains.values()].flatMap((chain) => chain.rules.flatMap((rule) => rule.statements)));
  const fields = new Set(statements.flatMap((statement) => ('field' in statement ? [statement.field] : 'fields' in statement ? statement.fields : [])));
  expect([...fields].sort()).toEqual([...fieldNames].sort());
  const kinds: { readonly [Kind in Statement['is']]: true } = {
    match: true,
    masked: true,
    range: true,
    'in-set': true,
    'verdict-map': true,
    counter: true,
    log: true,
    limit: true,
    'connections-over': true,
    'set-mark': true,
    notrack: true,
    nat: true,
    'nat-map': true,
    masquerade: true,
    reject: true,
    verdict: true,
  };
  expect([...new Set(statements.map(({ is }) => is))].sort()).toEqual(Object.keys(kinds).sort());
});

test('random tables: programmed by us and loaded from our text, nft lists the same', () => {
  fc.assert(fc.property(randomTable('at-random'), compare), { numRuns: 60 });
});
