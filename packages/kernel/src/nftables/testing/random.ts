// Small random tables that the kernel and nft accept.
import fc from 'fast-check';
import type { DataType, Field, Hook, NftChain, NftElement, NftRule, NftSet, NftTable, Statement, Verdict } from '../objects.ts';
import { hostOrder, interfaceName, networkOrder, widthOf } from '../types.ts';
import { bytes, match, port, protocol, tableOf, verdict } from './values.ts';

const accept = verdict({ verdict: 'accept' });

const comment = fc.option(fc.string({ unit: 'grapheme', maxLength: 140 }), { nil: undefined, freq: 4 });
const anyValue = (width: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: width, maxLength: width });
const smallValue = (width: number): fc.Arbitrary<Uint8Array> => fc.integer({ min: 0, max: 9 }).map((number) => networkOrder(number, width));
const interfaceNames = fc.constantFrom('tap0', 'tap1', 'tap-3f', 'lo', 'eth0.7', 'tap:-)').map(interfaceName);

/** Random values of a type. */
export function valuesOf(type: DataType): fc.Arbitrary<Uint8Array> {
  if (type === 'ifname') return interfaceNames;
  if (type === 'ct_dir') return fc.constantFrom(bytes(0), bytes(1));
  return fc.oneof(smallValue(widthOf(type)), anyValue(widthOf(type)));
}

type Kind = {
  readonly key: readonly DataType[];
  readonly fields: readonly Field[];
  readonly data?: NftSet['data'];
  readonly interval?: boolean;
  readonly limit?: NftSet['limit'];
};
const setKinds: readonly Kind[] = [
  { key: ['ipv4_addr'], fields: ['ip saddr'] },
  { key: ['ipv6_addr'], fields: ['ip6 daddr'] },
  { key: ['ipv4_addr'], fields: ['ip daddr'], interval: true },
  { key: ['inet_service'], fields: ['th dport'], interval: true },
  { key: ['mark'], fields: ['meta mark'] },
  { key: ['ifname'], fields: ['meta iifname'], data: 'verdict' },
  { key: ['ipv4_addr', 'inet_proto', 'inet_service'], fields: ['ip saddr', 'meta l4proto', 'th dport'] },
  { key: ['ifname', 'ether_addr'], fields: ['meta iifname', 'ether saddr'] },
  { key: ['ifname', 'ipv4_addr'], fields: ['meta oifname', 'ip daddr'], data: 'verdict' },
  { key: ['ifname'], fields: ['meta iifname'], limit: { rate: 3, unit: 'minute', burst: 7 } },
  { key: ['ipv4_addr'], fields: ['ip daddr'], data: 'ipv4_addr' },
  { key: ['ifname'], fields: ['meta iifname'], data: 'mark' },
  { key: ['mark'], fields: ['meta mark'], data: 'verdict' },
  { key: ['ifname'], fields: ['meta iifname'], data: 'mark' },
  { key: ['mark'], fields: ['meta mark'], data: 'verdict' },
];

function elementsOf(kind: Kind, chains: readonly string[]): fc.Arbitrary<readonly NftElement[]> {
  const keys = fc.uniqueArray(
    fc.tuple(...kind.key.map(valuesOf)).map((parts) => Buffer.concat(parts)),
    { maxLength: 12, comparator: (one, other) => one.equals(other) },
  );
  if (kind.interval) return keys.map(rangesOf);
  const verdicts = fc.constantFrom<Verdict>({ verdict: 'accept' }, { verdict: 'drop' }, ...chains.map((chain): Verdict => ({ verdict: 'goto', chain })));
  if (kind.data === 'verdict') return keys.chain((list) => fc.tuple(...list.map((key) => verdicts.map((given): NftElement => ({ key, verdict: given })))));
  const { data } = kind;
  if (data === undefined) return keys.map((list) => list.map((key) => ({ key })));
  return keys.chain((list) => fc.tuple(...list.map((key) => valuesOf(data).map((value): NftElement => ({ key, data: value })))));
}

/** Ranges between pairs of keys, and a single element from a last odd key. */
function rangesOf(keys: readonly Buffer[]): NftElement[] {
  const sorted = [...keys].sort(Buffer.compare);
  return sorted.flatMap((key, at): NftElement[] => {
    const keyEnd = sorted[at + 1];
    if (at % 2 === 1) return [];
    return [keyEnd === undefined ? { key } : { key, keyEnd }];
  });
}

/** Random sets. */
export const sets: fc.Arbitrary<readonly { readonly kind: Kind; readonly set: NftSet }[]> = fc
  .array(fc.tuple(fc.constantFrom(...setKinds), comment), { maxLength: 5 })
  .map((list) =>
    list.map(([kind, text], at) => ({
      kind,
      set: {
        name: `set-${at}`,
        key: kind.key,
        ...(kind.data === undefined ? {} : { data: kind.data }),
        ...(kind.interval ? { interval: true } : {}),
        ...(kind.limit === undefined ? {} : { limit: kind.limit }),
        ...(text === undefined ? {} : { comment: text }),
      },
    })),
  );

/** Matches that are consistent: of one network protocol and one transport protocol. */
function matchesOf(network: 4 | 6 | undefined, transport: number | undefined): fc.Arbitrary<readonly Statement[]> {
  const of = (field: Field, type: DataType): fc.Arbitrary<Statement> =>
    fc.tuple(valuesOf(type), fc.boolean()).map(([value, negate]) => match(field, value, negate));
  const addresses =
    network === 4 ? [of('ip saddr', 'ipv4_addr'), masked('ip daddr', 4)] : network === 6 ? [of('ip6 daddr', 'ipv6_addr'), masked('ip6 saddr', 16)] : [];
  const ports = transport === undefined ? [] : [of('th dport', 'inet_service'), portRange];
  const first = transport === undefined ? [] : [protocol(transport)];
  const any = [of('meta iifname', 'ifname'), of('meta mark', 'mark'), of('ct mark', 'mark'), stateOf];
  return fc.array(fc.oneof(...any, ...addresses, ...ports), { maxLength: 3 }).map((list) => [...first, ...list]);
}

const stateOf: fc.Arbitrary<Statement> = fc
  .constantFrom(1, 2, 4, 6, 8, 64, 66)
  .map((bits) => ({ is: 'masked', field: 'ct state', mask: hostOrder(bits), value: hostOrder(0), negate: true }));
const portRange: fc.Arbitrary<Statement> = fc
  .tuple(fc.integer({ min: 0, max: 65_534 }), fc.integer({ min: 1, max: 100 }), fc.boolean())
  .map(([first, length, negate]) => ({
    is: 'range',
    field: 'th sport',
    first: port(first),
    last: port(Math.min(65_535, first + length)),
    ...(negate ? { negate } : {}),
  }));

function masked(field: Field, width: number): fc.Arbitrary<Statement> {
  return fc.tuple(fc.integer({ min: 1, max: width * 8 - 1 }), anyValue(width), fc.boolean()).map(([length, value, negate]) => {
    const mask = Uint8Array.from({ length: width }, (_, at) => (0xff << (8 - Math.min(8, Math.max(0, length - at * 8)))) & 0xff);
    return { is: 'masked', field, mask, value: value.map((byte, at) => byte & (mask[at] ?? 0)), ...(negate ? { negate } : {}) };
  });
}

function rulesOf(chains: readonly string[], available: readonly { readonly kind: Kind; readonly set: NftSet }[]): fc.Arbitrary<readonly NftRule[]> {
  const lookup = available
    .filter(({ kind }) => kind.data === undefined || kind.data === 'verdict')
    .map(
      ({ kind, set }): Statement =>
        kind.data === 'verdict' ? { is: 'verdict-map', fields: kind.fields, map: set.name } : { is: 'in-set', fields: kind.fields, set: set.name },
    );
  const ends = fc.constantFrom<Statement>(
    accept,
    verdict({ verdict: 'drop' }),
    verdict({ verdict: 'return' }),
    { is: 'reject', with: 'port-unreachable' },
    ...chains.flatMap((chain) => [verdict({ verdict: 'jump', chain }), verdict({ verdict: 'goto', chain })]),
  );
  const extras = fc.constantFrom<Statement>(
    { is: 'counter' },
    { is: 'log', prefix: 'some "log"' },
    { is: 'limit', rate: 9, unit: 'minute', burst: 2 },
    { is: 'set-mark', of: 'packet', and: 0xff, xor: 0x100 },
  );
  const one = fc
    .tuple(
      fc.constantFrom(undefined, 4 as const, 6 as const),
      fc.constantFrom(undefined, 6, 17),
      fc.array(fc.nat(), { maxLength: 1 }),
      fc.array(extras, { maxLength: 2 }),
      ends,
      comment,
    )
    .chain(([network, transport, picks, more, end, text]) => {
      const chosen = picks.flatMap((pick) => (lookup.length === 0 ? [] : [lookup[pick % lookup.length] as Statement]));
      const looked = chosen.filter((statement) => 'fields' in statement && fits(statement.fields, network, transport));
      return matchesOf(network, transport).map((matches): NftRule => {
        const jumps = looked.some(({ is }) => is === 'verdict-map');
        return { statements: [...matches, ...more, ...looked, ...(jumps ? [] : [end])], ...(text === undefined ? {} : { comment: text }) };
      });
    });
  return fc.array(one, { maxLength: 5 });
}

function fits(fields: readonly Field[], network: 4 | 6 | undefined, transport: number | undefined): boolean {
  if (fields.some((field) => field.startsWith('ip6 '))) return network !== 4 && !fields.includes('th dport');
  if (fields.some((field) => field.startsWith('ip '))) return network !== 6;
  return !fields.includes('th dport') || transport !== undefined;
}

const baseHook: fc.Arbitrary<Hook> = fc.record({
  type: fc.constant('filter' as const),
  hook: fc.constantFrom('input' as const, 'forward' as const),
  priority: fc.integer({ min: -500, max: 500 }),
  policy: fc.constantFrom('accept' as const, 'drop' as const),
});

/** A small random table of the inet family. Chains jump forward only, so there is no circle. */
export function randomTable(name: string): fc.Arbitrary<NftTable> {
  const names = ['chain-0', 'chain-1', 'chain-2', 'chain-3'];
  return fc.tuple(sets, fc.array(fc.option(baseHook, { nil: undefined, freq: 2 }), { minLength: 1, maxLength: names.length })).chain(([available, hooks]) => {
    const used = names.slice(0, hooks.length);
    const regular = used.filter((_, at) => hooks[at] === undefined);
    // Elements jump only to the last regular chain, which has no lookups.
    const last = regular.at(-1);
    const chains = fc.tuple(
      ...used.map((chain, at) => {
        const later = regular.filter((other) => other > chain);
        const hook = hooks[at];
        return rulesOf(later, chain === last ? [] : available).map((rules): NftChain => ({ name: chain, ...(hook === undefined ? {} : { hook }), rules }));
      }),
    );
    const filled = fc.tuple(...available.map(({ kind, set }) => elementsOf(kind, last === undefined ? [] : [last]).map((elements) => ({ set, elements }))));
    return fc.tuple(chains, filled).map(([chainList, setList]) => tableOf('inet', name, chainList, setList));
  });
}
