// Tables for tests: a corpus that has every statement, and small tables at random that the kernel and nft accept.
import fc from 'fast-check';
import type { DataType, Field, Hook, NftChain, NftElement, NftRule, NftSet, NftTable, Statement, Verdict } from '../objects.ts';
import { connectionState, connectionStatus, hostOrder, interfaceName, networkOrder, widthOf } from '../types.ts';

export const bytes = (...numbers: readonly number[]): Uint8Array => Uint8Array.from(numbers);
export const address4 = (text: string): Uint8Array => Uint8Array.from(text.split('.'), Number);
export const match = (field: Field, value: Uint8Array, negate = false): Statement => ({ is: 'match', field, value, ...(negate ? { negate } : {}) });
export const verdict = (value: Verdict): Statement => ({ is: 'verdict', ...value });
export const rule = (...statements: readonly Statement[]): NftRule => ({ statements });
export const port = (number: number): Uint8Array => networkOrder(number, 2);
export const protocol = (number: number): Statement => match('meta l4proto', bytes(number));
export const linkLocal = bytes(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

export function tableOf(
  family: NftTable['family'],
  name: string,
  chains: readonly NftChain[],
  sets: readonly { readonly set: NftSet; readonly elements: readonly NftElement[] }[] = [],
): NftTable {
  return { family, name, chains: new Map(chains.map((chain) => [chain.name, chain])), sets: new Map(sets.map((entry) => [entry.set.name, entry])) };
}

const mac = bytes(0xfa, 0x16, 0x3e, 1, 2, 3);
const inputHook: Hook = { type: 'filter', hook: 'input', priority: 0, policy: 'accept' };
const accept = verdict({ verdict: 'accept' });

/** A value for each field of the inet family, so that a field without a test is seen. */
const inetMatches: readonly (readonly Statement[])[] = [
  [match('meta iifname', interfaceName('tap0'))],
  [match('meta oifname', interfaceName('lo'), true)],
  [match('meta iiftype', hostOrder(1, 2))],
  [match('meta l4proto', bytes(17), true)],
  [match('meta nfproto', bytes(10))],
  [match('meta protocol', bytes(8, 0))],
  [match('meta mark', hostOrder(0x1234))],
  [match('ct state', hostOrder(connectionState.new))],
  [match('ct mark', hostOrder(7), true)],
  [match('ct direction', bytes(1))],
  [match('ct original ip saddr', address4('10.1.2.3'))],
  [match('ct original ip daddr', address4('10.1.2.4'))],
  [match('ct original ip6 saddr', linkLocal)],
  [match('ct original ip6 daddr', linkLocal)],
  [match('ether saddr', mac)],
  [match('ether daddr', mac, true)],
  [match('ether type', bytes(0x86, 0xdd))],
  [match('ip saddr', address4('10.0.0.1'))],
  [match('ip daddr', address4('10.0.0.1'), true)],
  [match('ip protocol', bytes(132))],
  [match('ip6 saddr', linkLocal)],
  [match('ip6 daddr', linkLocal)],
  [match('ip6 hoplimit', bytes(255))],
  [protocol(6), match('th sport', port(1024)), match('th dport', port(80))],
  [match('icmp type', bytes(8)), match('icmp code', bytes(0))],
  [match('icmpv6 type', bytes(135)), match('icmpv6 code', bytes(0)), match('nd target', linkLocal)],
  [match('fib saddr . iif oif', hostOrder(0))],
  [match('fib saddr . mark . iif oif', hostOrder(0))],
  [match('fib daddr type', hostOrder(2))],
];

const masks: readonly (readonly Statement[])[] = [
  [{ is: 'masked', field: 'meta iifname', mask: bytes(255, 255, 255, ...new Uint8Array(13)), value: bytes(0x74, 0x61, 0x70, ...new Uint8Array(13)) }],
  [{ is: 'masked', field: 'ip saddr', mask: address4('255.255.255.0'), value: address4('10.65.0.0') }],
  [{ is: 'masked', field: 'ip daddr', mask: address4('255.255.240.0'), value: address4('10.65.16.0'), negate: true }],
  [{ is: 'masked', field: 'ip6 saddr', mask: bytes(0xff, 0xc0, ...new Uint8Array(14)), value: bytes(0xfe, 0x80, ...new Uint8Array(14)) }],
  [{ is: 'masked', field: 'ct state', mask: hostOrder(connectionState.established | connectionState.related), value: hostOrder(0), negate: true }],
  [{ is: 'masked', field: 'ct status', mask: hostOrder(connectionStatus.dnat), value: hostOrder(0), negate: true }],
  [{ is: 'masked', field: 'meta mark', mask: hostOrder(0xff00), value: hostOrder(0x1200) }],
  [{ is: 'masked', field: 'ct mark', mask: hostOrder(0xff00), value: hostOrder(0), negate: true }],
];

const ranges: readonly (readonly Statement[])[] = [
  [protocol(17), { is: 'range', field: 'th dport', first: port(1000), last: port(2000) }],
  [protocol(17), { is: 'range', field: 'th sport', first: port(1000), last: port(2000), negate: true }],
  [{ is: 'range', field: 'ip saddr', first: address4('10.0.0.5'), last: address4('10.0.0.9') }],
  [{ is: 'range', field: 'icmp type', first: bytes(3), last: bytes(8) }],
];

const actions: readonly (readonly Statement[])[] = [
  [{ is: 'counter' }, accept],
  [{ is: 'log', prefix: 'a "strange" $prefix*' }, verdict({ verdict: 'drop' })],
  [{ is: 'limit', rate: 10, unit: 'second', burst: 20 }, accept],
  [{ is: 'limit', rate: 10, unit: 'minute', burst: 0 }, accept],
  [{ is: 'limit', rate: 7, unit: 'hour', burst: 5, over: true }, verdict({ verdict: 'drop' })],
  [{ is: 'limit', rate: 125000, unit: 'second', burst: 65536, of: 'bytes', over: true }, verdict({ verdict: 'drop' })],
  [{ is: 'limit', rate: 3, unit: 'day', burst: 0, of: 'bytes' }, accept],
  [{ is: 'connections-over', count: 10 }, verdict({ verdict: 'drop' })],
  [{ is: 'set-mark', of: 'packet', and: 0xffff_00ff, xor: 0x1200 }],
  [{ is: 'set-mark', of: 'packet', and: 0, xor: 0x1200 }],
  [{ is: 'set-mark', of: 'packet', and: 0xffff_ffff, xor: 1 }],
  [{ is: 'set-mark', of: 'connection', and: 0x0000_ffff, xor: 0 }],
  [{ is: 'set-mark', of: 'connection', and: 0, xor: 0xffff_ffff }],
  [{ is: 'notrack' }],
  [{ is: 'reject', with: 'port-unreachable' }],
  [{ is: 'reject', with: 'admin-prohibited' }],
  [protocol(6), { is: 'reject', with: 'tcp-reset' }],
  [verdict({ verdict: 'return' })],
  [verdict({ verdict: 'continue' })],
  [verdict({ verdict: 'jump', chain: 'called' })],
  [verdict({ verdict: 'goto', chain: 'called' })],
];

const lookups: readonly (readonly Statement[])[] = [
  [{ is: 'in-set', fields: ['ip saddr'], set: 'addresses' }, accept],
  [{ is: 'in-set', fields: ['ip daddr'], set: 'addresses', negate: true }, accept],
  [{ is: 'in-set', fields: ['ip daddr'], set: 'nets' }, accept],
  [{ is: 'in-set', fields: ['ip6 daddr'], set: 'nets6' }, accept],
  [{ is: 'in-set', fields: ['ip daddr', 'meta l4proto', 'th dport'], set: 'named-ports' }, accept],
  [{ is: 'in-set', fields: ['meta iifname', 'ether saddr', 'ip6 saddr'], set: 'sources' }, accept],
  [{ is: 'verdict-map', fields: ['meta iifname'], map: 'dispatch' }],
  [{ is: 'verdict-map', fields: ['meta mark', 'ip saddr'], map: 'marked' }],
  [{ is: 'verdict-map', fields: ['meta iifname'], via: 'numbers', map: 'classes' }],
];

export const corpusSets: readonly { readonly set: NftSet; readonly elements: readonly NftElement[] }[] = [
  { set: { name: 'addresses', key: ['ipv4_addr'], comment: 'two "addresses"' }, elements: [{ key: address4('10.0.0.1') }, { key: address4('10.0.0.2') }] },
  {
    set: { name: 'nets', key: ['ipv4_addr'], interval: true },
    elements: [
      { key: address4('0.0.0.0'), keyEnd: address4('0.255.255.255') },
      { key: address4('10.0.0.0'), keyEnd: address4('10.0.0.255') },
      { key: address4('10.0.1.0'), keyEnd: address4('10.0.1.9') },
      { key: address4('10.0.1.11') },
      { key: address4('240.0.0.0'), keyEnd: address4('255.255.255.255') },
    ],
  },
  {
    set: { name: 'nets6', key: ['ipv6_addr'], interval: true },
    elements: [{ key: bytes(0xfe, 0x80, ...new Uint8Array(14)), keyEnd: bytes(0xfe, 0xbf, ...new Uint8Array(14).fill(255)) }],
  },
  {
    set: { name: 'named-ports', key: ['ipv4_addr', 'inet_proto', 'inet_service'] },
    elements: [{ key: bytes(10, 0, 0, 1, 6, 0, 80) }, { key: bytes(10, 0, 0, 1, 17, 0, 53) }],
  },
  { set: { name: 'sources', key: ['ifname', 'ether_addr', 'ipv6_addr'] }, elements: [{ key: Buffer.concat([interfaceName('tap0'), mac, linkLocal]) }] },
  {
    set: { name: 'dispatch', key: ['ifname'], data: 'verdict' },
    elements: [
      { key: interfaceName('tap0'), verdict: { verdict: 'goto', chain: 'called' } },
      { key: interfaceName('tap1'), verdict: { verdict: 'drop' } },
    ],
  },
  {
    set: { name: 'marked', key: ['mark', 'ipv4_addr'], data: 'verdict' },
    elements: [{ key: bytes(...hostOrder(5), 10, 0, 0, 1), verdict: { verdict: 'jump', chain: 'called' } }],
  },
  { set: { name: 'floating', key: ['ipv4_addr'], data: 'ipv4_addr' }, elements: [{ key: address4('172.16.0.9'), data: address4('10.0.0.1') }] },
  { set: { name: 'floating6', key: ['ipv6_addr'], data: 'ipv6_addr' }, elements: [{ key: linkLocal, data: linkLocal }] },
  { set: { name: 'classes', key: ['mark'], data: 'verdict' }, elements: [{ key: hostOrder(17), verdict: { verdict: 'goto', chain: 'called' } }] },
  { set: { name: 'numbers', key: ['ifname'], data: 'mark' }, elements: [{ key: interfaceName('tap0'), data: hostOrder(17) }] },
];

const numbered = (prefix: string, rules: readonly (readonly Statement[])[], hook?: Hook): NftChain => ({
  name: prefix,
  ...(hook === undefined ? {} : { hook }),
  rules: rules.map((statements, at) => ({ statements, ...(at % 3 === 0 ? { comment: `${prefix} ${at}: it's "so" \\ ünd so*` } : {}) })),
});

/** Every kind of statement and every field, in tables of all families. */
export const corpus: readonly NftTable[] = [
  tableOf(
    'inet',
    'everything',
    [
      { name: 'called', rules: [rule(accept)] },
      numbered('matches', inetMatches, inputHook),
      numbered('masks', masks, { ...inputHook, priority: -10, policy: 'drop' }),
      numbered('ranges', ranges),
      numbered('actions', actions, { ...inputHook, hook: 'forward' }),
      numbered('lookups', lookups, { ...inputHook, priority: 2_147_483_647 }),
      { name: 'route.me', hook: { type: 'route', hook: 'output', priority: -2_147_483_648, policy: 'accept' }, rules: [] },
      {
        name: 'nat-in',
        hook: { type: 'nat', hook: 'prerouting', priority: -100, policy: 'accept' },
        rules: [
          rule(protocol(6), match('ip daddr', address4('169.254.169.254')), match('th dport', port(80)), {
            is: 'nat',
            kind: 'dnat',
            family: 4,
            address: address4('127.0.0.1'),
            port: 8775,
          }),
          rule({ is: 'nat', kind: 'dnat', family: 6, address: linkLocal }),
          rule(protocol(17), { is: 'nat', kind: 'dnat', family: 6, address: linkLocal, port: 53 }),
          rule({ is: 'nat-map', kind: 'dnat', family: 4, fields: ['ip daddr'], map: 'floating' }),
          rule({ is: 'nat-map', kind: 'dnat', family: 6, fields: ['ip6 daddr'], map: 'floating6' }),
        ],
      },
      {
        name: 'nat-out',
        hook: { type: 'nat', hook: 'postrouting', priority: 100, policy: 'accept' },
        rules: [
          rule({ is: 'nat', kind: 'snat', family: 4, address: address4('192.0.2.1') }),
          rule({ is: 'nat-map', kind: 'snat', family: 4, fields: ['ip saddr'], map: 'floating' }),
          rule(match('ct status', hostOrder(connectionStatus.confirmed)), { is: 'masquerade' }),
        ],
      },
    ],
    corpusSets,
  ),
  tableOf('ip', 'four', [
    numbered(
      'four',
      [
        [match('icmp type', bytes(8))],
        [match('ip saddr', address4('1.2.3.4'))],
        [match('ether saddr', mac)],
        [{ is: 'reject', with: 'admin-prohibited' }],
        [{ is: 'reject', with: 'port-unreachable' }],
      ],
      inputHook,
    ),
    {
      name: 'nat',
      hook: { type: 'nat', hook: 'prerouting', priority: 0, policy: 'accept' },
      rules: [rule({ is: 'nat', kind: 'dnat', family: 4, address: address4('127.0.0.1') })],
    },
  ]),
  tableOf('ip6', 'six', [
    numbered(
      'six',
      [
        [match('icmpv6 type', bytes(128))],
        [match('ip6 saddr', linkLocal)],
        [{ is: 'reject', with: 'admin-prohibited' }],
        [{ is: 'reject', with: 'port-unreachable' }],
      ],
      inputHook,
    ),
  ]),
  tableOf('arp', 'resolution', [
    numbered(
      'arp-in',
      [
        [match('arp operation', bytes(0, 1))],
        [match('arp saddr ether', mac)],
        [match('arp saddr ip', address4('10.0.0.1'), true)],
        [match('arp daddr ether', mac)],
        [match('arp daddr ip', address4('10.0.0.1'))],
        [match('meta iifname', interfaceName('tap0')), match('ether saddr', mac, true), verdict({ verdict: 'drop' })],
      ],
      inputHook,
    ),
    numbered('arp-out', [[accept]], { ...inputHook, hook: 'output' }),
  ]),
  tableOf('netdev', 'early', [
    numbered(
      'early',
      [
        [match('ip saddr', address4('1.2.3.4'))],
        [match('ip6 saddr', linkLocal), protocol(17)],
        [match('icmp type', bytes(8))],
        [match('arp operation', bytes(0, 2))],
        [match('ether type', bytes(8, 6))],
      ],
      {
        type: 'filter',
        hook: 'ingress',
        device: 'lo',
        priority: 0,
        policy: 'accept',
      },
    ),
  ]),
];

// ---- at random

const comment = fc.option(fc.string({ unit: 'grapheme', maxLength: 140 }), { nil: undefined, freq: 4 });
const anyValue = (width: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: width, maxLength: width });
const smallValue = (width: number): fc.Arbitrary<Uint8Array> => fc.integer({ min: 0, max: 9 }).map((number) => networkOrder(number, width));
const interfaceNames = fc.constantFrom('tap0', 'tap1', 'tap-3f', 'lo', 'eth0.7', 'tap:-)').map(interfaceName);

export function valuesOf(type: DataType): fc.Arbitrary<Uint8Array> {
  if (type === 'ifname') return interfaceNames;
  if (type === 'ct_dir') return fc.constantFrom(bytes(0), bytes(1));
  return fc.oneof(smallValue(widthOf(type)), anyValue(widthOf(type)));
}

type Kind = { readonly key: readonly DataType[]; readonly fields: readonly Field[]; readonly data?: NftSet['data']; readonly interval?: boolean };
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

/** Ranges between keys, two by two; a single one at the end. */
function rangesOf(keys: readonly Buffer[]): NftElement[] {
  const sorted = [...keys].sort(Buffer.compare);
  return sorted.flatMap((key, at): NftElement[] => {
    const keyEnd = sorted[at + 1];
    if (at % 2 === 1) return [];
    return [keyEnd === undefined ? { key } : { key, keyEnd }];
  });
}

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
        ...(text === undefined ? {} : { comment: text }),
      },
    })),
  );

/** Matches that go together: one network protocol, one transport protocol. */
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

/** A small table of the inet family: chains jump forward only, so that there is no circle. */
export function randomTable(name: string): fc.Arbitrary<NftTable> {
  const names = ['chain-0', 'chain-1', 'chain-2', 'chain-3'];
  return fc.tuple(sets, fc.array(fc.option(baseHook, { nil: undefined, freq: 2 }), { minLength: 1, maxLength: names.length })).chain(([available, hooks]) => {
    const used = names.slice(0, hooks.length);
    const regular = used.filter((_, at) => hooks[at] === undefined);
    // Elements jump to the last regular chain only, and that one looks nothing up.
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
