// Tests in which transaction each operation is carried out.
import { describe, expect, test } from 'vitest';
import type { NftChain, NftElement, NftSet, NftTable, Statement } from './objects.ts';
import { printOperation } from './print.ts';
import { createTableProgrammer } from './programmer.ts';
import { type FakeKernel, fakeKernel, fakeTable } from './table.fake.ts';
import { NftablesError, type TableProgrammer } from './table.ts';
import { rule, tableOf, verdict } from './testing/values.ts';
import { accept, addresses, dispatch, drop, hook, key, numbers, range, refusalOf, to, want } from './testing/world.ts';
import { hostOrder, interfaceName } from './types.ts';

const classes: NftSet = { name: 'classes', key: ['mark'], data: 'verdict' };
const nets: NftSet = { name: 'nets', key: ['ipv4_addr'], interval: true };
const jump = (chain: string): Statement => verdict({ verdict: 'jump', chain });
const numbered = (number: number, chain: string): NftElement => ({ key: hostOrder(number), verdict: { verdict: 'goto', chain } });
const inSet = (set: string): Statement => ({ is: 'in-set', fields: ['ip saddr'], set });
const chain = (name: string, ...statements: readonly Statement[]): NftChain => ({ name, rules: [rule(...statements)] });
const base: NftChain = {
  name: 'base',
  hook,
  rules: [
    rule({ is: 'verdict-map', fields: ['meta iifname'], via: 'numbers', map: 'classes' }),
    rule({ is: 'verdict-map', fields: ['meta iifname'], map: 'dispatch' }),
  ],
};

const before = tableOf(
  'inet',
  'fake',
  [base, chain('one', inSet('addresses'), accept), chain('two', drop)],
  [
    { set: addresses, elements: [key('10.0.0.1')] },
    { set: numbers, elements: [{ key: interfaceName('tap1'), data: hostOrder(1) }] },
    { set: classes, elements: [numbered(1, 'one'), numbered(2, 'two')] },
    { set: dispatch, elements: [to('tap1', 'one')] },
  ],
);

function programmed(wanted: NftTable): { readonly table: TableProgrammer; readonly kernel: FakeKernel } {
  const { table, kernel } = fakeTable('inet', 'fake');
  want(table, wanted);
  table.apply();
  return { table, kernel };
}

/** The transactions after the first, with their operations as nft text without the table. */
const told = (kernel: FakeKernel, since = 1): string[][] =>
  kernel.commits.slice(since).map((operations) => operations.map((operation) => printOperation('inet', 'fake', operation).replaceAll(' inet fake ', ' ')));

describe('additions, changes and deletions are transactions of their own, and none of them is empty', () => {
  const cases: readonly (readonly [string, (table: TableProgrammer) => void, readonly (readonly string[])[]])[] = [
    ['nothing', () => undefined, []],
    ['an element comes to a set', (t) => t.addElements('addresses', [key('10.0.0.2')]), [['add element addresses { 10.0.0.2 }']]],
    ['an element goes from a set', (t) => t.removeElements('addresses', [key('10.0.0.1')]), [['delete element addresses { 10.0.0.1 }']]],
    ['a chain is filled anew', (t) => t.setChain(chain('two', accept)), [['flush chain two', 'add rule two accept']]],
    [
      'a new chain to which a map of names leads',
      (t) => {
        t.setChain(chain('three', accept));
        t.addElements('dispatch', [to('tap3', 'three')]);
      },
      [['add chain three', 'add rule three accept'], ['add element dispatch { "tap3" : goto three }']],
    ],
    [
      'a new chain with a set, to which a number leads',
      (t) => {
        t.setSet(nets, [range('10.0.0.0', '10.0.0.9')]);
        t.setChain(chain('three', inSet('nets'), accept));
        t.addElements('classes', [numbered(3, 'three')]);
        t.addElements('numbers', [{ key: interfaceName('tap3'), data: hostOrder(3) }]);
      },
      [
        [
          'add set nets { type ipv4_addr; flags interval; }',
          'add chain three',
          'add rule three ip saddr @nets accept',
          'add element nets { 10.0.0.0-10.0.0.9 }',
          'add element classes { 0x00000003 : goto three }',
        ],
        ['add element numbers { "tap3" : 0x00000003 }'],
      ],
    ],
    [
      'a number and its chain are deleted, with their set',
      (t) => {
        t.removeElements('dispatch', [to('tap1', 'one')]);
        t.removeElements('classes', [numbered(1, 'one')]);
        t.removeElements('numbers', [{ key: interfaceName('tap1'), data: hostOrder(1) }]);
        t.removeChain('one');
        t.removeSet('addresses');
      },
      [
        ['delete element dispatch { "tap1" : goto one }', 'delete element numbers { "tap1" : 0x00000001 }'],
        ['delete element classes { 0x00000001 : goto one }', 'flush chain one', 'delete set addresses', 'delete chain one'],
      ],
    ],
    [
      'a number gets another chain, which is a change of what it leads to',
      (t) => {
        t.setChain(chain('three', accept));
        t.addElements('classes', [numbered(2, 'three')]);
        t.removeChain('two');
      },
      [
        ['add chain three', 'add rule three accept'],
        ['delete element classes { 0x00000002 : goto two }', 'add element classes { 0x00000002 : goto three }'],
        ['flush chain two', 'delete chain two'],
      ],
    ],
    [
      'all three, with chains that stay',
      (t) => {
        t.setChain(chain('three', jump('two')));
        t.setChain({ ...base, rules: [...base.rules, rule(jump('three'))] });
        t.addElements('classes', [numbered(3, 'three')]);
        t.removeElements('classes', [numbered(2, 'two')]);
      },
      [
        ['add chain three', 'add rule three jump two', 'add element classes { 0x00000003 : goto three }'],
        ['flush chain base', expect.stringContaining('add rule base')],
        ['delete element classes { 0x00000002 : goto two }'],
      ],
    ],
    [
      'a set is recreated: new chains that use it or lead to it, and their numbers, come with the change; chains to be deleted are emptied before',
      (t) => {
        t.setSet({ ...addresses, interval: true }, [range('10.0.0.0', '10.0.0.9')]);
        t.setChain(chain('uses', inSet('addresses'), drop));
        t.setChain(chain('leads', jump('uses')));
        t.setChain(chain('apart', drop));
        t.addElements('classes', [numbered(3, 'leads'), numbered(4, 'apart')]);
        t.removeElements('classes', [numbered(1, 'one'), numbered(2, 'two')]);
        t.removeElements('dispatch', [to('tap1', 'one')]);
        t.removeChain('one');
        t.removeChain('two');
      },
      [
        ['add chain apart', 'add rule apart drop', 'add element classes { 0x00000004 : goto apart }'],
        [
          'delete element dispatch { "tap1" : goto one }',
          'flush chain one',
          'flush chain two',
          'delete set addresses',
          'add set addresses { type ipv4_addr; flags interval; }',
          'add chain uses',
          'add chain leads',
          'add rule uses ip saddr @addresses drop',
          'add rule leads jump uses',
          'add element addresses { 10.0.0.0-10.0.0.9 }',
          'add element classes { 0x00000003 : goto leads }',
        ],
        ['delete element classes { 0x00000001 : goto one, 0x00000002 : goto two }', 'delete chain one', 'delete chain two'],
      ],
    ],
    [
      'a chain is added to a hook beside others: it waits for what it leads to',
      (t) => {
        t.setChain(chain('three', accept));
        t.setChain({ name: 'input', hook: { ...hook, hook: 'input' }, rules: [rule(jump('three'))] });
        t.removeElements('classes', [numbered(2, 'two')]);
        t.removeChain('two');
      },
      [
        ['add chain three', 'add rule three accept'],
        ['add chain input { type filter hook input priority 0; policy accept; }', 'add rule input jump three'],
        ['delete element classes { 0x00000002 : goto two }', 'flush chain two', 'delete chain two'],
      ],
    ],
    [
      'a chain moves to another hook: all in one transaction',
      (t) => {
        t.setChain(chain('three', accept));
        t.setChain({ ...base, hook: { ...hook, priority: 7 } });
      },
      [
        [
          'flush chain base',
          'delete chain base',
          'add chain three',
          'add chain base { type filter hook forward priority 7; policy accept; }',
          'add rule three accept',
          expect.stringContaining('add rule base'),
        ],
      ],
    ],
    [
      'a base chain is deleted: its hook leads to it, so that is a change',
      (t) => {
        t.removeChain('base');
        t.removeSet('dispatch');
      },
      [['flush chain base', 'delete chain base'], ['delete set dispatch']],
    ],
  ];

  test.each(cases)('%s', (_what, wish, expected) => {
    const { table, kernel } = programmed(before);
    wish(table);
    const report = table.apply();
    expect(told(kernel)).toEqual(expected);
    expect(report.operations > 0).toBe(expected.length > 0);
    expect(table.apply().operations).toBe(0);
    table.distrust();
    expect(table.apply().operations).toBe(0);
  });
});

test('at first, and after the table was deleted, everything is programmed in one transaction', () => {
  const { table, kernel } = programmed(before);
  expect(kernel.commits.length).toBe(1);
  kernel.commit([{ verb: 'delete table' }]);
  table.distrust();
  table.apply();
  expect(kernel.commits.length).toBe(3);
  expect(kernel.commits[2]).toEqual(kernel.commits[0]);
});

test('a report counts what all transactions of an apply did', () => {
  const { table, kernel } = programmed(before);
  table.setChain(chain('three', accept));
  table.addElements('classes', [numbered(3, 'three')]);
  table.addElements('addresses', [key('10.0.0.2'), key('10.0.0.3')]);
  table.removeElements('classes', [numbered(2, 'two')]);
  expect(table.apply().operations).toBe(3 + 2 + 1);
  expect(told(kernel).length).toBe(3);
});

/** Wishes that need all three transactions. */
function wishThree(table: TableProgrammer): void {
  table.setChain(chain('three', accept));
  table.addElements('addresses', [key('10.0.0.2')]);
  table.removeElements('classes', [numbered(2, 'two')]);
}

test.each([
  [7, [7, 8, 9]],
  [0xfffffffe, [0xfffffffe, 0xffffffff, 1]],
])('after a reading at generation %i, each transaction expects the one that the last has made', (generation, expected) => {
  const kernel = fakeKernel('inet', 'fake');
  want(createTableProgrammer('inet', 'fake', kernel), before);
  const asked: (number | undefined)[] = [];
  const table = createTableProgrammer('inet', 'fake', {
    read: () => ({ ...kernel.read(), generation }),
    commit(operations, held) {
      asked.push(held);
      return kernel.commit(operations);
    },
  });
  want(table, before);
  table.apply();
  table.distrust();
  asked.length = 0;
  wishThree(table);
  table.apply();
  expect(asked).toEqual(expected);
  asked.length = 0;
  table.setChain(chain('four', accept));
  table.addElements('addresses', [key('10.0.0.4')]);
  table.apply();
  expect(asked).toEqual([undefined, undefined]);
});

test.each([0, 1, 2])('another program’s transaction between the reading and a commit (after %i of them): everything is read again and corrected', (after) => {
  const { table, kernel } = programmed(before);
  table.distrust();
  wishThree(table);
  const interfere = (): void => void kernel.commit([{ verb: 'add set', set: { name: 'foreign', key: ['mark'] } }]);
  const wait = (left: number): void => kernel.beforeNext(left === 0 ? interfere : () => wait(left - 1));
  wait(after);
  expect(table.apply()).toMatchObject({ resynced: true });
  const { table: fresh, kernel: other } = programmed(before);
  wishThree(fresh);
  fresh.apply();
  expect(kernel.content()).toEqual(other.content());
  expect(table.apply().operations).toBe(0);
});

test('a chain is removed that a rule still jumps to: the earlier transactions are done, the wanted content stays, and after its correction everything is applied', () => {
  const { table, kernel } = programmed({ ...before, chains: new Map([...before.chains, ['caller', chain('caller', jump('two'))]]) });
  table.removeChain('two');
  table.removeElements('classes', [numbered(2, 'two')]);
  table.setChain(chain('three', accept));
  table.addElements('addresses', [key('10.0.0.2')]);
  expect(refusalOf(() => table.apply()).refusals[0]).toMatchObject({ code: 'EBUSY', object: 'delete chain inet fake two' });
  expect([...kernel.content().chains.keys()]).toEqual(['base', 'one', 'two', 'caller', 'three']);
  expect(kernel.content().sets.get('classes')?.elements.length).toBe(2);
  expect(table.dirty).toBe(true);
  table.removeChain('caller');
  expect(table.apply()).toMatchObject({ operations: 1 + 2 + 2, resynced: true });
  expect([...kernel.content().chains.keys()]).toEqual(['base', 'one', 'three']);
  expect(kernel.content().sets.get('addresses')?.elements.length).toBe(2);
});

test('content that is refused only between the old and the new state is committed in one transaction', () => {
  const direct = chain('one', { is: 'verdict-map', fields: ['meta mark'], map: 'classes' });
  const { table, kernel } = programmed(
    tableOf('inet', 'fake', [{ ...base, rules: [rule(jump('one'))] }, direct, chain('two', drop)], [{ set: classes, elements: [numbered(2, 'two')] }]),
  );
  table.setChain(chain('one', accept)); // it no longer uses the numbers, one of which is to lead to it
  table.addElements('classes', [numbered(1, 'one')]);
  expect(table.apply()).toMatchObject({ operations: 3, resynced: true });
  expect(told(kernel)).toEqual([['flush chain one', 'add rule one accept', 'add element classes { 0x00000001 : goto one }']]);
});

test('after any other error it is not known what happened, so the next apply reads', () => {
  const kernel = fakeKernel('inet', 'fake');
  let fails = 0;
  const table = createTableProgrammer('inet', 'fake', {
    read: kernel.read,
    commit(operations, generation) {
      const done = kernel.commit(operations, generation);
      if (--fails === 0) throw new Error('no answer');
      return done;
    },
  });
  want(table, before);
  table.apply();
  fails = 2;
  wishThree(table);
  expect(() => table.apply()).toThrow('no answer');
  expect(kernel.commits.length).toBe(3);
  expect(table.apply()).toMatchObject({ operations: 1, resynced: true });
  expect(kernel.content().sets.get('classes')?.elements.length).toBe(1);
});

test('a chain that looks up the wrong type is refused before anything is committed', () => {
  const { table, kernel } = programmed(before);
  table.setChain(chain('three', accept));
  table.setChain(chain('two', { is: 'in-set', fields: ['ip6 saddr'], set: 'addresses' }, drop));
  expect(() => table.apply()).toThrow(NftablesError);
  expect(told(kernel)).toEqual([]);
});
