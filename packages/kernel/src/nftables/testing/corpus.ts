// A corpus of tables with every field and every kind of statement.
import { addressBytes } from '@calico-openstack/addresses';
import type { Hook, NftChain, NftElement, NftSet, NftTable, Statement } from '../objects.ts';
import { connectionState, connectionStatus, hostOrder, interfaceName } from '../types.ts';
import { bytes, linkLocal, match, port, protocol, rule, tableOf, verdict } from './values.ts';

const mac = bytes(0xfa, 0x16, 0x3e, 1, 2, 3);
const inputHook: Hook = { type: 'filter', hook: 'input', priority: 0, policy: 'accept' };
const accept = verdict({ verdict: 'accept' });

/** A match for each field of the inet family, so that a field without a test is noticed. */
const inetMatches: readonly (readonly Statement[])[] = [
  [match('meta iifname', interfaceName('tap0'))],
  [match('meta oifname', interfaceName('lo'), true)],
  [match('meta iif', hostOrder(0))],
  [match('meta iiftype', hostOrder(1, 2))],
  [match('meta l4proto', bytes(17), true)],
  [match('meta nfproto', bytes(10))],
  [match('meta protocol', bytes(8, 0))],
  [match('meta mark', hostOrder(0x1234))],
  [match('ct state', hostOrder(connectionState.new))],
  [match('ct mark', hostOrder(7), true)],
  [match('ct direction', bytes(1))],
  [match('ct original ip saddr', addressBytes('10.1.2.3'))],
  [match('ct original ip daddr', addressBytes('10.1.2.4'))],
  [match('ct original ip6 saddr', linkLocal)],
  [match('ct original ip6 daddr', linkLocal)],
  [match('ct reply ip saddr', addressBytes('10.1.2.3'))],
  [match('ct reply ip6 saddr', linkLocal)],
  [match('ether saddr', mac)],
  [match('ether daddr', mac, true)],
  [match('ether type', bytes(0x86, 0xdd))],
  [match('ip saddr', addressBytes('10.0.0.1'))],
  [match('ip daddr', addressBytes('10.0.0.1'), true)],
  [match('ip protocol', bytes(132))],
  [match('ip6 saddr', linkLocal)],
  [match('ip6 daddr', linkLocal)],
  [match('ip6 hoplimit', bytes(255))],
  [protocol(6), match('th sport', port(1024)), match('th dport', port(80))],
  [protocol(17), match('th dport', port(67)), match('dhcp giaddr', addressBytes('10.0.0.1'), true)],
  [protocol(17), match('th dport', port(67)), match('dhcp giaddr', addressBytes('0.0.0.0'))],
  [protocol(17), match('th dport', port(67)), match('dhcp chaddr', mac)],
  [protocol(17), match('th dport', port(67)), match('dhcp first option', bytes(53, 1, 4))],
  [protocol(17), match('th dport', port(67)), match('dhcp first option head', bytes(50, 4)), match('dhcp second option', bytes(53, 1, 4))],
  [protocol(17), match('th dport', port(547)), match('dhcp6 type', bytes(6))],
  [match('icmp type', bytes(8)), match('icmp code', bytes(0))],
  [match('icmpv6 type', bytes(135)), match('icmpv6 code', bytes(0)), match('nd target', linkLocal)],
  [match('fib saddr . iif oif', hostOrder(0))],
  [match('fib saddr . mark . iif oif', hostOrder(0))],
  [match('fib daddr type', hostOrder(2))],
];

const masks: readonly (readonly Statement[])[] = [
  [{ is: 'masked', field: 'meta iifname', mask: bytes(255, 255, 255, ...new Uint8Array(13)), value: bytes(0x74, 0x61, 0x70, ...new Uint8Array(13)) }],
  [{ is: 'masked', field: 'ip saddr', mask: addressBytes('255.255.255.0'), value: addressBytes('10.65.0.0') }],
  [{ is: 'masked', field: 'ip daddr', mask: addressBytes('255.255.240.0'), value: addressBytes('10.65.16.0'), negate: true }],
  [{ is: 'masked', field: 'ip6 saddr', mask: bytes(0xff, 0xc0, ...new Uint8Array(14)), value: bytes(0xfe, 0x80, ...new Uint8Array(14)) }],
  [{ is: 'masked', field: 'ct state', mask: hostOrder(connectionState.established | connectionState.related), value: hostOrder(0), negate: true }],
  [{ is: 'masked', field: 'ct status', mask: hostOrder(connectionStatus.dnat), value: hostOrder(0), negate: true }],
  [{ is: 'masked', field: 'meta mark', mask: hostOrder(0xff00), value: hostOrder(0x1200) }],
  [{ is: 'masked', field: 'ct mark', mask: hostOrder(0xff00), value: hostOrder(0), negate: true }],
];

const ranges: readonly (readonly Statement[])[] = [
  [protocol(17), { is: 'range', field: 'th dport', first: port(1000), last: port(2000) }],
  [protocol(17), { is: 'range', field: 'th sport', first: port(1000), last: port(2000), negate: true }],
  [{ is: 'range', field: 'ip saddr', first: addressBytes('10.0.0.5'), last: addressBytes('10.0.0.9') }],
  [{ is: 'range', field: 'icmp type', first: bytes(3), last: bytes(8) }],
  [protocol(17), { is: 'range', field: 'dhcp6 type', first: bytes(3), last: bytes(5), negate: true }],
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
  [{ is: 'in-set', fields: ['meta iifname'], set: 'loud' }, verdict({ verdict: 'drop' })],
  [{ is: 'in-set', fields: ['meta iifname', 'ip saddr'], set: 'loud-sources' }, verdict({ verdict: 'drop' })],
  [{ is: 'verdict-map', fields: ['meta iifname'], map: 'dispatch' }],
  [{ is: 'verdict-map', fields: ['meta mark', 'ip saddr'], map: 'marked' }],
  [{ is: 'verdict-map', fields: ['meta iifname'], via: 'numbers', map: 'classes' }],
];

/** Sets and maps of every kind, with elements. */
export const corpusSets: readonly { readonly set: NftSet; readonly elements: readonly NftElement[] }[] = [
  {
    set: { name: 'addresses', key: ['ipv4_addr'], comment: 'two "addresses"' },
    elements: [{ key: addressBytes('10.0.0.1') }, { key: addressBytes('10.0.0.2') }],
  },
  {
    set: { name: 'nets', key: ['ipv4_addr'], interval: true },
    elements: [
      { key: addressBytes('0.0.0.0'), keyEnd: addressBytes('0.255.255.255') },
      { key: addressBytes('10.0.0.0'), keyEnd: addressBytes('10.0.0.255') },
      { key: addressBytes('10.0.1.0'), keyEnd: addressBytes('10.0.1.9') },
      { key: addressBytes('10.0.1.11') },
      { key: addressBytes('240.0.0.0'), keyEnd: addressBytes('255.255.255.255') },
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
  {
    set: { name: 'loud', key: ['ifname'], limit: { rate: 4, unit: 'second', burst: 16 }, comment: 'each its own' },
    elements: [{ key: interfaceName('tap0') }, { key: interfaceName('tap1') }],
  },
  { set: { name: 'loud-sources', key: ['ifname', 'ipv4_addr'], limit: { rate: 70, unit: 'hour', burst: 1 } }, elements: [] },
  { set: { name: 'floating', key: ['ipv4_addr'], data: 'ipv4_addr' }, elements: [{ key: addressBytes('172.16.0.9'), data: addressBytes('10.0.0.1') }] },
  { set: { name: 'floating6', key: ['ipv6_addr'], data: 'ipv6_addr' }, elements: [{ key: linkLocal, data: linkLocal }] },
  { set: { name: 'classes', key: ['mark'], data: 'verdict' }, elements: [{ key: hostOrder(17), verdict: { verdict: 'goto', chain: 'called' } }] },
  { set: { name: 'numbers', key: ['ifname'], data: 'mark' }, elements: [{ key: interfaceName('tap0'), data: hostOrder(17) }] },
];

const numbered = (prefix: string, rules: readonly (readonly Statement[])[], hook?: Hook): NftChain => ({
  name: prefix,
  ...(hook === undefined ? {} : { hook }),
  rules: rules.map((statements, at) => ({ statements, ...(at % 3 === 0 ? { comment: `${prefix} ${at}: it's "so" \\ ünd\u2028so*` } : {}) })),
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
          rule(protocol(6), match('ip daddr', addressBytes('169.254.169.254')), match('th dport', port(80)), {
            is: 'nat',
            kind: 'dnat',
            family: 4,
            address: addressBytes('127.0.0.1'),
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
          rule({ is: 'nat', kind: 'snat', family: 4, address: addressBytes('192.0.2.1') }),
          rule(protocol(6), { is: 'nat', kind: 'snat', family: 4, address: addressBytes('192.0.2.1'), port: 1024, lastPort: 2047 }),
          rule(protocol(6), { is: 'masquerade', port: 1024 }),
          rule(protocol(17), { is: 'masquerade', port: 1024, lastPort: 2047 }),
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
        [match('ip saddr', addressBytes('1.2.3.4'))],
        [match('ether saddr', mac)],
        [{ is: 'reject', with: 'admin-prohibited' }],
        [{ is: 'reject', with: 'port-unreachable' }],
      ],
      inputHook,
    ),
    {
      name: 'nat',
      hook: { type: 'nat', hook: 'prerouting', priority: 0, policy: 'accept' },
      rules: [rule({ is: 'nat', kind: 'dnat', family: 4, address: addressBytes('127.0.0.1') })],
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
        [match('arp saddr ip', addressBytes('10.0.0.1'), true)],
        [match('arp daddr ether', mac)],
        [match('arp daddr ip', addressBytes('10.0.0.1'))],
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
        [match('ip saddr', addressBytes('1.2.3.4'))],
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
