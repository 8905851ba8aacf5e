import { addressBytes } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readAttributes } from '../netlink/attributes.ts';
import { compileRule } from './compile.ts';
import type { Expression } from './expressions.ts';
import type { NftRule, Statement, TableFamily } from './objects.ts';
import { canonicalRule, encodeRule } from './rules.ts';
import { corpus } from './testing/corpus.ts';
import { randomTable } from './testing/random.ts';
import { bytes, linkLocal, match, port, protocol } from './testing/values.ts';
import { hostOrder, interfaceName } from './types.ts';
import { lookupsOf } from './validate.ts';

/** Expressions as short text: what is loaded, and what it is compared with. */
const short = (list: readonly Expression[]): string[] =>
  list.map(
    ({ name, values }) =>
      `${name}${Object.entries(values)
        .map(([attribute, value]) => ` ${attribute}=${value instanceof Uint8Array ? Buffer.from(value).toString('hex') : JSON.stringify(value)}`)
        .join('')}`,
  );
const compile = (family: TableFamily, ...statements: readonly Statement[]): string[] => short(compileRule(family, statements));
const nfproto = ['meta dreg=8 key=15', 'cmp sreg=8 op=0 data=02'];
const nfproto6 = ['meta dreg=8 key=15', 'cmp sreg=8 op=0 data=0a'];
const l4proto = (number: string): string[] => ['meta dreg=8 key=16', `cmp sreg=8 op=0 data=${number}`];

describe('matches carry what their protocol needs', () => {
  test('an IPv4 field adds a match of IPv4 in an inet table, once per rule', () => {
    expect(compile('inet', match('ip saddr', addressBytes('10.0.0.1')), match('ip daddr', addressBytes('10.0.0.2')))).toEqual([
      ...nfproto,
      'payload dreg=8 base=1 offset=12 length=4',
      'cmp sreg=8 op=0 data=0a000001',
      'payload dreg=8 base=1 offset=16 length=4',
      'cmp sreg=8 op=0 data=0a000002',
    ]);
  });

  test('nothing is added when the rule or the table says it already', () => {
    const load = ['payload dreg=8 base=1 offset=12 length=4', 'cmp sreg=8 op=0 data=0a000001'];
    expect(compile('ip', match('ip saddr', addressBytes('10.0.0.1')))).toEqual(load);
    expect(compile('inet', match('meta nfproto', bytes(2)), match('ip saddr', addressBytes('10.0.0.1')))).toEqual([...nfproto, ...load]);
  });

  test('a negated match of the protocol does not count', () => {
    expect(compile('inet', match('meta nfproto', bytes(10), true), match('ip saddr', addressBytes('10.0.0.1'))).slice(2, 4)).toEqual(nfproto);
  });

  test('ICMP type and code add matches of IPv4 and ICMP, once', () => {
    expect(compile('inet', match('icmp type', bytes(8)), match('icmp code', bytes(0)))).toEqual([
      ...nfproto,
      ...l4proto('01'),
      'payload dreg=8 base=2 offset=0 length=1',
      'cmp sreg=8 op=0 data=08',
      'payload dreg=8 base=2 offset=1 length=1',
      'cmp sreg=8 op=0 data=00',
    ]);
  });

  test('neighbour discovery adds matches of IPv6 and ICMPv6', () => {
    expect(compile('inet', match('icmpv6 type', bytes(135)), match('nd target', linkLocal)).slice(0, 4)).toEqual([...nfproto6, ...l4proto('3a')]);
  });

  test('link-layer fields add a match of Ethernet', () => {
    expect(compile('inet', match('ether saddr', bytes(1, 2, 3, 4, 5, 6)))).toEqual([
      'meta dreg=8 key=8',
      `cmp sreg=8 op=0 data=${Buffer.from(hostOrder(1, 2)).toString('hex')}`,
      'payload dreg=8 base=0 offset=6 length=6',
      'cmp sreg=8 op=0 data=010203040506',
    ]);
  });

  test('a reset adds a match of TCP', () => {
    expect(compile('inet', { is: 'reject', with: 'tcp-reset' })).toEqual([...l4proto('06'), 'reject type=1']);
  });

  test('a rule that needs two protocols gets both matches, and so matches nothing', () => {
    expect(compile('inet', protocol(6), match('icmp type', bytes(8)))).toEqual([
      ...l4proto('06'),
      ...nfproto,
      ...l4proto('01'),
      'payload dreg=8 base=2 offset=0 length=1',
      'cmp sreg=8 op=0 data=08',
    ]);
    expect(compile('inet', match('ip saddr', addressBytes('10.0.0.1')), match('ip6 hoplimit', bytes(255))).filter((line) => line.startsWith('meta'))).toEqual([
      'meta dreg=8 key=15',
      'meta dreg=8 key=15',
    ]);
  });
});

test('a concatenation takes consecutive registers, and each field starts in a new one', () => {
  expect(compile('inet', { is: 'in-set', fields: ['meta iifname', 'ip saddr', 'meta l4proto', 'th dport'], set: 's' })).toEqual([
    ...nfproto,
    'meta dreg=8 key=6',
    'payload dreg=12 base=1 offset=12 length=4',
    'meta dreg=13 key=16',
    'payload dreg=14 base=2 offset=2 length=2',
    'lookup set="s" sreg=8',
  ]);
});

test('the beginning of a name is compared alone, as nft does', () => {
  const value = interfaceName('tap');
  expect(compile('inet', { is: 'masked', field: 'meta iifname', mask: value.map((byte) => (byte === 0 ? 0 : 255)), value })).toEqual([
    'meta dreg=8 key=6',
    'cmp sreg=8 op=0 data=746170',
  ]);
});

test('a map behind a map does not change the packet’s mark', () => {
  expect(compile('inet', { is: 'verdict-map', fields: ['meta iifname'], via: 'numbers', map: 'classes' })).toEqual([
    'meta dreg=8 key=6',
    'meta dreg=23 key=3',
    'lookup set="numbers" sreg=8 dreg=8',
    'meta key=3 sreg=8',
    'meta dreg=8 key=3',
    'meta key=3 sreg=23',
    'lookup set="classes" sreg=8 dreg=0',
  ]);
});

test('rules are equal exactly when their bytes are', () => {
  const rules: readonly NftRule[] = corpus
    .filter(({ family }) => family === 'inet')
    .flatMap((table) => [...table.chains.values()].flatMap((chain) => chain.rules));
  const encoded = rules.map((rule) => Buffer.from(encodeRule('inet', { statements: rule.statements })).toString('hex'));
  const distinct = new Set(rules.map((rule) => JSON.stringify(rule.statements, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))));
  expect(new Set(encoded).size).toBe(distinct.size);
});

test('reading our own bytes gives the same bytes', () => {
  fc.assert(
    fc.property(randomTable('t'), (table) => {
      for (const rule of [...table.chains.values()].flatMap((chain) => chain.rules)) {
        const encoded = encodeRule('inet', rule);
        const attributes = readAttributes(encoded);
        expect(Buffer.from(canonicalRule(attributes.get(4) ?? new Uint8Array(), attributes.get(7)) ?? [])).toEqual(Buffer.from(encoded));
      }
    }),
  );
});

test('ports need a protocol that has ports', () => {
  expect(() => compile('inet', match('th dport', port(80)))).toThrow('without having asked for a protocol that has ports');
  expect(() => compile('inet', match('meta l4proto', bytes(6), true), match('th dport', port(80)))).toThrow(
    'without having asked for a protocol that has ports',
  );
  expect(compile('inet', match('ip protocol', bytes(17)), match('th dport', port(53)))).toHaveLength(6);
});

test('a statement of an unknown kind is an error, and does not make a rule that matches more', () => {
  const unknown = { is: 'quota' } as unknown as Statement;
  expect(() => compile('inet', { is: 'counter' }, unknown)).toThrow(/no case for {"is":"quota"}/);
  expect(() => lookupsOf(unknown)).toThrow(/no case/);
});
