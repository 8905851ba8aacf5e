// Tests what evaluate.system.test.ts cannot show with the kernel's packets.
import { addressBytes } from '@calico-openstack/addresses';
import { expect, test } from 'vitest';
import { evaluate } from './evaluate.ts';
import type { Field, Hook, NftChain, NftElement, NftSet, Statement } from './objects.ts';
import { bytes, linkLocal, match, port, protocol, rule, tableOf, verdict } from './testing/values.ts';
import { connectionState, hostOrder, interfaceName } from './types.ts';

const base = (rules: readonly (readonly Statement[])[], hook: Partial<Hook> = {}, name = 'base'): NftChain => ({
  name,
  hook: { type: 'filter', hook: 'forward', priority: 0, policy: 'accept', ...hook },
  rules: rules.map((statements) => rule(...statements)),
});
const packet = (...fields: readonly (readonly [Field, Uint8Array])[]): ReadonlyMap<Field, Uint8Array> => new Map(fields);
const udp = packet(['ip saddr', addressBytes('10.0.0.1')], ['meta l4proto', bytes(17)], ['th dport', port(53)]);
const drop = verdict({ verdict: 'drop' });
const accept = verdict({ verdict: 'accept' });
const through = (
  chains: readonly NftChain[],
  some = udp,
  traffic = {},
  sets: readonly { readonly set: NftSet; readonly elements: readonly NftElement[] }[] = [],
) => evaluate(tableOf('inet', 't', chains, sets), 'forward', some, traffic);

test('chains of one hook decide in the order of their priority: a drop is final, an accept ends its chain only', () => {
  const first = base([[accept]], { priority: -10 }, 'first');
  const second = base([[match('ip saddr', addressBytes('10.0.0.1')), drop]], { priority: 10 }, 'second');
  expect(through([second, first])).toMatchObject({ verdict: 'drop', by: 'second: ip saddr 10.0.0.1 drop' });
  expect(through([base([[accept]], { priority: 20 }, 'last'), second])).toMatchObject({ verdict: 'drop' });
  expect(through([first])).toMatchObject({ verdict: 'accept', by: 'first: accept' });
  expect(through([base([], { hook: 'input' })])).toMatchObject({ verdict: 'accept', by: 'no chain' });
});

test('the policy decides when no rule does', () => {
  expect(through([base([], { policy: 'drop' })])).toMatchObject({ verdict: 'drop', by: 'policy of base' });
  expect(through([base([[verdict({ verdict: 'return' })], [accept]], { policy: 'drop' })])).toMatchObject({ verdict: 'drop' });
});

test('a field that a packet lacks is not matched, not even by negation', () => {
  expect(through([base([[match('ip6 saddr', linkLocal, true), drop]])]).verdict).toBe('accept');
  expect(through([base([[match('fib saddr . iif oif', hostOrder(0)), drop]])]).verdict).toBe('accept');
  expect(through([base([[match('meta oifname', interfaceName('lo'), true), drop]])]).verdict).toBe('drop');
});

test('protocols are derived from addresses and ICMP fields', () => {
  expect(through([base([[match('meta nfproto', bytes(2)), drop]])]).verdict).toBe('drop');
  expect(through([base([[match('ip protocol', bytes(17)), drop]])]).verdict).toBe('drop');
  expect(through([base([[protocol(58), drop]])], packet(['icmpv6 type', bytes(135)])).verdict).toBe('drop');
});

test('connection states are bits', () => {
  const established: Statement = {
    is: 'masked',
    field: 'ct state',
    mask: hostOrder(connectionState.established | connectionState.related),
    value: hostOrder(0),
    negate: true,
  };
  const state = (bit: number): ReadonlyMap<Field, Uint8Array> => packet(['ct state', hostOrder(bit)]);
  expect(through([base([[established, accept], [drop]])], state(connectionState.related)).verdict).toBe('accept');
  expect(through([base([[established, accept], [drop]])], state(connectionState.new)).verdict).toBe('drop');
});

test('limits apply to traffic that is described as exceeding them', () => {
  const limit: Statement = { is: 'limit', rate: 1, unit: 'second', burst: 1 };
  expect(through([base([[limit, accept], [drop]])]).verdict).toBe('accept');
  expect(through([base([[limit, accept], [drop]])], udp, { overRate: true }).verdict).toBe('drop');
  expect(through([base([[{ ...limit, over: true }, drop]])], udp, { overRate: true }).verdict).toBe('drop');
  expect(through([base([[{ is: 'connections-over', count: 5 }, drop]])], udp, { connections: 5 }).verdict).toBe('accept');
  expect(through([base([[{ is: 'connections-over', count: 5 }, drop]])], udp, { connections: 6 }).verdict).toBe('drop');
});

test('rejections, translations, marks and logs are part of the outcome', () => {
  expect(through([base([[{ is: 'reject', with: 'admin-prohibited' }]])])).toMatchObject({ verdict: 'drop', rejected: 'admin-prohibited' });
  expect(through([base([[{ is: 'reject', with: 'tcp-reset' }]])])).toMatchObject({ verdict: 'accept' });
  expect(through([base([[{ is: 'log', prefix: 'x' }], [{ is: 'notrack' }]])])).toMatchObject({ logged: ['x'], tracked: false });
  expect(
    through([
      base([
        [{ is: 'set-mark', of: 'connection', and: 0, xor: 3 }],
        [match('ct mark', hostOrder(3)), { is: 'set-mark', of: 'packet', and: 0xff, xor: 0x80000000 }],
      ]),
    ]),
  ).toMatchObject({
    connectionMark: 3,
    mark: 0x80000000,
  });
  const nat = base([[protocol(17), { is: 'nat', kind: 'dnat', family: 4, address: addressBytes('1.2.3.4'), port: 8 }], [drop]], { type: 'nat' });
  expect(through([nat])).toMatchObject({ verdict: 'accept', translated: { kind: 'dnat', address: addressBytes('1.2.3.4'), port: 8 } });
  expect(through([base([[{ is: 'masquerade' }]], { type: 'nat' })])).toMatchObject({ translated: { kind: 'masquerade' } });
});

test('a map of addresses translates the addresses in it', () => {
  const floating: NftSet = { name: 'floating', key: ['ipv4_addr'], data: 'ipv4_addr' };
  const chain = base([[{ is: 'nat-map', kind: 'snat', family: 4, fields: ['ip saddr'], map: 'floating' }], [drop]], { type: 'nat' });
  const elements = [{ key: addressBytes('10.0.0.1'), data: addressBytes('172.16.0.1') }];
  expect(through([chain], udp, {}, [{ set: floating, elements }])).toMatchObject({
    verdict: 'accept',
    translated: { kind: 'snat', address: addressBytes('172.16.0.1') },
  });
  expect(through([chain], udp, {}, [{ set: floating, elements: [] }])).toMatchObject({ verdict: 'drop' });
});

test('an element with a limit of its own is found by traffic that is described as exceeding it', () => {
  const loud: NftSet = { name: 'loud', key: ['ipv4_addr'], limit: { rate: 1, unit: 'second', burst: 1 } };
  const chain = base([[{ is: 'in-set', fields: ['ip saddr'], set: 'loud' }, drop]]);
  const elements = [{ key: addressBytes('10.0.0.1') }];
  expect(through([chain], udp, {}, [{ set: loud, elements }]).verdict).toBe('accept');
  expect(through([chain], udp, { overRate: true }, [{ set: loud, elements }]).verdict).toBe('drop');
  expect(through([chain], udp, { overRate: true }, [{ set: loud, elements: [] }]).verdict).toBe('accept');
});
