// Finds the kernel's limits on the size of a rule, and checks that ours are not above them.
import { addressBytes } from '@calico-openstack/addresses';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NftChain, NftSet, Statement } from './objects.ts';
import { encodeRule } from './rules.ts';
import { type OpenTableKernel, openTableKernel } from './table.netlink.ts';
import { NftablesError } from './table.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';
import { bytes, linkLocal, match } from './testing/values.ts';
import { interfaceName } from './types.ts';
import { checkedRules } from './validate.ts';

let namespace: TestNamespace;
let kernel: OpenTableKernel;
const addresses: NftSet = { name: 'addresses', key: ['ipv4_addr'] };
beforeAll(() => {
  namespace = makeNamespace();
  kernel = openTableKernel('inet', 'limits', namespace.name);
  kernel.commit([{ verb: 'add table' }, { verb: 'add set', set: addresses }]);
});
afterAll(() => {
  kernel.close();
  namespace.remove();
});

const chainOf = (statement: Statement, times: number): NftChain => ({ name: 'chain', rules: [{ statements: Array.from({ length: times }, () => statement) }] });

/** The code with which a rule is refused; undefined when it is accepted. */
function refused(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof NftablesError) return error.code;
    throw error;
  }
  return undefined;
}

function askKernel(chain: NftChain): string | undefined {
  const encoded = chain.rules.map((rule) => encodeRule('inet', rule));
  const code = refused(() =>
    kernel.commit([
      { verb: 'add chain', chain },
      { verb: 'add rules', chain, encoded },
    ]),
  );
  if (code === undefined)
    kernel.commit([
      { verb: 'flush chain', chain: chain.name },
      { verb: 'delete chain', chain: chain.name },
    ]);
  return code;
}

/** How often a rule may have the statement, and the code with which one more is refused. */
function most(statement: Statement, ask: (chain: NftChain) => string | undefined): readonly [times: number, code: string] {
  for (let times = 1; ; times++) {
    const code = ask(chainOf(statement, times));
    if (code !== undefined) return [times - 1, code];
  }
}
const ours = (chain: NftChain): string | undefined => refused(() => checkedRules('inet', chain));

const prefix = bytes(255, 255, 255, 255, 255, 255, 255, 255, ...new Uint8Array(8));
const statements: readonly (readonly [string, Statement])[] = [
  ['IPv6 prefix', { is: 'masked', field: 'ip6 saddr', mask: prefix, value: linkLocal.map((byte, at) => byte & (prefix[at] ?? 0)) }],
  ['IPv4 prefix', { is: 'masked', field: 'ip saddr', mask: addressBytes('255.255.0.0'), value: addressBytes('10.1.0.0') }],
  ['IPv6 address', match('ip6 saddr', linkLocal)],
  ['IPv6 range', { is: 'range', field: 'ip6 saddr', first: linkLocal, last: linkLocal }],
  ['IPv4 address', match('ip saddr', addressBytes('10.0.0.1'), true)],
  ['interface', match('meta iifname', interfaceName('tap0'))],
  ['set', { is: 'in-set', fields: ['ip saddr'], set: 'addresses' }],
  ['limit', { is: 'limit', rate: 5, unit: 'second', burst: 5 }],
  ['log', { is: 'log', prefix: 'a prefix' }],
  ['connections', { is: 'connections-over', count: 5 }],
  ['mark', { is: 'set-mark', of: 'packet', and: 0xff, xor: 1 }],
  ['connection mark', { is: 'set-mark', of: 'connection', and: 0, xor: 1 }],
  ['route', match('fib daddr type', bytes(0, 0, 0, 0))],
  ['notrack', { is: 'notrack' }],
];

test('a rule may have 128 expressions', () => {
  expect(most({ is: 'counter' }, askKernel)).toEqual([128, 'EINVAL']);
  expect(most({ is: 'counter' }, ours)).toEqual([128, 'INVALID']);
});

test('they must have less than 4096 bytes: as in Linux 6.18, in a rule of limits with 56 bytes each', () => {
  const [times, code] = most({ is: 'limit', rate: 5, unit: 'second', burst: 5 }, askKernel);
  expect(code).toBe('EFBIG');
  expect(4096 / (times + 1)).toBeLessThanOrEqual(64);
});

test.each(statements)('the kernel accepts what is not refused when it is set, and not much more: %s', (_what, statement) => {
  const [times, code] = most(statement, ours);
  expect(code).toBe('INVALID');
  expect(askKernel(chainOf(statement, times))).toBe(undefined);
  const [inKernel, why] = most(statement, askKernel);
  expect(['EFBIG', 'EINVAL']).toContain(why);
  expect(inKernel).toBeLessThanOrEqual(2 * times);
});
