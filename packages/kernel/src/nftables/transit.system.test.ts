// Tests packets in flight while transactions are committed: what is allowed before and after always passes, what is denied never does.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { addressBytes } from '@calico-openstack/addresses';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NftChain, NftRule, NftSet } from './objects.ts';
import { type OpenTable, openTable } from './table.netlink.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';
import type { Pump } from './testing/pump.ts';
import { match, port, protocol, rule, verdict } from './testing/values.ts';
import { hostOrder, interfaceName } from './types.ts';

const [allowed, denied] = [7000, 7999];
const swaps = 1000;

let namespace: TestNamespace;
let table: OpenTable;
beforeEach(() => {
  namespace = makeNamespace();
  namespace.ip('link', 'set', 'lo', 'up');
  table = openTable('inet', 'policy', namespace.name);
});
afterEach(() => {
  table.close();
  namespace.remove();
});

const numbers: NftSet = { name: 'numbers', key: ['ifname'], data: 'mark' };
const classes: NftSet = { name: 'classes', key: ['mark'], data: 'verdict' };
/** Rules that match nothing and keep a packet in flight for a while. */
const detour = (mark: number): NftRule[] => Array.from({ length: 60 }, (_, at) => rule(match('meta mark', hostOrder(mark + at)), verdict({ verdict: 'drop' })));

const base: NftChain = {
  name: 'base',
  hook: { type: 'filter', hook: 'input', priority: 0, policy: 'drop' },
  rules: [...detour(1000), rule({ is: 'verdict-map', fields: ['meta iifname'], via: 'numbers', map: 'classes' })],
};

/** The same policy under changing names. A packet that finds the denied ranges or the tier's chain empty passes wrongly; a packet that finds anything else empty is lost. */
const policyOf = (at: number): { readonly sets: readonly NftSet[]; readonly chains: readonly NftChain[] } => ({
  sets: [
    { name: `sources-${at}`, key: ['ipv4_addr'] },
    { name: `nets-${at}`, key: ['ipv4_addr'], interval: true },
  ],
  chains: [
    {
      name: `tier-${at}`,
      rules: [
        ...detour(3000),
        rule(protocol(17), match('th dport', port(denied)), { is: 'in-set', fields: ['ip saddr'], set: `nets-${at}` }, verdict({ verdict: 'drop' })),
        rule(
          protocol(17),
          match('th dport', port(allowed)),
          { is: 'in-set', fields: ['ip saddr'], set: `sources-${at}`, negate: true },
          verdict({ verdict: 'drop' }),
        ),
      ],
    },
    { name: `class-${at}`, rules: [...detour(2000), rule(verdict({ verdict: 'jump', chain: `tier-${at}` })), rule(verdict({ verdict: 'accept' }))] },
  ],
});

function come(at: number): void {
  const { sets, chains } = policyOf(at);
  for (const set of sets) table.setSet(set, [{ key: addressBytes('127.0.0.1') }]);
  for (const chain of chains) table.setChain(chain);
  table.addElements('classes', [{ key: hostOrder(at), verdict: { verdict: 'goto', chain: `class-${at}` } }]);
  table.addElements('numbers', [{ key: interfaceName('lo'), data: hostOrder(at) }]);
}

function go(at: number): void {
  const { sets, chains } = policyOf(at);
  for (const { name } of sets) table.removeSet(name);
  for (const { name } of chains) table.removeChain(name);
  table.removeElements('classes', [{ key: hostOrder(at), verdict: { verdict: 'goto', chain: `class-${at}` } }]);
}

/** Counts the datagrams to a port, before or behind the policy. */
function counted(where: 'before' | 'behind', to: number): number {
  const found = new RegExp(`udp dport ${to} counter packets (\\d+)`).exec(namespace.nft(['list', 'chain', 'ip', 'count', where]));
  return Number(found?.[1]);
}

async function whilePumping(act: () => void): Promise<void> {
  const pump: Pump = { namespace: namespace.name, ports: [allowed, denied], sent: new Int32Array(new SharedArrayBuffer(8)) };
  const worker = new Worker(new URL('./testing/pump.ts', import.meta.url), { workerData: pump });
  const done = once(worker, 'message'); // rejects when the worker fails
  try {
    while (Atomics.load(pump.sent, 0) < 1000) await Promise.race([new Promise(setImmediate), done]);
    act();
  } finally {
    Atomics.store(pump.sent, 1, 1);
    await done;
    await worker.terminate();
  }
}

test('replacing a policy by an equal one, with all its chains and sets, loses no allowed packet and lets no denied one through', async () => {
  const rules = [allowed, denied].map((to) => `udp dport ${to} counter`);
  namespace.nft(
    ['-f', '-'],
    `table ip count {
       chain before { type filter hook input priority -1000; ${rules.join('; ')}; }
       chain behind { type filter hook input priority 1000; ${rules.map((text) => `${text} drop`).join('; ')}; }
     }`,
  );
  table.setSet(numbers, []);
  table.setSet(classes, []);
  table.setChain(base);
  come(1);
  table.apply();
  await whilePumping(() => {
    for (let at = 1; at < swaps; at++) {
      come(at + 1);
      go(at);
      table.apply();
    }
  });
  let [before, behind] = [counted('before', allowed), counted('behind', allowed)];
  // On a busy machine some of them still wait for the kernel.
  while (counted('before', allowed) !== before) [before, behind] = [counted('before', allowed), counted('behind', allowed)];
  expect(before).toBeGreaterThan(1000);
  expect({ lost: before - behind, passed: counted('behind', denied) }).toEqual({ lost: 0, passed: 0 });
});
