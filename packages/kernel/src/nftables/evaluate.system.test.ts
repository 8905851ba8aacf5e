// Real packets through the kernel's rules, and the same packets through the fake's: verdict and mark must be the same.

import { addressBytes } from '@calico-openstack/addresses';
import fc from 'fast-check';
import koffi from 'koffi';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { close, socket } from '../netlink/libc.ts';
import { inNamespace } from '../netlink/namespace.ts';
import { evaluate, type Packet } from './evaluate.ts';
import type { Field, NftChain, NftElement, NftRule, NftSet, NftTable, Statement, Verdict } from './objects.ts';
import { deleteTable, openTable } from './table.netlink.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';
import { bytes, match, port, tableOf, verdict } from './testing/values.ts';
import { want } from './testing/world.ts';
import { hostOrder, interfaceName, networkOrder } from './types.ts';

const sendto: (fd: number, packet: Uint8Array, length: number, flags: number, address: Uint8Array, addressLength: number) => number = koffi
  .load('libc.so.6')
  .func('long sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)');
const setsockopt: (fd: number, level: number, option: number, value: Uint8Array, length: number) => number = koffi
  .load('libc.so.6')
  .func('int setsockopt(int, int, int, const uint8_t *, uint32_t)');

let namespace: TestNamespace;
beforeAll(() => {
  namespace = makeNamespace();
  namespace.ip('link', 'set', 'lo', 'up');
});
afterAll(() => namespace.remove());

type Probe = {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly first: number;
  readonly second: number;
  readonly mark: number;
};
const probes: readonly Probe[] = [1, 2, 3].flatMap((source) =>
  [1, 4].flatMap((destination) =>
    [
      [17, 1, 2],
      [17, 5, 6],
      [6, 2, 1],
      [6, 6, 5],
      [1, 8, 0],
      [1, 3, 1],
    ].flatMap(([protocol = 0, first = 0, second = 0]) => [0, 5].map((mark): Probe => ({ source, destination, protocol, first, second, mark }))),
  ),
);

/** `first` and `second` are ports, or the ICMP type and code. */
function described({ source, destination, protocol, first, second, mark }: Probe): Packet {
  const ports: readonly (readonly [Field, Uint8Array])[] =
    protocol === 1
      ? [
          ['icmp type', bytes(first)],
          ['icmp code', bytes(second)],
        ]
      : [
          ['th sport', port(first)],
          ['th dport', port(second)],
        ];
  return new Map<Field, Uint8Array>([
    ['meta iifname', interfaceName('lo')],
    ['meta l4proto', bytes(protocol)],
    ['meta protocol', bytes(8, 0)],
    ['meta mark', hostOrder(mark)],
    ['ip saddr', addressBytes(`127.0.0.${source}`)],
    ['ip daddr', addressBytes(`127.0.0.${destination}`)],
    ['fib daddr type', hostOrder(2)],
    ...ports,
  ]);
}

function onTheWire({ source, destination, protocol, first, second }: Probe, id: number): Uint8Array {
  const header = bytes(0x45, 0, 0, 48, id >> 8, id & 0xff, 0, 0, 77, protocol, 0, 0, 127, 0, 0, source, 127, 0, 0, destination);
  const transport = protocol === 1 ? bytes(first, second) : Buffer.concat([port(first), port(second), protocol === 17 ? bytes(0, 28) : bytes(0, 0)]);
  return Buffer.concat([header, transport, new Uint8Array(28 - transport.length)]);
}

/** The packets that reach the end of the input hook (not their answers, which have another TTL), with the marks that they have there, keyed by their identification. */
function sendAll(): ReadonlyMap<number, number> {
  namespace.nft(
    ['-f', '-'],
    `table ip probe {
       set came { typeof ip id; flags dynamic; size 65535; }; chain first { type filter hook prerouting priority -1000; ip ttl 77 add @came { ip id }; };
       set seen { typeof ip id . meta mark; flags dynamic; size 65535; }; chain last { type filter hook input priority 1000; ip ttl 77 add @seen { ip id . meta mark }; }; }
     flush set ip probe came; flush set ip probe seen`,
  );
  const fd = inNamespace(namespace.name, () => socket(2, 3, 255));
  try {
    probes.forEach((probe, at) => {
      setsockopt(fd, 1, 36 /* SO_MARK */, hostOrder(probe.mark), 4);
      const packet = onTheWire(probe, at + 1);
      expect(sendto(fd, packet, packet.length, 0, bytes(2, 0, 0, 0, 127, 0, 0, probe.destination, 0, 0, 0, 0, 0, 0, 0, 0), 16)).toBe(packet.length);
    });
  } finally {
    close(fd);
  }
  // On a busy machine some of them still wait for the kernel. What has come has passed the rules, too, when the next set is listed.
  while (
    (namespace
      .nft(['list', 'set', 'ip', 'probe', 'came'])
      .match(/elements = \{([^}]*)\}/)?.[1]
      ?.split(',').length ?? 0) < probes.length
  );
  const listed = namespace.nft(['list', 'set', 'ip', 'probe', 'seen']);
  namespace.nft(['delete', 'table', 'ip', 'probe']);
  return new Map([...listed.matchAll(/(\d+) \. 0x([0-9a-f]+)/g)].map(([, id, mark]) => [Number(id), Number.parseInt(mark ?? '', 16)]));
}

/** Only what both say of every packet is compared; so the kernel must be the one that is asked. */
function compare(wanted: NftTable): void {
  const table = openTable(wanted.family, wanted.name, namespace.name);
  try {
    want(table, wanted);
    table.apply();
    const seen = sendAll();
    const expected = probes.map((probe) => {
      const { verdict: given, mark } = evaluate(wanted, 'input', described(probe));
      return given === 'accept' ? { probe, mark } : { probe };
    });
    expect(probes.map((probe, at) => (seen.has(at + 1) ? { probe, mark: seen.get(at + 1) } : { probe }))).toEqual(expected);
  } finally {
    table.close();
    deleteTable(wanted.family, wanted.name, namespace.name);
  }
}

const addresses = fc.integer({ min: 0, max: 4 }).map((last) => addressBytes(`127.0.0.${last}`));
const ports = fc.integer({ min: 0, max: 7 }).map(port);
const protocols = fc.constantFrom(1, 6, 17).map((number) => bytes(number));
const names = fc.constantFrom('lo', 'l', 'eth0').map(interfaceName);
const marks = fc.constantFrom(0, 1, 4, 5).map((number) => hostOrder(number));
const negate = fc.boolean().map((given) => (given ? { negate: true } : {}));
const one = (field: Field, values: fc.Arbitrary<Uint8Array>): fc.Arbitrary<readonly Statement[]> =>
  fc.tuple(values, negate).map(([value, not]) => [{ is: 'match', field, value, ...not }]);
const withPorts = (statements: fc.Arbitrary<Statement>): fc.Arbitrary<readonly Statement[]> =>
  fc.tuple(fc.constantFrom(6, 17), statements).map(([number, statement]) => [match('meta l4proto', bytes(number)), statement]);
const sorted = (values: fc.Arbitrary<Uint8Array>): fc.Arbitrary<readonly [Uint8Array, Uint8Array]> =>
  fc.tuple(values, values).map(([left, right]) => (Buffer.compare(left, right) <= 0 ? [left, right] : [right, left]));

const matches: fc.Arbitrary<readonly Statement[]> = fc.oneof(
  one('ip saddr', addresses),
  one('ip daddr', addresses),
  one('meta l4proto', protocols),
  one('ip protocol', protocols),
  one('meta iifname', names),
  one('meta mark', marks),
  one('icmp type', fc.constantFrom(bytes(8), bytes(3))),
  one('fib daddr type', fc.constantFrom(hostOrder(1), hostOrder(2))),
  fc.constant<readonly Statement[]>([match('icmp type', bytes(3)), match('icmp code', bytes(1))]),
  withPorts(fc.tuple(ports, negate).map(([value, not]): Statement => ({ is: 'match', field: 'th dport', value, ...not }))),
  withPorts(fc.tuple(sorted(ports), negate).map(([[first, last], not]): Statement => ({ is: 'range', field: 'th sport', first, last, ...not }))),
  fc.tuple(sorted(addresses), negate).map(([[first, last], not]): readonly Statement[] => [{ is: 'range', field: 'ip saddr', first, last, ...not }]),
  fc.tuple(addresses, fc.constantFrom(24, 30, 31), negate).map(([address, length, not]): readonly Statement[] => {
    const mask = networkOrder(0xffffffff << (32 - length), 4);
    return [{ is: 'masked', field: 'ip saddr', mask, value: address.map((byte, at) => byte & (mask[at] ?? 0)), ...not }];
  }),
  fc.tuple(marks, negate).map(([bits, not]): readonly Statement[] => [{ is: 'masked', field: 'meta mark', mask: bits, value: hostOrder(0), ...not }]),
  fc.tuple(fc.constantFrom('l', 'lo', 'e'), negate).map(([beginning, not]): readonly Statement[] => {
    const value = interfaceName(beginning);
    return [{ is: 'masked', field: 'meta iifname', mask: value.map((byte) => (byte === 0 ? 0 : 255)), value, ...not }];
  }),
  negate.map((not): readonly Statement[] => [{ is: 'in-set', fields: ['ip saddr'], set: 'addresses', ...not }]),
  negate.map((not): readonly Statement[] => [{ is: 'in-set', fields: ['ip daddr'], set: 'nets', ...not }]),
  withPorts(fc.constant<Statement>({ is: 'in-set', fields: ['ip saddr', 'meta l4proto', 'th dport'], set: 'named-ports', negate: true })),
  fc.constant<readonly Statement[]>([{ is: 'in-set', fields: ['ip saddr', 'meta l4proto', 'th dport'], set: 'named-ports' }]),
);

const ends = (later: readonly string[]): fc.Arbitrary<Statement> =>
  fc.constantFrom<Statement>(
    verdict({ verdict: 'accept' }),
    verdict({ verdict: 'drop' }),
    verdict({ verdict: 'return' }),
    verdict({ verdict: 'continue' }),
    { is: 'set-mark', of: 'packet', and: 0, xor: 4 },
    { is: 'set-mark', of: 'packet', and: 0xffff_fffe, xor: 8 },
    { is: 'set-mark', of: 'packet', and: 0xffff_ffff, xor: 1 },
    ...later.flatMap((chain): Statement[] => [verdict({ verdict: 'jump', chain }), verdict({ verdict: 'goto', chain })]),
    ...(later.length === 0
      ? []
      : ([
          { is: 'verdict-map', fields: ['ip saddr'], map: 'by-address' },
          { is: 'verdict-map', fields: ['meta iifname'], via: 'numbers', map: 'by-number' },
          { is: 'verdict-map', fields: ['ip daddr'], via: 'address-numbers', map: 'by-number' },
        ] as const)),
  );

const rules = (later: readonly string[]): fc.Arbitrary<readonly NftRule[]> =>
  fc.array(
    fc.tuple(fc.array(matches, { maxLength: 2 }), ends(later)).map(([found, end]): NftRule => ({ statements: [...found.flat(), end] })),
    { minLength: 1, maxLength: 4 },
  );

const verdicts = fc.constantFrom<Verdict>({ verdict: 'accept' }, { verdict: 'drop' }, { verdict: 'jump', chain: 'last' }, { verdict: 'goto', chain: 'last' });
const filled = (set: NftSet, elements: fc.Arbitrary<readonly NftElement[]>): fc.Arbitrary<{ readonly set: NftSet; readonly elements: readonly NftElement[] }> =>
  elements.map((list) => ({ set, elements: [...new Map(list.map((element) => [Buffer.from(element.key).toString('hex'), element])).values()] }));
const list = <T>(some: fc.Arbitrary<T>): fc.Arbitrary<readonly T[]> => fc.array(some, { maxLength: 4 });

const tables: fc.Arbitrary<NftTable> = fc
  .tuple(
    rules(['middle', 'last']),
    rules(['last']),
    rules([]),
    fc.constantFrom('accept' as const, 'drop' as const),
    fc.tuple(
      filled({ name: 'addresses', key: ['ipv4_addr'] }, list(addresses.map((key) => ({ key })))),
      filled(
        { name: 'nets', key: ['ipv4_addr'], interval: true },
        sorted(addresses).map(([key, keyEnd]) => [{ key, keyEnd }]),
      ),
      filled(
        { name: 'named-ports', key: ['ipv4_addr', 'inet_proto', 'inet_service'] },
        list(fc.tuple(addresses, fc.constantFrom(bytes(6), bytes(17)), ports).map((parts) => ({ key: Buffer.concat(parts) }))),
      ),
      filled({ name: 'by-address', key: ['ipv4_addr'], data: 'verdict' }, list(fc.tuple(addresses, verdicts).map(([key, given]) => ({ key, verdict: given })))),
      filled({ name: 'by-number', key: ['mark'], data: 'verdict' }, list(fc.tuple(marks, verdicts).map(([key, given]) => ({ key, verdict: given })))),
      filled({ name: 'numbers', key: ['ifname'], data: 'mark' }, list(fc.tuple(names, marks).map(([key, data]) => ({ key, data })))),
      filled({ name: 'address-numbers', key: ['ipv4_addr'], data: 'mark' }, list(fc.tuple(addresses, marks).map(([key, data]) => ({ key, data })))),
    ),
  )
  .map(([first, middle, last, policy, sets]) => {
    const base: NftChain = { name: 'base', hook: { type: 'filter', hook: 'input', priority: 0, policy }, rules: first };
    return tableOf('inet', 'packets', [base, { name: 'middle', rules: middle }, { name: 'last', rules: last }], sets);
  });

test('the fake lets through exactly the packets that the kernel lets through, with the same marks', () => {
  fc.assert(fc.property(tables, compare), { numRuns: 80 });
});
