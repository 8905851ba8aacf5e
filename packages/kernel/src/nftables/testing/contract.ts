// What a TableProgrammer promises, as tests that the fake and the kernel both pass.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { definitionText, hookText } from '../difference.ts';
import type { NftChain, NftElement, NftSet, NftTable, Statement, TableFamily } from '../objects.ts';
import { elementId, type Held, type Operation } from '../operations.ts';
import type { TableKernel } from '../programmer.ts';
import { encodeRule } from '../rules.ts';
import { NftablesError, type TableProgrammer } from '../table.ts';
import { hostOrder, interfaceName } from '../types.ts';
import { address4, bytes, corpus, corpusSets, match, port, protocol, randomTable, rule, tableOf, verdict } from './tables.ts';

/** A kernel of its own for each test: programmers of one table in it, and the same table as somebody else sees and changes it. */
export type World = {
  open(family: TableFamily, name: string): { readonly table: TableProgrammer; readonly others: TableKernel };
  /** How many runs a property gets. */
  readonly runs: number;
};

const accept = verdict({ verdict: 'accept' });
const drop = verdict({ verdict: 'drop' });
const hook = { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' } as const;
const base: NftChain = { name: 'base', hook, rules: [rule(verdict({ verdict: 'jump', chain: 'one' }))] };
const one: NftChain = { name: 'one', rules: [rule(match('ip saddr', address4('10.0.0.1')), drop), { statements: [accept], comment: 'the rest' }] };
const addresses: NftSet = { name: 'addresses', key: ['ipv4_addr'] };
const nets: NftSet = { name: 'nets', key: ['ipv4_addr'], interval: true };
const dispatch: NftSet = { name: 'dispatch', key: ['ifname'], data: 'verdict' };
const numbers: NftSet = { name: 'numbers', key: ['ifname'], data: 'mark' };
const key = (text: string): NftElement => ({ key: address4(text) });
const range = (first: string, last: string): NftElement => ({ key: address4(first), keyEnd: address4(last) });
const to = (device: string, chain: string): NftElement => ({ key: interfaceName(device), verdict: { verdict: 'goto', chain } });

export function want(table: TableProgrammer, wanted: NftTable, before?: NftTable): void {
  for (const { set, elements } of wanted.sets.values()) table.setSet(set, elements);
  for (const chain of wanted.chains.values()) table.setChain(chain);
  for (const name of before?.chains.keys() ?? []) if (!wanted.chains.has(name)) table.removeChain(name);
  for (const name of before?.sets.keys() ?? []) if (!wanted.sets.has(name)) table.removeSet(name);
}

/** What a reading of the table is compared by. */
function plain(held: Held): unknown {
  const chains = [...held.chains].map(([name, chain]) => [name, chain.hook, chain.rules.map((encoded) => Buffer.from(encoded ?? []).toString('hex'))] as const);
  const sets = [...held.sets].map(([name, set]) => [name, set.definition, [...set.elements.values()].map(plainElement).sort()] as const);
  return { chains: chains.sort(byName), sets: sets.sort(byName), leftovers: held.leftovers };
}

function plainOf(table: NftTable): unknown {
  const chains = new Map(
    [...table.chains].map(([name, chain]) => [name, { hook: hookText(chain), rules: chain.rules.map((some) => encodeRule(table.family, some)) }]),
  );
  const sets = new Map(
    [...table.sets].map(([name, { set, elements }]) => [
      name,
      { definition: definitionText(set), elements: new Map(elements.map((element) => [elementId(element), element])) },
    ]),
  );
  return plain({ generation: 0, table: true, chains, sets, leftovers: [] });
}

const byName = (left: readonly [string, ...unknown[]], right: readonly [string, ...unknown[]]): number => (left[0] < right[0] ? -1 : 1);
const plainElement = ({ key: first, keyEnd, data, verdict: given }: NftElement): string =>
  JSON.stringify([hex(first), hex(keyEnd ?? first), data === undefined ? '' : hex(data), given ?? '']);
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');

function refusalOf(act: () => unknown): NftablesError {
  try {
    act();
  } catch (error) {
    if (error instanceof NftablesError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

export function tableContract(makeWorld: () => World & { close(): void }): void {
  let world: World & { close(): void };
  beforeEach(() => {
    world = makeWorld();
  });
  afterEach(() => world.close());

  /** A table with `wanted` in it. */
  function programmed(wanted: NftTable): { readonly table: TableProgrammer; readonly others: TableKernel } {
    const opened = world.open(wanted.family, wanted.name);
    want(opened.table, wanted);
    opened.table.apply();
    return opened;
  }
  const interfere = (others: TableKernel, ...operations: readonly Operation[]): void => void others.commit(operations);

  describe('what is wanted', () => {
    test.each(corpus.map((table) => [`${table.family} ${table.name}`, table] as const))(
      '%s is in the kernel after apply, and is found right by whoever comes next',
      (_name, wanted) => {
        const { table, others } = programmed(wanted);
        expect(plain(others.read())).toEqual(plainOf(wanted));
        expect(table.dirty).toBe(false);
        expect(table.apply()).toMatchObject({ operations: 0, bytes: 0, resynced: false });
        const generation = others.read().generation;
        const again = programmed(wanted);
        expect(again.table.apply()).toMatchObject({ operations: 0 });
        expect(again.others.read().generation).toBe(generation);
      },
    );

    test('from any table to any other, step by step, ends with what is wanted and nothing else', () => {
      const steps = fc.array(randomTable('at-random'), { minLength: 2, maxLength: 5 });
      fc.assert(
        fc.property(steps, (tables) => {
          const { table, others } = world.open('inet', 'at-random');
          let before: NftTable | undefined;
          for (const wanted of tables) {
            want(table, wanted, before);
            table.apply();
            expect(plain(others.read())).toEqual(plainOf(wanted));
            expect(table.apply().operations).toBe(0);
            before = wanted;
          }
          const last = tables.at(-1) as NftTable;
          const fresh = world.open('inet', 'at-random').table;
          want(fresh, last);
          expect(fresh.apply()).toMatchObject({ operations: 0, resynced: true });
          others.commit([{ verb: 'delete table' }]);
        }),
        { numRuns: world.runs },
      );
    });

    test('from any table that somebody left behind to any other', () => {
      fc.assert(
        fc.property(randomTable('at-random'), randomTable('at-random'), (found, wanted) => {
          const { others } = programmed(found);
          programmed(wanted);
          expect(plain(others.read())).toEqual(plainOf(wanted));
          others.commit([{ verb: 'delete table' }]);
        }),
        { numRuns: world.runs },
      );
    });

    test('nothing at all is wanted: the table is there, and empty', () => {
      const { table, others } = programmed(tableOf('inet', 'contract', [base, one]));
      table.removeChain('base');
      table.removeChain('one');
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [])));
    });

    test('is told as nft text', () => {
      const { table } = programmed(tableOf('inet', 'contract', [base, one], [{ set: addresses, elements: [key('10.0.0.9')] }]));
      expect(table.print()).toBe(
        'table inet contract {\n\tset addresses {\n\t\ttype ipv4_addr\n\t\telements = {\n\t\t\t10.0.0.9,\n\t\t}\n\t}\n\n' +
          '\tchain base {\n\t\ttype filter hook forward priority 0; policy accept;\n\t\tjump one\n\t}\n\n' +
          '\tchain one {\n\t\tip saddr 10.0.0.1 drop\n\t\taccept comment "the rest"\n\t}\n}\n',
      );
    });
  });

  describe('elements', () => {
    test('are added and removed one by one, and only they', () => {
      const { table, others } = programmed(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.1'), key('10.0.0.2')] }]));
      table.addElements('addresses', [key('10.0.0.3'), key('10.0.0.1')]);
      table.removeElements('addresses', [key('10.0.0.2'), key('10.0.0.77')]);
      expect(table.dirty).toBe(true);
      expect(table.apply()).toMatchObject({ operations: 2, resynced: false });
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.1'), key('10.0.0.3')] }])));
    });

    test('that come and go before apply leave nothing to do', () => {
      const { table } = programmed(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.1')] }]));
      table.addElements('addresses', [key('10.0.0.2')]);
      table.removeElements('addresses', [key('10.0.0.1')]);
      table.removeElements('addresses', [key('10.0.0.2')]);
      table.addElements('addresses', [key('10.0.0.1')]);
      expect(table.apply()).toMatchObject({ operations: 0, bytes: 0 });
    });

    test('with other data take the place of the old ones', () => {
      const { table, others } = programmed(tableOf('inet', 'contract', [], [{ set: numbers, elements: [{ key: interfaceName('tap0'), data: hostOrder(1) }] }]));
      const wanted = [{ key: interfaceName('tap0'), data: hostOrder(2) }];
      table.addElements('numbers', wanted);
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: numbers, elements: wanted }])));
    });

    test('are given anew as a whole: only the difference is sent', () => {
      const { table, others } = programmed(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.1'), key('10.0.0.2')] }]));
      table.setSet(addresses, [key('10.0.0.2'), key('10.0.0.3')]);
      expect(table.apply().operations).toBe(2);
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.2'), key('10.0.0.3')] }])));
    });

    test('that are ranges may touch, reach to both ends, and be cut anew', () => {
      const before = [range('0.0.0.0', '9.255.255.255'), range('10.0.0.0', '10.255.255.255'), range('200.0.0.0', '255.255.255.255')];
      const { table, others } = programmed(tableOf('inet', 'contract', [], [{ set: nets, elements: before }]));
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: nets, elements: before }])));
      const after = [range('0.0.0.0', '10.0.0.255'), range('10.0.1.0', '10.0.1.0'), key('255.255.255.255')];
      table.setSet(nets, after);
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: nets, elements: after }])));
    });

    test('of sets that are not wanted cannot be wanted', () => {
      const { table } = world.open('inet', 'contract');
      expect(() => table.addElements('addresses', [key('10.0.0.1')])).toThrow('set addresses is to get or lose elements, but is not wanted itself');
    });
  });

  describe('one transaction', () => {
    test('brings a chain and the elements and rules that jump to it, and takes others away', () => {
      const first = tableOf(
        'inet',
        'contract',
        [{ ...base, rules: [rule({ is: 'verdict-map', fields: ['meta iifname'], map: 'dispatch' })] }, one],
        [{ set: dispatch, elements: [to('tap0', 'one')] }],
      );
      const { table, others } = programmed(first);
      const two = { ...one, name: 'two' };
      const second = tableOf('inet', 'contract', [...first.chains.values()].filter(({ name }) => name !== 'one').concat(two), [
        { set: dispatch, elements: [to('tap0', 'two')] },
      ]);
      table.setChain(two);
      table.removeChain('one');
      table.addElements('dispatch', [to('tap0', 'two')]);
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(second));
    });

    test('turns two chains that jump to one another round', () => {
      const call = (name: string, other?: string): NftChain => ({
        name,
        rules: other === undefined ? [rule(accept)] : [rule(verdict({ verdict: 'jump', chain: other }))],
      });
      const { table, others } = programmed(tableOf('inet', 'contract', [call('a', 'b'), call('b')]));
      table.setChain(call('b', 'a'));
      table.setChain(call('a'));
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [call('a'), call('b', 'a')])));
      table.removeChain('a');
      table.removeChain('b');
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [])));
    });

    test.each([
      [
        'type',
        { name: 'addresses', key: ['ipv6_addr'] },
        [{ key: new Uint8Array(16).fill(1) }],
        [rule({ is: 'in-set', fields: ['ip6 saddr'], set: 'addresses' }, accept)],
      ],
      ['kind', { ...addresses, interval: true }, [range('10.0.0.0', '10.0.0.9')], undefined],
      ['comment', { ...addresses, comment: 'other' }, [key('10.0.0.1')], undefined],
    ] as const)('makes a set of another %s anew, with the rules that use it', (_what, set, elements, rules) => {
      const user = { ...one, rules: [rule({ is: 'in-set', fields: ['ip saddr'], set: 'addresses' }, accept)] };
      const { table, others } = programmed(tableOf('inet', 'contract', [base, user], [{ set: addresses, elements: [key('10.0.0.1'), key('10.0.0.2')] }]));
      const after = rules === undefined ? user : { ...user, rules };
      table.setSet(set, elements);
      if (rules !== undefined) table.setChain(after);
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [base, after], [{ set, elements }])));
    });

    test.each([
      ['priority', { ...hook, priority: -7 }],
      ['hook', { ...hook, hook: 'input' as const }],
      ['policy', { ...hook, policy: 'drop' as const }],
      ['hook: none any more', undefined],
    ])('makes a base chain of another %s anew, with its rules', (_what, other) => {
      const { table, others } = programmed(tableOf('inet', 'contract', [base, one]));
      const after: NftChain = { name: 'base', ...(other === undefined ? {} : { hook: other }), rules: base.rules };
      table.setChain(after);
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [after, one])));
    });
  });

  describe('what somebody else did', () => {
    const wanted = tableOf(
      'inet',
      'contract',
      [base, one],
      [
        { set: addresses, elements: [key('10.0.0.1'), key('10.0.0.2')] },
        { set: dispatch, elements: [to('tap0', 'one')] },
        { set: nets, elements: [range('10.0.0.0', '10.0.0.9')] },
      ],
    );
    const foreign: NftChain = { name: 'foreign', rules: [] };
    const cases: readonly (readonly [string, readonly Operation[]])[] = [
      ['a chain that is not wanted', [{ verb: 'add chain', chain: foreign }]],
      [
        'a chain that jumps and is jumped to',
        [
          { verb: 'add chain', chain: foreign },
          {
            verb: 'add rules',
            chain: { ...foreign, rules: [rule(verdict({ verdict: 'jump', chain: 'one' }))] },
            encoded: [encodeRule('inet', rule(verdict({ verdict: 'jump', chain: 'one' })))],
          },
          {
            verb: 'add rules',
            chain: { ...base, rules: [rule(verdict({ verdict: 'jump', chain: 'foreign' }))] },
            encoded: [encodeRule('inet', rule(verdict({ verdict: 'jump', chain: 'foreign' })))],
          },
          { verb: 'add elements', set: dispatch, elements: [to('tap9', 'foreign')] },
        ],
      ],
      ['a rule more', [{ verb: 'add rules', chain: { ...one, rules: [rule(accept)] }, encoded: [encodeRule('inet', rule(accept))] }]],
      ['the rules gone', [{ verb: 'flush chain', chain: 'one' }]],
      ['a set that is not wanted', [{ verb: 'add set', set: { name: 'foreign', key: ['mark'] } }]],
      ['an element more', [{ verb: 'add elements', set: addresses, elements: [key('10.9.9.9')] }]],
      ['an element gone', [{ verb: 'delete elements', set: addresses, elements: [key('10.0.0.2')] }]],
      [
        'an element with another verdict',
        [
          { verb: 'delete elements', set: dispatch, elements: [to('tap0', 'one')] },
          { verb: 'add elements', set: dispatch, elements: [{ key: interfaceName('tap0'), verdict: { verdict: 'accept' } }] },
        ],
      ],
      ['a range more', [{ verb: 'add elements', set: nets, elements: [range('10.0.0.10', '10.0.0.19')] }]],
      [
        'a set of another kind',
        [
          { verb: 'delete set', set: 'nets' },
          { verb: 'add set', set: { name: 'nets', key: ['mark'] } },
        ],
      ],
      [
        'a chain of another hook',
        [
          { verb: 'flush chain', chain: 'base' },
          { verb: 'delete chain', chain: 'base' },
          { verb: 'add chain', chain: { ...base, hook: { ...hook, priority: 9 } } },
        ],
      ],
      ['the whole table gone', [{ verb: 'delete table' }]],
    ];

    test.each(cases)('%s: is put right after distrust, and by a restart', (_what, operations) => {
      const { table, others } = programmed(wanted);
      interfere(others, ...operations);
      expect(table.apply().operations).toBe(0);
      table.distrust();
      expect(table.dirty).toBe(true);
      expect(table.apply().resynced).toBe(true);
      expect(plain(others.read())).toEqual(plainOf(wanted));
      interfere(others, ...operations);
      programmed(wanted);
      expect(plain(others.read())).toEqual(plainOf(wanted));
    });

    test('and that makes a transaction fail: it is refused whole, and the next apply reads and puts it right', () => {
      const { table, others } = programmed(wanted);
      interfere(others, { verb: 'delete elements', set: addresses, elements: [key('10.0.0.2')] });
      table.removeElements('addresses', [key('10.0.0.2')]);
      table.addElements('addresses', [key('10.0.0.3')]);
      const refused = refusalOf(() => table.apply());
      expect(refused.code).toBe('ENOENT');
      expect(refused.refusals[0]?.object).toContain('delete element inet contract addresses { 10.0.0.2 }');
      expect(table.dirty).toBe(true);
      expect(table.apply()).toMatchObject({ operations: 1, resynced: true });
      expect(others.read().sets.get('addresses')?.elements.size).toBe(2);
    });
  });

  describe('what the kernel refuses', () => {
    const good = tableOf(
      'inet',
      'contract',
      [base, one],
      [
        { set: addresses, elements: [key('10.0.0.1')] },
        { set: dispatch, elements: [to('tap0', 'one')] },
        { set: nets, elements: [range('10.0.0.0', '10.0.0.9')] },
      ],
    );
    const jump = (name: string, chain: string): NftChain => ({ name, rules: [rule(verdict({ verdict: 'jump', chain }))] });
    const cases: readonly (readonly [string, (table: TableProgrammer) => void, (table: TableProgrammer) => void, RegExp, string])[] = [
      [
        'a jump to a chain that is not there',
        (t) => t.setChain(jump('two', 'nowhere')),
        (t) => t.removeChain('two'),
        /^ENOENT$/,
        'add rule inet contract two jump nowhere',
      ],
      [
        'an element that jumps to a chain that is not there',
        (t) => t.addElements('dispatch', [to('tap1', 'nowhere')]),
        (t) => t.removeElements('dispatch', [to('tap1', 'nowhere')]),
        /^ENOENT$/,
        '{ "tap1" : goto nowhere }',
      ],
      ['a jump to a base chain', (t) => t.setChain(jump('two', 'base')), (t) => t.removeChain('two'), /^EOPNOTSUPP$/, 'add rule inet contract two jump base'],
      [
        'a rule that looks into a set that is not there',
        (t) => t.setChain({ name: 'two', rules: [rule({ is: 'in-set', fields: ['ip saddr'], set: 'nowhere' }, drop)] }),
        (t) => t.removeChain('two'),
        /^ENOENT$/,
        'ip saddr @nowhere drop',
      ],
      ['a chain removed that a rule still jumps to', (t) => t.removeChain('one'), (t) => t.setChain(one), /^EBUSY$/, 'delete chain inet contract one'],
      [
        'chains that lead back to where they came from',
        (t) => t.setChain({ ...one, rules: [rule(verdict({ verdict: 'jump', chain: 'one' }))] }),
        (t) => t.setChain(one),
        /^(ELOOP|EMLINK)$/,
        'inet contract',
      ],
      [
        'ranges that overlap',
        (t) => t.addElements('nets', [range('10.0.0.5', '10.0.0.15')]),
        (t) => t.removeElements('nets', [range('10.0.0.5', '10.0.0.15')]),
        /^EEXIST$/,
        'add element inet contract nets { 10.0.0.5-10.0.0.15',
      ],
      [
        'address translation in a filter chain',
        (t) => t.setChain({ ...one, rules: [rule({ is: 'masquerade' })] }),
        (t) => t.setChain(one),
        /^EOPNOTSUPP$/,
        'inet contract',
      ],
    ];

    test.each(cases)('%s: nothing of the transaction is done, the wish stays, and after its correction all is right', (_what, wish, correct, code, object) => {
      const { table, others } = programmed(good);
      const before = others.read();
      table.addElements('addresses', [key('10.0.0.2')]);
      wish(table);
      const refused = refusalOf(() => table.apply());
      expect(refused.code).toMatch(code);
      expect(refused.refusals[0]?.object).toContain(object);
      expect(refused.message).toContain('the kernel refused to change table inet contract (nothing was changed): ');
      expect(plain(others.read())).toEqual(plain(before));
      expect(refusalOf(() => table.apply()).code).toMatch(code);
      correct(table);
      expect(table.apply()).toMatchObject({ operations: 1, resynced: true });
      expect(others.read().sets.get('addresses')?.elements.size).toBe(2);
      expect(table.dirty).toBe(false);
    });

    test('a set removed that a rule still looks into', () => {
      const user = { ...one, rules: [rule({ is: 'in-set', fields: ['ip saddr'], set: 'addresses' }, drop)] };
      const { table } = programmed(tableOf('inet', 'contract', [base, user], [...good.sets.values()]));
      table.removeSet('addresses');
      expect(refusalOf(() => table.apply()).refusals[0]).toMatchObject({ code: 'EBUSY', object: 'delete set inet contract addresses' });
    });
  });

  describe('what cannot be programmed is refused when it is wanted, and changes nothing', () => {
    const withRule = (...statements: readonly Statement[]): NftChain => ({ name: 'two', rules: [rule(...statements)] });
    const cases: readonly (readonly [string, (table: TableProgrammer) => void, string])[] = [
      ['a name with a NUL', (t) => t.setChain({ name: 'a\0b', rules: [] }), 'holds a NUL'],
      ['a name that is too long', (t) => t.setChain({ name: 'a'.repeat(256), rules: [] }), 'is longer than 255 bytes'],
      ['a name that nft cannot read', (t) => t.setSet({ ...addresses, name: 'a"; flush ruleset' }, []), 'has characters that nft cannot read'],
      ['a jump to such a name', (t) => t.setChain(withRule(verdict({ verdict: 'jump', chain: 'x y' }))), 'names "x y"'],
      ['ports without a protocol', (t) => t.setChain(withRule(match('th dport', port(80)), drop)), 'without having asked for a protocol'],
      ['ports of a protocol that has none', (t) => t.setChain(withRule(protocol(1), match('th dport', port(80)), drop)), 'without having asked for a protocol'],
      [
        'ports that are not in a set with protocols, of any protocol',
        (t) => t.setChain(withRule({ is: 'in-set', fields: ['meta l4proto', 'th dport'], negate: true, set: 'x' }, drop)),
        'without having asked for a protocol',
      ],
      [
        'ARP in a table that sees none',
        (t) => t.setChain(withRule(match('arp operation', bytes(0, 1)))),
        'looks for ARP, which no table of the inet family sees',
      ],
      ['a value of another width', (t) => t.setChain(withRule(match('ip saddr', bytes(1, 2, 3)))), 'which has 4 bytes, with 3 bytes'],
      [
        'a range that ends before it starts',
        (t) => t.setChain(withRule(protocol(6), { is: 'range', field: 'th dport', first: port(2), last: port(1) })),
        'ends before it starts',
      ],
      [
        'a range of marks',
        (t) => t.setChain(withRule({ is: 'range', field: 'meta mark', first: hostOrder(1), last: hostOrder(2) })),
        'no order that the kernel could compare by',
      ],
      ['an element of another width', (t) => t.addElements('addresses', [{ key: bytes(1, 2) }]), 'a key of 2 bytes where its type has 4'],
      ['a range in a set of single keys', (t) => t.addElements('addresses', [range('10.0.0.1', '10.0.0.2')]), 'is a range, and the set holds none'],
      ['an element without its verdict', (t) => t.addElements('dispatch', [{ key: interfaceName('tap0') }]), 'must have a verdict'],
      ['a hook that the family has not', (t) => t.setChain({ ...base, hook: { ...hook, hook: 'ingress' } }), 'needs a device with the hook ingress'],
    ];

    test.each(cases)('%s', (_what, wish, message) => {
      const { table } = programmed(
        tableOf(
          'inet',
          'contract',
          [base, one],
          [
            { set: addresses, elements: [] },
            { set: dispatch, elements: [] },
          ],
        ),
      );
      const refused = refusalOf(() => wish(table));
      expect(refused.code).toBe('INVALID');
      expect(refused.message).toContain(message);
      expect(table.apply().operations).toBe(0);
    });

    test('a rule that looks for the wrong thing in a set is refused before the kernel is asked', () => {
      const { table, others } = programmed(
        tableOf(
          'inet',
          'contract',
          [base, one],
          corpusSets.filter(({ set }) => set.data === undefined),
        ),
      );
      const generation = others.read().generation;
      table.setChain({ name: 'two', rules: [rule(protocol(6), { is: 'in-set', fields: ['meta mark'], set: 'addresses' }, drop)] });
      expect(refusalOf(() => table.apply()).message).toContain('looks for mark in the set addresses, which holds ipv4_addr');
      expect(others.read().generation).toBe(generation);
    });
  });
}
