// Measures the BIRD agent's work in large clouds: from etcd's values to BIRD's configuration, for all Nodes and for one that has changed; and how long BIRD takes to read it.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type PrintedConfiguration, printConfiguration } from '@calico-openstack/bird-agent/bird/print';
import { plan } from '@calico-openstack/bird-agent/plan/plan';
import { createResourceStore, type ResourceStore } from '@calico-openstack/bird-agent/store';
import { bytes } from '@calico-openstack/bird-agent/testing/bytes';
import { host, lookups } from '@calico-openstack/bird-agent/testing/facts';
import { resourceKey } from '@calico-openstack/datamodel';
import { type Bench, type Measurement, percentiles } from './bench.ts';

const own = 'host-1';
const peers = 500;
const rounds = { all: 5, changes: 100, reads: 5 };

type Change = Parameters<ResourceStore['apply']>[0][number];

/** A Node's value. `life` counts its changes: each gives it another address, as when a host is rebuilt. */
const node = (number: number, life = 0): Change => {
  const [high, low] = [number >> 8, number & 255];
  const spec = { bgp: { ipv4Address: `10.${life & 127}.${high}.${low}/9`, ipv6Address: `2001:db8::${life & 127}:${number.toString(16)}/64` } };
  return { key: resourceKey({ plural: 'nodes', name: `host-${number}` }), value: bytes(spec), modRevision: 1 };
};
const peer = (number: number, keepaliveTime = '30s'): Change => {
  const spec = { peerIP: `172.16.${number >> 8}.${number & 255}`, asNumber: 65000, keepaliveTime };
  return { key: resourceKey({ plural: 'bgppeers', name: `peer-${number}` }), value: bytes(spec), modRevision: 1 };
};

/** Makes `count` values, from the numbers 1, 2, … */
const many = <T>(count: number, make: (number: number) => T): readonly T[] => Array.from({ length: count }, (_, index) => make(index + 1));

type Step = { readonly planMs: number; readonly printMs: number; readonly printed: PrintedConfiguration };

/** What the agent does after a change: it reads the values, plans and prints. */
function step(store: ResourceStore, changes: readonly Change[]): Step {
  const startedMs = performance.now();
  store.apply(changes);
  const planned = plan(store.resources, host({ name: own }), lookups);
  const plannedMs = performance.now();
  if (!planned.ok) throw new Error(`no plan: ${JSON.stringify(planned.problems.at(-1))}`);
  const printed = printConfiguration(planned.configuration);
  return { planMs: plannedMs - startedMs, printMs: performance.now() - plannedMs, printed };
}

const openStore = (): ResourceStore =>
  createResourceStore({
    ownName: own,
    onFault: (error) => {
      throw error;
    },
  });

/** The p50 and p99 of reading, planning and printing, separately and together. */
const measured = (what: string, steps: readonly Step[], at: number, target?: number): readonly Measurement[] => [
  ...percentiles(
    `${what}: plan`,
    steps.map(({ planMs }) => planMs),
    at,
    target,
  ),
  ...percentiles(
    `${what}: text`,
    steps.map(({ printMs }) => printMs),
    at,
  ),
];

async function readMs(text: string): Promise<readonly number[]> {
  const directory = mkdtempSync(join(tmpdir(), 'bird-scale-'));
  try {
    const file = join(directory, 'bird.conf');
    writeFileSync(file, text, { mode: 0o600 });
    const times: number[] = [];
    for (let round = 0; round < rounds.reads; round += 1) {
      const startedMs = performance.now();
      await promisify(execFile)('bird', ['-p', '-c', file]);
      times.push(performance.now() - startedMs);
    }
    return times;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function mesh(size: number): Promise<readonly Measurement[]> {
  const nodes = many(size, node);
  step(openStore(), nodes); // warms V8 up
  const all = many(rounds.all, () => step(openStore(), nodes));
  const store = openStore();
  const { printed } = step(store, nodes);
  const changed = many(rounds.changes, (life) => step(store, [node(size, life)]));
  return [
    ...measured('all Nodes', all, size),
    ...measured('a changed Node', changed, size, 1),
    ...percentiles('bird -p', await readMs(printed.text), size),
    { metric: 'text, bytes', at: size, value: printed.text.length },
  ];
}

function globalPeers(size: number): readonly Measurement[] {
  const changes = [...many(size, node), ...many(peers, peer)];
  const all = many(rounds.all, () => step(openStore(), changes));
  const store = openStore();
  step(store, changes);
  const changed = many(rounds.changes, (round) => step(store, [peer(1, `${(round % 20) + 1}s`)]));
  return [
    ...measured(`all Nodes and ${peers} global peers`, all, size, size <= 2000 ? 50 : undefined),
    ...measured(`a changed one of ${peers} global peers`, changed, size),
  ];
}

/** The bench `bird-scale`. */
export const bench: Bench = {
  description: "the BIRD agent's plan and text, and BIRD's reading, at 2 000 and 5 000 Nodes of two families, with 500 global peers too",
  options: { sizes: 'Nodes, separated by commas' },
  async run(options, progress) {
    const results: Measurement[] = [];
    for (const size of options.get('sizes')?.split(',').map(Number) ?? [2_000, 5_000]) {
      progress(`${size} Nodes`);
      results.push(...(await mesh(size)), ...globalPeers(size));
    }
    return results;
  },
};
