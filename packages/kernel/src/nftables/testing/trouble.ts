// The second part of the contract: changes by others, refusals of the kernel, and objects that cannot be programmed.
import { describe, expect, test } from 'vitest';
import type { NftChain, Statement } from '../objects.ts';
import type { Operation } from '../operations.ts';
import type { TableKernel } from '../programmer.ts';
import { encodeRule } from '../rules.ts';
import type { TableProgrammer } from '../table.ts';
import { hostOrder, interfaceName } from '../types.ts';
import { corpusSets } from './corpus.ts';
import { bytes, match, port, protocol, rule, tableOf, verdict } from './values.ts';
import { accept, addresses, base, dispatch, drop, hook, key, nets, one, plain, plainOf, range, refusalOf, to, type UsedWorld } from './world.ts';

const interfere = (others: TableKernel, ...operations: readonly Operation[]): void => void others.commit(operations);

/** Registers the tests. */
export function trouble(world: UsedWorld): void {
  describe('a change by another program', () => {
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
      ['a further rule', [{ verb: 'add rules', chain: { ...one, rules: [rule(accept)] }, encoded: [encodeRule('inet', rule(accept))] }]],
      ['deleted rules', [{ verb: 'flush chain', chain: 'one' }]],
      ['a set that is not wanted', [{ verb: 'add set', set: { name: 'foreign', key: ['mark'] } }]],
      ['a further element', [{ verb: 'add elements', set: addresses, elements: [key('10.9.9.9')] }]],
      ['a deleted element', [{ verb: 'delete elements', set: addresses, elements: [key('10.0.0.2')] }]],
      [
        'an element with another verdict',
        [
          { verb: 'delete elements', set: dispatch, elements: [to('tap0', 'one')] },
          { verb: 'add elements', set: dispatch, elements: [{ key: interfaceName('tap0'), verdict: { verdict: 'accept' } }] },
        ],
      ],
      ['a further range', [{ verb: 'add elements', set: nets, elements: [range('10.0.0.10', '10.0.0.19')] }]],
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
      ['the deletion of the whole table', [{ verb: 'delete table' }]],
    ];

    test.each(cases)('%s: is corrected after distrust, and by a restart', (_what, operations) => {
      const { table, others } = world.programmed(wanted);
      interfere(others, ...operations);
      expect(table.apply().operations).toBe(0);
      table.distrust();
      expect(table.dirty).toBe(true);
      expect(table.apply().resynced).toBe(true);
      expect(plain(others.read())).toEqual(plainOf(wanted));
      interfere(others, ...operations);
      world.programmed(wanted);
      expect(plain(others.read())).toEqual(plainOf(wanted));
    });

    test('that makes a transaction fail: the whole transaction is refused, and the next apply reads and corrects', () => {
      const { table, others } = world.programmed(wanted);
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

    test.each(cases)(
      '%s: nothing of the transaction is done, the wanted content stays, and after its correction everything is applied',
      (_what, wish, correct, code, object) => {
        const { table, others } = world.programmed(good);
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
      },
    );

    const user: NftChain = { ...one, rules: [rule({ is: 'in-set', fields: ['ip saddr'], set: 'addresses' }, drop)] };
    const used = tableOf('inet', 'contract', [base, user], [...good.sets.values()]);
    const goings: readonly (readonly [string, (table: TableProgrammer) => void, (table: TableProgrammer) => void, string])[] = [
      ['a chain removed that a rule still jumps to', (t) => t.removeChain('one'), (t) => t.setChain(user), 'delete chain inet contract one'],
      [
        'a set removed that a rule still looks into',
        (t) => t.removeSet('addresses'),
        (t) => t.setSet(addresses, [key('10.0.0.1')]),
        'delete set inet contract addresses',
      ],
    ];

    test.each(goings)(
      '%s: no deletion is carried out, additions and changes are, the wanted content stays, and after its correction everything is applied',
      (_what, wish, correct, object) => {
        const { table, others } = world.programmed(used);
        table.addElements('dispatch', [to('tap1', 'one')]);
        table.setSet({ name: 'more', key: ['mark'] }, []);
        wish(table);
        for (let time = 0; time < 2; time++) {
          expect(refusalOf(() => table.apply()).refusals[0]).toMatchObject({ code: 'EBUSY', object });
          const held = others.read();
          expect(held.chains.has('one')).toBe(true);
          expect(held.sets.get('addresses')?.elements.size).toBe(1);
          expect(held.sets.get('dispatch')?.elements.size).toBe(2);
          expect(held.sets.has('more')).toBe(true);
          expect(table.dirty).toBe(true);
        }
        correct(table);
        expect(table.apply()).toMatchObject({ operations: 0, resynced: true });
        expect(table.dirty).toBe(false);
      },
    );
  });

  describe('what cannot be programmed is refused when it is set, and changes nothing', () => {
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
      [
        'a rule of more expressions than the kernel takes',
        (t) => t.setChain(withRule(...Array.from({ length: 129 }, (): Statement => ({ is: 'counter' })))),
        "has a rule (the 1. of 1) that needs 129 of the kernel's expressions, and a rule may have at most 128",
      ],
      [
        'a rule of longer expressions than the kernel takes',
        (t) => t.setChain(withRule(...Array.from({ length: 64 }, (): Statement => ({ is: 'limit', rate: 1, unit: 'second', burst: 1 })))),
        "that needs 4096 bytes of the kernel's expressions, and a rule must have fewer than 4096",
      ],
      ['an element of another width', (t) => t.addElements('addresses', [{ key: bytes(1, 2) }]), 'a key of 2 bytes where its type has 4'],
      ['a range in a set of single keys', (t) => t.addElements('addresses', [range('10.0.0.1', '10.0.0.2')]), 'is a range, and the set holds none'],
      ['an element without its verdict', (t) => t.addElements('dispatch', [{ key: interfaceName('tap0') }]), 'must have a verdict'],
      [
        'limits for the elements of a map',
        (t) => t.setSet({ name: 'x', key: ['ifname'], data: 'verdict', limit: { rate: 1, unit: 'second', burst: 1 } }, []),
        'which only a set of single keys can have',
      ],
      ['a limit of nothing', (t) => t.setSet({ ...addresses, limit: { rate: 0, unit: 'second', burst: 1 } }, []), 'both must be whole and at least 1'],
      ['a hook that the family has not', (t) => t.setChain({ ...base, hook: { ...hook, hook: 'ingress' } }), 'needs a device with the hook ingress'],
    ];

    test.each(cases)('%s', (_what, wish, message) => {
      const { table } = world.programmed(
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

    test('a rule that looks up the wrong type in a set is refused before the kernel is asked', () => {
      const { table, others } = world.programmed(
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
      table.setChain({ name: 'two', rules: [rule({ is: 'in-set', fields: ['meta iifname'], negate: true, set: 'loud' }, drop)] });
      expect(refusalOf(() => table.apply()).message).toContain('asks what is not in loud, whose elements are there only beyond their limits');
      expect(others.read().generation).toBe(generation);
    });
  });
}
