// Tests what only the kernel can show: nft as another program, large numbers, and concurrent changes.
import { addressBytes } from '@calico-openstack/addresses';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NftChain, NftElement, NftSet } from './objects.ts';
import { createTableProgrammer } from './programmer.ts';
import { deleteTable, type OpenTable, openTable, openTableKernel } from './table.netlink.ts';
import { NftablesError } from './table.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';
import { match, rule, verdict } from './testing/values.ts';
import { hostOrder, interfaceName, networkOrder } from './types.ts';

let namespace: TestNamespace;
const opened: { close(): void }[] = [];
beforeEach(() => {
  namespace = makeNamespace();
});
afterEach(() => {
  for (const some of opened.splice(0)) some.close();
  namespace.remove();
});

function open(name = 'ours'): OpenTable {
  const table = openTable('inet', name, namespace.name);
  opened.push(table);
  return table;
}

const accept = verdict({ verdict: 'accept' });
const addresses: NftSet = { name: 'addresses', key: ['ipv4_addr'] };
const dispatch: NftSet = { name: 'dispatch', key: ['ifname'], data: 'verdict' };
const chains: readonly NftChain[] = [
  {
    name: 'base',
    hook: { type: 'filter', hook: 'forward', priority: 0, policy: 'drop' },
    rules: [rule({ is: 'verdict-map', fields: ['meta iifname'], map: 'dispatch' })],
  },
  { name: 'called', rules: [{ statements: [match('ip saddr', addressBytes('10.0.0.1')), { is: 'counter' }, accept], comment: 'a comment' }] },
];

function want(table: OpenTable): void {
  table.setSet(addresses, [{ key: addressBytes('10.0.0.1') }]);
  table.setSet(dispatch, [{ key: interfaceName('tap0'), verdict: { verdict: 'goto', chain: 'called' } }]);
  for (const chain of chains) table.setChain(chain);
}

const listing = `table inet ours {
	set addresses {
		type ipv4_addr
		elements = { 10.0.0.1 }
	}

	map dispatch {
		type ifname : verdict
		elements = { "tap0" : goto called }
	}

	chain base {
		type filter hook forward priority filter; policy drop;
		iifname vmap @dispatch
	}

	chain called {
		ip saddr 10.0.0.1 counter packets 0 bytes 0 accept comment "a comment"
	}
}
`;
const list = (...options: readonly string[]): string => namespace.nft([...options, 'list', 'table', 'inet', 'ours']);

test('a restart with the same wanted content changes no handle', () => {
  const before = open();
  want(before);
  before.apply();
  expect(list()).toBe(listing);
  const handles = list('-a');
  const after = open();
  want(after);
  expect(after.apply()).toMatchObject({ operations: 0, bytes: 0, resynced: true });
  expect(list('-a')).toBe(handles);
});

test.each([
  ['an expression that we never write', 'add rule inet ours called tcp flags syn drop'],
  ['a rule with a set of its own', 'add rule inet ours called tcp dport { 22, 80 } drop'],
  ['a rule whose match is another', 'insert rule inet ours called ip saddr 10.0.0.2 counter accept comment "a comment"'],
  [
    'a chain of its own kind',
    'add chain inet ours mine { type nat hook postrouting priority 100; comment "mine"; }; add rule inet ours mine masquerade fully-random',
  ],
  ['a set with timeouts', 'add set inet ours mine { type ipv4_addr; timeout 1h; }; add element inet ours mine { 1.2.3.4 timeout 10m }'],
  ['a set of a type that we do not know', 'add set inet ours mine { typeof tcp option maxseg size; }'],
  ['a set with ranges in concatenations', 'add set inet ours mine { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90 } }'],
  ['a set that rules fill', 'add set inet ours mine { type ipv4_addr; size 99; flags dynamic; }; add rule inet ours called add @mine { ip saddr }'],
  ['a counter with a name', 'add counter inet ours mine; add rule inet ours called counter name mine'],
  ['a map of counters', 'add counter inet ours mine; add map inet ours minemap { type ipv4_addr : counter; elements = { 1.2.3.4 : "mine" } }'],
  ['a quota and a limit with names', 'add quota inet ours mine over 10 mbytes; add limit inet ours mine2 rate 1/second'],
  ['an element with a comment', 'add element inet ours addresses { 10.0.0.7 comment "seven" }'],
  ['the table switched off', 'add table inet ours { flags dormant; }'],
])('what nft put into the table goes, and the rest stays: %s', (_what, text) => {
  const table = open();
  want(table);
  table.apply();
  const handles = list('-a');
  namespace.nft(['-f', '-'], text);
  expect(list()).not.toBe(listing);
  table.distrust();
  table.apply();
  expect(list()).toBe(listing);
  const untouched = (text_: string): string[] => text_.split('\n').filter((line) => /map dispatch|set addresses|chain (base|called)|vmap/.test(line));
  expect(untouched(list('-a'))).toEqual(untouched(handles));
  expect(table.apply().operations).toBe(0);
});

const number = (from: number): Uint8Array => networkOrder(from, 4);

test('120 000 elements and 20 000 ranges are added in one transaction, read back, and deleted again', async () => {
  const table = open();
  const many = Array.from({ length: 120_000 }, (_, at): NftElement => ({ key: number(0x0a000000 + at) }));
  const ranges = Array.from({ length: 20_000 }, (_, at): NftElement => ({ key: number(0x0a000000 + at * 16), keyEnd: number(0x0a000000 + at * 16 + 7) }));
  const nets: NftSet = { name: 'nets', key: ['ipv4_addr'], interval: true };
  table.setSet(addresses, many);
  table.setSet(nets, ranges);
  expect(table.apply().operations).toBe(140_002 + 1);
  const others = openTableKernel('inet', 'ours', namespace.name);
  opened.push(others);
  // After a commit of many elements the kernel makes the set's hash table larger. A dump meanwhile may lack some of them.
  let held = others.read();
  for (let attempt = 1; attempt < 50 && held.sets.get('addresses')?.elements.size !== 120_000; attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    held = others.read();
  }
  expect(held.sets.get('addresses')?.elements.size).toBe(120_000);
  expect(held.sets.get('nets')?.elements.size).toBe(20_000);
  table.distrust();
  expect(table.apply().operations).toBe(0);
  table.setSet(addresses, []);
  table.setSet(nets, []);
  expect(table.apply().operations).toBe(140_000);
  expect(others.read().sets.get('addresses')?.elements.size).toBe(0);
});

test.each([0, 1_700, 59_999])('of 60 000 elements, the one that the kernel refuses is named: number %i', (which) => {
  const table = open();
  want(table);
  const element = (at: number): NftElement => ({ key: interfaceName(`tap-${at}`), verdict: { verdict: 'goto', chain: at === which ? 'nowhere' : 'called' } });
  table.addElements(
    'dispatch',
    Array.from({ length: 60_000 }, (_, at) => element(at)),
  );
  expect(() => table.apply()).toThrow(`add element inet ours dispatch { "tap-${which}" : goto nowhere }: ENOENT`);
  expect(() => list()).toThrow('No such file or directory');
});

test('a refused range is named, too', () => {
  const table = open();
  const nets: NftSet = { name: 'nets', key: ['ipv4_addr'], interval: true };
  const range = (first: number, last: number): NftElement => ({ key: number(first), keyEnd: number(last) });
  table.setSet(nets, [range(0xff000000, 0xffffffff), ...Array.from({ length: 3_000 }, (_, at) => range(at * 100, at * 100 + 50)), range(200_020, 200_070)]);
  expect(() => table.apply()).toThrow('add element inet ours nets { 0.3.13.84-0.3.13.134 }: EEXIST');
});

test('a change of the ruleset between reading and commit is noticed; endless changes do not block the commit', () => {
  const kernel = openTableKernel('inet', 'ours', namespace.name);
  opened.push(kernel);
  let readings = 0;
  let changes = 2;
  const disturbed = createTableProgrammer('inet', 'ours', {
    read() {
      const held = kernel.read();
      readings++;
      if (changes-- > 0) namespace.nft(['add', 'table', 'inet', `other-${readings}`]);
      return held;
    },
    commit: (operations, generation) => kernel.commit(operations, generation),
  });
  disturbed.setSet(addresses, []);
  expect(disturbed.apply()).toMatchObject({ operations: 2, resynced: true });
  expect(readings).toBe(3);
  changes = Number.POSITIVE_INFINITY;
  disturbed.setSet({ ...addresses, name: 'more' }, []);
  disturbed.distrust();
  expect(disturbed.apply().operations).toBe(1);
  expect(namespace.nft(['list', 'sets', 'inet'])).toContain('set more');
});

test('names may have the kernel’s full length of 255 bytes', () => {
  const table = open();
  table.setChain({ name: 'n'.repeat(255), rules: [rule(match('meta mark', hostOrder(1)), accept)] });
  table.apply();
  expect(list()).toContain(`chain ${'n'.repeat(255)} {`);
});

test('deleteTable deletes the table, and does nothing when there is none', () => {
  const table = open();
  want(table);
  table.apply();
  deleteTable('inet', 'ours', namespace.name);
  expect(() => list()).toThrow('No such file or directory');
  deleteTable('inet', 'ours', namespace.name);
  table.addElements('addresses', [{ key: addressBytes('10.0.0.2') }]);
  expect(() => table.apply()).toThrow(NftablesError);
  table.apply();
  expect(list()).toContain('10.0.0.1, 10.0.0.2');
});

test('whether a table exists, and the elements of one set, can be read without reading the whole table', () => {
  const table = open();
  expect([table.exists(), [...table.elementsOf(addresses)]]).toEqual([false, []]);
  want(table);
  table.apply();
  expect([open().exists(), [...open().elementsOf(addresses)]]).toEqual([true, [{ key: addressBytes('10.0.0.1') }]]);
  expect([...open().elementsOf({ name: 'no-such-set', key: ['ipv4_addr'] })]).toEqual([]);
  namespace.nft(['delete', 'table', 'inet', 'ours']);
  expect(table.exists()).toBe(false);
});
