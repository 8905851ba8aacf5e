// Tests the fate of packets between the transactions of an apply, and of packets in flight while one is committed.
import { createHash } from 'node:crypto';
import { addressBytes } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evaluate, type Packet } from './evaluate.ts';
import type { Field, NftChain, NftElement, NftRule, NftSet, NftTable, Statement } from './objects.ts';
import { createTableProgrammer } from './programmer.ts';
import { fakeKernel } from './table.fake.ts';
import { randomTable, valuesOf } from './testing/random.ts';
import { bytes, match, port, protocol, rule, tableOf, verdict } from './testing/values.ts';
import { drop, hook, want } from './testing/world.ts';
import { hostOrder, interfaceName, networkOrder } from './types.ts';

/** The states of the table before each transaction that turns one table into the other, and the final state. With `mayRefuse` unset, nothing may be refused on the way. */
function statesBetween(one: NftTable, other: NftTable, mayBeRefused = false): readonly NftTable[] {
  const kernel = fakeKernel(one.family, one.name);
  const states: NftTable[] = [];
  let refused: unknown;
  const table = createTableProgrammer(one.family, one.name, {
    read: kernel.read,
    commit(operations, generation) {
      states.push(kernel.content());
      try {
        return kernel.commit(operations, generation);
      } catch (error) {
        refused = error;
        throw error;
      }
    },
  });
  want(table, one);
  table.apply();
  states.length = 0;
  want(table, other, one);
  table.apply();
  if (!mayBeRefused) expect(refused).toBe(undefined);
  return [...states, kernel.content()];
}

const pairs = <T>(list: readonly T[]): (readonly [T, T])[] => list.slice(1).map((item, at) => [list[at] as T, item] as const);

describe('between two transactions of one apply', () => {
  /** A random packet without a mark of its own: maps by number are for numbers that another map gives, and these tables have none. */
  const withoutNumbers = (table: NftTable): NftTable => ({
    ...table,
    sets: new Map(
      [...table.sets].map(([name, { set, elements }]) => [name, { set, elements: set.key[0] === 'mark' && set.data === 'verdict' ? [] : elements }]),
    ),
  });
  const field = (name: Field, values: fc.Arbitrary<Uint8Array>): fc.Arbitrary<readonly [Field, Uint8Array]> => values.map((value) => [name, value] as const);
  const packets: fc.Arbitrary<Packet> = fc
    .tuple(
      field('meta iifname', valuesOf('ifname')),
      field('meta oifname', valuesOf('ifname')),
      field('ip saddr', valuesOf('ipv4_addr')),
      field('ip daddr', valuesOf('ipv4_addr')),
      field('meta l4proto', fc.constantFrom(bytes(6), bytes(17))),
      field('th dport', valuesOf('inet_service')),
      field('meta mark', valuesOf('mark')),
    )
    .map((fields) => new Map(fields));

  test('every packet is decided as before the apply, until every packet is decided as after it', () => {
    const tables = randomTable('fake').map(withoutNumbers);
    fc.assert(
      fc.property(tables, tables, fc.array(packets, { minLength: 5, maxLength: 20 }), (one, other, some) => {
        const decided = (table: NftTable) => (['input', 'forward'] as const).flatMap((at) => some.map((packet) => evaluate(table, at, packet)));
        const [before, after] = [decided(one), decided(other)].map((list) => JSON.stringify(list));
        let changed = false;
        for (const state of statesBetween(one, other, true)) {
          const now = JSON.stringify(decided(state));
          changed ||= now !== before;
          expect(now).toBe(changed ? after : before);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** Sets whose content changes at the lookup `from`, and again at the lookup `to`. */
class Turning extends Map<string, { readonly set: NftSet; readonly elements: readonly NftElement[] }> {
  lookups = 0;
  readonly #generations: readonly (readonly [from: number, sets: NftTable['sets']])[];
  constructor(...generations: readonly (readonly [from: number, sets: NftTable['sets']])[]) {
    super();
    this.#generations = generations;
  }
  override get(name: string) {
    const now = this.#generations.findLast(([from]) => from <= this.lookups);
    this.lookups++;
    return now?.[1].get(name);
  }
}

/**
 * The possible outcomes for a packet in flight while a transaction turns `before` into `after`, as observed in the kernel: it stays in the chains of the generation in which it
 * arrived, but each lookup sees the present content, and a new set of ranges shows its content only a little later.
 */
function underWay(before: NftTable, after: NftTable, packet: Packet): readonly string[] {
  const late = new Map([...after.sets].map(([name, entry]) => [name, entry.set.interval && !before.sets.has(name) ? { ...entry, elements: [] } : entry]));
  const outcomes: string[] = [];
  for (const { chains } of [before, after]) {
    for (let commit = 0, furthest = 0; commit <= furthest; commit++) {
      for (let shown = commit; shown <= Math.max(furthest, commit); shown++) {
        const sets = new Turning([0, chains === before.chains ? before.sets : late], [commit, late], [shown, after.sets]);
        outcomes.push(evaluate({ ...before, chains, sets }, 'forward', packet).verdict);
        furthest = Math.max(furthest, sets.lookups);
      }
    }
  }
  return outcomes;
}

describe('a packet that is under way while a transaction is committed', () => {
  // Policies behind a map by number, as render/classes.ts makes them: policies with different content have different names and numbers.
  type Rule = {
    readonly port: number;
    readonly addresses: number;
    readonly ranges: boolean;
    readonly negate: boolean;
    readonly end: 'accept' | 'drop' | 'return';
  };
  type Class = readonly (readonly Rule[])[];
  type Policies = { readonly pool: readonly Class[]; readonly of: readonly (number | undefined)[] };

  const idOf = (content: unknown): string => createHash('sha256').update(JSON.stringify(content)).digest('hex');
  const setOf = ({ addresses, ranges }: Rule): { readonly set: NftSet; readonly elements: readonly NftElement[] } => ({
    set: { name: `set-${ranges ? 'ranges' : 'hash'}-${addresses}`, key: ['ipv4_addr'], ...(ranges ? { interval: true } : {}) },
    elements: [0, 1, 2].filter((bit) => (addresses & (1 << bit)) !== 0).map((bit) => ({ key: addressBytes(`10.0.0.${bit}`) })),
  });
  const ruleOf = (one: Rule): NftRule =>
    rule(
      protocol(17),
      match('th dport', port(one.port)),
      { is: 'in-set', fields: ['ip saddr'], set: setOf(one).set.name, ...(one.negate ? { negate: true } : {}) },
      verdict({ verdict: one.end }),
    );
  const tierChain = (tier: readonly Rule[]): NftChain => ({ name: `tier-${idOf(tier)}`, rules: tier.map(ruleOf) });
  const classChain = (tiers: Class): NftChain => ({
    name: `class-${idOf(tiers)}`,
    rules: [...tiers.map((tier) => rule(verdict({ verdict: 'jump', chain: tierChain(tier).name }))), rule(drop)],
  });
  const lookAt: Statement = { is: 'verdict-map', fields: ['meta iifname'], via: 'numbers', map: 'classes' };
  const tap = (at: number): Uint8Array => interfaceName(`tap${at}`);

  /** `pool` gives a class its number, which is the same in all tables. */
  function tableWith({ pool, of }: Policies): NftTable {
    const used = [...new Set(of)].filter((number) => number !== undefined);
    const classes = used.map((number) => pool[number] as Class);
    const tiers = classes.flat();
    return tableOf(
      'inet',
      'fake',
      [{ name: 'base', hook, rules: [rule(lookAt), rule(drop)] }, ...tiers.map(tierChain), ...classes.map(classChain)],
      [
        ...tiers.flat().map(setOf),
        {
          set: { name: 'numbers', key: ['ifname'], data: 'mark' },
          elements: of.flatMap((number, at) => (number === undefined ? [] : [{ key: tap(at), data: hostOrder(number) }])),
        },
        {
          set: { name: 'classes', key: ['mark'], data: 'verdict' },
          elements: used.map((number): NftElement => ({ key: hostOrder(number), verdict: { verdict: 'goto', chain: classChain(pool[number] as Class).name } })),
        },
      ],
    );
  }

  const packets: readonly Packet[] = [0, 1].flatMap((interface_) =>
    [7, 8].flatMap((to) =>
      [0, 1, 2].map(
        (address): Packet =>
          new Map<Field, Uint8Array>([
            ['meta iifname', tap(interface_)],
            ['meta l4proto', bytes(17)],
            ['th dport', networkOrder(to, 2)],
            ['ip saddr', addressBytes(`10.0.0.${address}`)],
          ]),
      ),
    ),
  );

  const rules: fc.Arbitrary<Rule> = fc.record({
    port: fc.constantFrom(7, 8),
    addresses: fc.integer({ min: 1, max: 7 }),
    ranges: fc.boolean(),
    negate: fc.boolean(),
    end: fc.constantFrom('accept', 'drop', 'return'),
  });
  const tiers = fc.uniqueArray(fc.array(rules, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4, selector: idOf });
  const pools: fc.Arbitrary<readonly Class[]> = tiers.chain((list) =>
    fc.uniqueArray(fc.uniqueArray(fc.constantFrom(...list), { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 4, selector: idOf }),
  );
  const policies = pools.chain((pool) => {
    const of = fc.array(fc.option(fc.nat(pool.length - 1), { nil: undefined, freq: 4 }), { minLength: 2, maxLength: 2 });
    return fc.tuple(of, of).map(([one, other]) => [tableWith({ pool, of: one }), tableWith({ pool, of: other })] as const);
  });

  const decidedAlike = (one: NftTable, other: NftTable): readonly (readonly [Packet, string])[] =>
    packets.flatMap((packet) => {
      const { verdict: given } = evaluate(one, 'forward', packet);
      return evaluate(other, 'forward', packet).verdict === given ? [[packet, given] as const] : [];
    });

  test('gets the verdict of the policies before and after, when these agree', () => {
    fc.assert(
      fc.property(policies, ([one, other]) => {
        const alike = decidedAlike(one, other);
        for (const [before, after] of pairs(statesBetween(one, other)))
          for (const [packet, expected] of alike) expect([...new Set(underWay(before, after, packet))]).toEqual([expected]);
      }),
      { numRuns: 150 },
    );
  });

  test('could get another verdict if everything were one transaction', () => {
    const allow: Rule = { port: 7, addresses: 1, ranges: false, negate: false, end: 'accept' };
    const deny: Rule = { port: 7, addresses: 1, ranges: true, negate: false, end: 'drop' };
    const rest: Rule = { port: 7, addresses: 2, ranges: false, negate: true, end: 'accept' };
    const pool = [[[allow]], [[{ ...allow, port: 8 }, allow]], [[deny, rest]], [[deny, { ...deny, port: 8 }, rest]]];
    const [allowed, denied] = [0, 2].map((first) => [first, first + 1].map((number) => tableWith({ pool, of: [number] }))) as [NftTable[], NftTable[]];
    const packet = packets[0] as Packet;
    expect(decidedAlike(allowed[0] as NftTable, allowed[1] as NftTable)).toContainEqual([packet, 'accept']);
    expect(underWay(allowed[0] as NftTable, allowed[1] as NftTable, packet)).toContain('drop');
    const none = tableWith({ pool, of: [] });
    expect(decidedAlike(none, denied[1] as NftTable)).toContainEqual([packet, 'drop']);
    expect(underWay(none, denied[1] as NftTable, packet)).toContain('accept');
  });
});
