// The promises of a TableProgrammer, as tests that both the fake and the kernel have to pass.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NftChain, NftTable } from '../objects.ts';
import { hostOrder, interfaceName } from '../types.ts';
import { corpus } from './corpus.ts';
import { randomTable } from './random.ts';
import { trouble } from './trouble.ts';
import { rule, tableOf, verdict } from './values.ts';
import {
  accept,
  addresses,
  base,
  dispatch,
  hook,
  key,
  nets,
  numbers,
  one,
  plain,
  plainOf,
  range,
  to,
  type UsedWorld,
  useWorld,
  type World,
  want,
} from './world.ts';

/** Registers all tests. `makeWorld` is called before each of them. */
export function tableContract(makeWorld: () => World & { close(): void }): void {
  const world = useWorld(makeWorld);
  wishes(world);
  trouble(world);
}

function wishes(world: UsedWorld): void {
  describe('what is wanted', () => {
    test.each(corpus.map((table) => [`${table.family} ${table.name}`, table] as const))(
      '%s is in the kernel after apply, and the next programmer finds nothing to change',
      (_name, wanted) => {
        const { table, others } = world.programmed(wanted);
        expect(plain(others.read())).toEqual(plainOf(wanted));
        expect(table.dirty).toBe(false);
        expect(table.apply()).toMatchObject({ operations: 0, bytes: 0, resynced: false });
        const generation = others.read().generation;
        const again = world.programmed(wanted);
        expect(again.table.apply()).toMatchObject({ operations: 0 });
        expect(again.others.read().generation).toBe(generation);
      },
    );

    test('from any table to any other, step by step, the kernel ends with exactly what is wanted', () => {
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
        { numRuns: world.runs() },
      );
    });

    test('from any table that another program has left behind to any other', () => {
      fc.assert(
        fc.property(randomTable('at-random'), randomTable('at-random'), (found, wanted) => {
          const { others } = world.programmed(found);
          world.programmed(wanted);
          expect(plain(others.read())).toEqual(plainOf(wanted));
          others.commit([{ verb: 'delete table' }]);
        }),
        { numRuns: world.runs() },
      );
    });

    test('when nothing is wanted, the table exists and is empty', () => {
      const { table, others } = world.programmed(tableOf('inet', 'contract', [base, one]));
      table.removeChain('base');
      table.removeChain('one');
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [])));
    });

    test('is printed as nft text', () => {
      const { table } = world.programmed(tableOf('inet', 'contract', [base, one], [{ set: addresses, elements: [key('10.0.0.9')] }]));
      expect(table.print()).toBe(
        'table inet contract {\n\tset addresses {\n\t\ttype ipv4_addr\n\t\telements = {\n\t\t\t10.0.0.9,\n\t\t}\n\t}\n\n' +
          '\tchain base {\n\t\ttype filter hook forward priority 0; policy accept;\n\t\tjump one\n\t}\n\n' +
          '\tchain one {\n\t\tip saddr 10.0.0.1 drop\n\t\taccept comment "the rest"\n\t}\n}\n',
      );
    });
  });

  describe('elements', () => {
    test('are added and removed one by one, and nothing else is', () => {
      const { table, others } = world.programmed(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.1'), key('10.0.0.2')] }]));
      table.addElements('addresses', [key('10.0.0.3'), key('10.0.0.1')]);
      table.removeElements('addresses', [key('10.0.0.2'), key('10.0.0.77')]);
      expect(table.dirty).toBe(true);
      expect(table.apply()).toMatchObject({ operations: 2, resynced: false });
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.1'), key('10.0.0.3')] }])));
    });

    test('that are added and removed before apply leave nothing to do', () => {
      const { table } = world.programmed(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.1')] }]));
      table.addElements('addresses', [key('10.0.0.2')]);
      table.removeElements('addresses', [key('10.0.0.1')]);
      table.removeElements('addresses', [key('10.0.0.2')]);
      table.addElements('addresses', [key('10.0.0.1')]);
      expect(table.apply()).toMatchObject({ operations: 0, bytes: 0 });
    });

    test('with other data replace the old ones', () => {
      const { table, others } = world.programmed(
        tableOf('inet', 'contract', [], [{ set: numbers, elements: [{ key: interfaceName('tap0'), data: hostOrder(1) }] }]),
      );
      const wanted = [{ key: interfaceName('tap0'), data: hostOrder(2) }];
      table.addElements('numbers', wanted);
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: numbers, elements: wanted }])));
    });

    test('that are set again as a whole: only the difference is sent', () => {
      const { table, others } = world.programmed(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.1'), key('10.0.0.2')] }]));
      table.setSet(addresses, [key('10.0.0.2'), key('10.0.0.3')]);
      expect(table.apply().operations).toBe(2);
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: addresses, elements: [key('10.0.0.2'), key('10.0.0.3')] }])));
    });

    test('that are ranges may touch, reach both ends of the space, and be cut differently', () => {
      const before = [range('0.0.0.0', '9.255.255.255'), range('10.0.0.0', '10.255.255.255'), range('200.0.0.0', '255.255.255.255')];
      const { table, others } = world.programmed(tableOf('inet', 'contract', [], [{ set: nets, elements: before }]));
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: nets, elements: before }])));
      const after = [range('0.0.0.0', '10.0.0.255'), range('10.0.1.0', '10.0.1.0'), key('255.255.255.255')];
      table.setSet(nets, after);
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [], [{ set: nets, elements: after }])));
    });

    test('of sets that are not wanted are refused', () => {
      const { table } = world.open('inet', 'contract');
      expect(() => table.addElements('addresses', [key('10.0.0.1')])).toThrow('set addresses is to get or lose elements, but is not wanted itself');
    });
  });

  describe('one transaction', () => {
    test('adds a chain with the elements and rules that jump to it, and deletes others', () => {
      const first = tableOf(
        'inet',
        'contract',
        [{ ...base, rules: [rule({ is: 'verdict-map', fields: ['meta iifname'], map: 'dispatch' })] }, one],
        [{ set: dispatch, elements: [to('tap0', 'one')] }],
      );
      const { table, others } = world.programmed(first);
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

    test('reverses the jump between two chains', () => {
      const call = (name: string, other?: string): NftChain => ({
        name,
        rules: other === undefined ? [rule(accept)] : [rule(verdict({ verdict: 'jump', chain: other }))],
      });
      const { table, others } = world.programmed(tableOf('inet', 'contract', [call('a', 'b'), call('b')]));
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
    ] as const)('recreates a set with another %s, together with the rules that use it', (_what, set, elements, rules) => {
      const user = { ...one, rules: [rule({ is: 'in-set', fields: ['ip saddr'], set: 'addresses' }, accept)] };
      const { table, others } = world.programmed(tableOf('inet', 'contract', [base, user], [{ set: addresses, elements: [key('10.0.0.1'), key('10.0.0.2')] }]));
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
      ['hook, namely none', undefined],
    ])('recreates a base chain with another %s, with its rules', (_what, other) => {
      const { table, others } = world.programmed(tableOf('inet', 'contract', [base, one]));
      const after: NftChain = { name: 'base', ...(other === undefined ? {} : { hook: other }), rules: base.rules };
      table.setChain(after);
      table.apply();
      expect(plain(others.read())).toEqual(plainOf(tableOf('inet', 'contract', [after, one])));
    });
  });
}
