// Measures the cost of nftables through this driver, in a network namespace of its own. As root: node packages/kernel/bench/nftables.ts
import { execFileSync } from 'node:child_process';
import type { NftElement, Statement } from '../src/nftables/objects.ts';
import { deleteTable, type OpenTable, openTable } from '../src/nftables/table.netlink.ts';
import { hostOrder, interfaceName, networkOrder } from '../src/nftables/types.ts';

const namespace = `nft-bench-${process.pid}`;
const address = (number: number): Uint8Array => networkOrder(number, 4);

function timed(what: string, repetitions: number, act: (repetition: number) => void): void {
  const times = Array.from({ length: repetitions }, (_, repetition) => {
    const startedMs = performance.now();
    act(repetition);
    return performance.now() - startedMs;
  }).sort((left, right) => left - right);
  const at = (share: number): string => (times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0).toFixed(3).padStart(9);
  process.stdout.write(`  ${what.padEnd(34)}${at(0.5)} ms p50${at(0.95)} ms p95\n`);
}

function inTable(run: (table: OpenTable) => void): void {
  const table = openTable('inet', 'bench-table', namespace);
  try {
    run(table);
  } finally {
    table.close();
    deleteTable('inet', 'bench-table', namespace);
  }
}

const tcpTo = (port: number, ...more: readonly Statement[]): readonly Statement[] => [
  { is: 'match', field: 'meta l4proto', value: new Uint8Array([6]) },
  ...more,
  { is: 'match', field: 'th dport', value: networkOrder(port, 2) },
  { is: 'verdict', verdict: 'accept' },
];
const ten = (make: (at: number) => readonly Statement[]): { readonly statements: readonly Statement[] }[] =>
  Array.from({ length: 10 }, (_, at) => ({ statements: make(at) }));

/** Interfaces with `classes` shared chains of 10 jumps to 50 policy chains of 10 rules. With `via`, interfaces have a class's number, and only classes have verdicts. */
function endpoints(interfaces: number, classes: number, via: boolean): void {
  inTable((table) => {
    for (let set = 0; set < 20; set++)
      table.setSet(
        { name: `set-${set}`, key: ['ipv4_addr'] },
        Array.from({ length: 50 }, (_, at) => ({ key: address(0x0a000000 + set * 256 + at) })),
      );
    for (let policy = 0; policy < 50; policy++) {
      table.setChain({
        name: `policy-${policy}`,
        rules: ten((at) => tcpTo(1000 + at, { is: 'in-set', fields: ['ip saddr'], set: `set-${(policy + at) % 20}` })),
      });
    }
    for (let number = 0; number < classes; number++) {
      table.setChain({ name: `class-${number}`, rules: ten((at) => [{ is: 'verdict', verdict: 'jump', chain: `policy-${(number * 7 + at) % 50}` }]) });
    }
    const element = (at: number): NftElement => {
      const key = interfaceName(`tap${at}`);
      return via ? { key, data: hostOrder(at % classes) } : { key, verdict: { verdict: 'goto', chain: `class-${at % classes}` } };
    };
    const all = Array.from({ length: interfaces }, (_, at) => element(at));
    table.setSet({ name: 'dispatch', key: ['ifname'], data: via ? 'mark' : 'verdict' }, all);
    const byClass = Array.from({ length: classes }, (_, at): NftElement => ({ key: hostOrder(at), verdict: { verdict: 'goto', chain: `class-${at}` } }));
    if (via) table.setSet({ name: 'classes', key: ['mark'], data: 'verdict' }, byClass);
    const dispatch: Statement = via
      ? { is: 'verdict-map', fields: ['meta iifname'], via: 'dispatch', map: 'classes' }
      : { is: 'verdict-map', fields: ['meta iifname'], map: 'dispatch' };
    for (const hook of ['forward', 'input'] as const) {
      table.setChain({ name: `base-${hook}`, hook: { type: 'filter', hook, priority: 0, policy: 'drop' }, rules: [{ statements: [dispatch] }] });
    }
    process.stdout.write(`${interfaces} interfaces in ${classes} classes, ${via ? 'interface → number → verdict' : 'interface → verdict'}\n`);
    timed('start of day, one transaction', 1, () => table.apply());
    timed('an interface comes', 50, (at) => {
      table.addElements('dispatch', [element(100_000 + at)]);
      table.apply();
    });
    timed('an interface goes', 50, (at) => {
      table.removeElements('dispatch', [element(100_000 + at)]);
      table.apply();
    });
    timed('an address comes', 50, (at) => {
      table.addElements('set-1', [{ key: address(0x63000000 + at) }]);
      table.apply();
    });
    timed('10 rules of a shared chain replaced', 20, (at) => {
      table.setChain({ name: 'policy-3', rules: ten((rule) => tcpTo(2000 + at + rule)) });
      table.apply();
    });
    timed('a class comes', 20, (at) => {
      table.setChain({ name: `class-new-${at}`, rules: ten((rule) => [{ is: 'verdict', verdict: 'jump', chain: `policy-${rule}` }]) });
      table.apply();
    });
    timed('read back and compared', 3, () => {
      table.distrust();
      table.apply();
    });
  });
}

function sets(size: number, interval: boolean): void {
  inTable((table) => {
    const element = (at: number): NftElement =>
      interval ? { key: address(0x0a000000 + at * 16), keyEnd: address(0x0a000007 + at * 16) } : { key: address(0x0a000000 + at) };
    table.setSet(
      { name: 'big', key: ['ipv4_addr'], ...(interval ? { interval } : {}) },
      Array.from({ length: size }, (_, at) => element(at)),
    );
    process.stdout.write(`a set of ${size} ${interval ? 'ranges' : 'addresses'}\n`);
    timed('load, one transaction', 1, () => table.apply());
    timed('one comes', 30, (at) => {
      table.addElements('big', [element(size + at)]);
      table.apply();
    });
    timed('one goes', 30, (at) => {
      table.removeElements('big', [element(size + at)]);
      table.apply();
    });
    timed('100 come', 10, (at) => {
      table.addElements(
        'big',
        Array.from({ length: 100 }, (_, more) => element(size + at * 100 + more)),
      );
      table.apply();
    });
    timed('read back and compared', 1, () => {
      table.distrust();
      table.apply();
    });
  });
}

execFileSync('ip', ['netns', 'add', namespace]);
try {
  for (const via of [false, true]) {
    for (const interfaces of [200, 2000]) endpoints(interfaces, 50, via);
    endpoints(2000, 500, via);
  }
  for (const size of [10_000, 100_000]) sets(size, false);
  for (const size of [1000, 10_000, 100_000]) sets(size, true);
} finally {
  execFileSync('ip', ['netns', 'del', namespace]);
}
