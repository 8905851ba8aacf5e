// Measures the BIRD agent's work in large clouds: from etcd's values to a draft of BIRD's configuration, for all Nodes and for one that has changed, beside making the same text from scratch;
// how long BIRD takes to check and to read it; and what thousands of dead neighbours cost BIRD.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { configurationFile } from '@calico-openstack/bird-agent/bird/file';
import { createPrinter, type PrintedConfiguration, type Printer, printConfiguration, textOf } from '@calico-openstack/bird-agent/bird/print';
import { createPlanner, type Planner, plan } from '@calico-openstack/bird-agent/plan/plan';
import { createResourceStore, type ResourceStore } from '@calico-openstack/bird-agent/store';
import { bytes } from '@calico-openstack/bird-agent/testing/bytes';
import { host, lookups } from '@calico-openstack/bird-agent/testing/facts';
import { pidIn, until } from '@calico-openstack/bird-agent/testing/world';
import { resourceKey } from '@calico-openstack/datamodel';
import { processFacts } from '@calico-openstack/kernel/processes/processes';
import { type Bench, type Measurement, percentiles } from './bench.ts';

const run = promisify(execFile);
const own = 'host-1';
const peers = 500;
const rounds = { all: 5, changes: 300, anew: 20, reads: 5 };
/** How long the CPU time of a BIRD with dead neighbours is measured, and how long to wait before. */
const dead = { measuredMs: 30_000, settlingMs: 15_000 };

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

/** The resources besides Nodes: an IP pool, and a router next door. Every cloud has such resources. */
const others: readonly Change[] = [
  { key: resourceKey({ plural: 'ippools', name: 'pool' }), value: bytes({ cidr: '10.128.0.0/9' }), modRevision: 1 },
  { key: resourceKey({ plural: 'bgppeers', name: 'tor' }), value: bytes({ peerIP: '10.127.255.1', asNumber: 65000 }), modRevision: 1 },
];

type Step = { readonly planMs: number; readonly printMs: number; readonly printed: PrintedConfiguration };

/** The memory of an agent: the store, and the results of the last plan and the last text. */
type Agent = { readonly store: ResourceStore; readonly plan: Planner; readonly print: Printer };

/** The CPU time of this thread in milliseconds. Other programs that run at the same time distort it less than the elapsed time. */
function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Does the agent's work after a change: reads the values, plans and prints. */
function step({ store, plan: makePlan, print }: Agent, changes: readonly Change[]): Step {
  const startedMs = threadCpuMs();
  store.apply(changes);
  const planned = makePlan(store.resources, host({ name: own }), lookups);
  const plannedMs = threadCpuMs();
  if (!planned.ok) throw new Error(`no plan: ${JSON.stringify(planned.problems.at(-1))}`);
  const printed = print(planned.configuration);
  return { planMs: plannedMs - startedMs, printMs: threadCpuMs() - plannedMs, printed };
}

function openAgent(): Agent {
  const store = createResourceStore({
    ownName: own,
    onFault: (error) => {
      throw error;
    },
  });
  return { store, plan: createPlanner(), print: createPrinter() };
}

const mean = (values: readonly number[]): number => Math.round((values.reduce((sum, value) => sum + value, 0) / values.length) * 1000) / 1000;

/** The CPU times of planning and printing, separately and together. They are means, because the kernel accounts CPU time in coarse steps. The target is for the sum, or for the plan alone. */
function measured(what: string, steps: readonly Step[], at: number, targets: { readonly all?: number; readonly plan?: number } = {}): readonly Measurement[] {
  const [planMs, printMs] = [mean(steps.map((each) => each.planMs)), mean(steps.map((each) => each.printMs))];
  return [
    { metric: `${what}: plan, ms of CPU`, at, value: planMs, ...(targets.plan !== undefined && { target: targets.plan }) },
    { metric: `${what}: text, ms of CPU`, at, value: printMs },
    {
      metric: `${what}: plan and text, ms of CPU`,
      at,
      value: Math.round((planMs + printMs) * 1000) / 1000,
      ...(targets.all !== undefined && { target: targets.all }),
    },
  ];
}

/** Calls `work` with a directory that is removed afterwards. */
async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'bird-scale-'));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function timeMs(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const repeated = async (count: number, work: () => Promise<number>): Promise<readonly number[]> => {
  const times: number[] = [];
  for (let round = 0; round < count; round += 1) times.push(await work());
  return times;
};

/** Writes a text as the agent does (to a file beside BIRD's file, which then replaces it), and has BIRD check it. */
const filed = (printed: PrintedConfiguration, at: number): Promise<readonly Measurement[]> =>
  inDirectory(async (directory) => {
    const path = join(directory, 'bird.conf');
    const file = configurationFile(path, () => undefined);
    const written = await repeated(rounds.reads, () => timeMs(async () => (await file.draft(printed)).publish()));
    const checked = await repeated(rounds.reads, () => timeMs(() => run('bird', ['-p', '-c', path])));
    return [
      ...percentiles('file written, on disk', written, at),
      ...percentiles('bird -p', checked, at),
      { metric: 'text, bytes', at, value: textOf(printed).length },
    ];
  });

async function mesh(size: number): Promise<readonly Measurement[]> {
  const all = [...many(size, node), ...others];
  step(openAgent(), all); // warms V8 up
  const fresh = many(rounds.all, () => step(openAgent(), all));
  const agent = openAgent();
  step(agent, all);
  const anew = { ...agent, plan, print: printConfiguration };
  const before = many(rounds.anew, (life) => step(anew, [node(size, life)]));
  step(agent, []);
  const changed = many(rounds.changes, (life) => step(agent, [node((life * 37) % size || 2, life)]));
  const removed = many(rounds.changes, (life) => step(agent, [life % 2 === 0 ? node(size / 2, 1) : { ...node(size / 2), value: undefined }]));
  const { printed } = step(agent, []);
  return [
    ...measured('all Nodes', fresh, size),
    ...measured('a changed Node, all made anew', before, size),
    ...measured('a changed Node', changed, size, { all: 1 }),
    ...measured('a Node that comes or goes', removed, size, { all: 1 }),
    ...(await filed(printed, size)),
  ];
}

function globalPeers(size: number): readonly Measurement[] {
  const changes = [...many(size, node), ...many(peers, peer)];
  const all = many(rounds.all, () => step(openAgent(), changes));
  const agent = openAgent();
  step(agent, changes);
  const changed = many(rounds.changes, (round) => step(agent, [peer(1, `${(round % 20) + 1}s`)]));
  const nodes = many(rounds.changes, (life) => step(agent, [node(size, life)]));
  return [
    ...measured(`all Nodes and ${peers} global peers`, all, size, size <= 2000 ? { plan: 50 } : {}),
    ...measured(`a changed one of ${peers} global peers`, changed, size),
    ...measured(`a changed Node beside ${peers} global peers`, nodes, size),
  ];
}

/** The CPU time that a process has used, in milliseconds; 0 for one that is gone. */
const cpuMs = (pid: number): number => processFacts(pid)?.cpuMs ?? 0;

/**
 * Measures a BIRD whose neighbours do not answer, behind a router that answers nothing either: its cost while nothing changes, and how long it takes to load a configuration in which one Node
 * has changed.
 */
const deadNeighbours = (size: number): Promise<readonly Measurement[]> =>
  inDirectory(async (directory) => {
    const namespace = `bird-scale-${process.pid}`;
    const [path, socket, pidFile] = ['conf', 'ctl', 'pid'].map((ending) => join(directory, `bird.${ending}`)) as [string, string, string];
    const agent = openAgent();
    const logFile = join(directory, 'bird.log');
    // BIRD logs to a file, because each line for a syslog that does not exist costs it a third of a millisecond.
    const textAfter = (changes: readonly Change[]): string => textOf(step(agent, changes).printed).replace(/^log syslog /m, `log "${logFile}" `);
    const linesLogged = (): number => readFileSync(logFile, 'utf8').split('\n').length - 1;
    // The end with the greater address, as text, opens the connection. This host has the greatest, so it opens all connections.
    const ownNode = { ...node(1), value: bytes({ bgp: { ipv4Address: '10.99.255.254/9', ipv6Address: '2001:db8:f::1/32' } }) };
    writeFileSync(path, textAfter([...many(size, node), ownNode, ...others]), { mode: 0o600 });
    await run('ip', ['netns', 'add', namespace]);
    let pid: number | undefined;
    try {
      const commands = [
        'link set lo up',
        'link add eth0 type veth peer name router',
        'link set eth0 up',
        'link set router up',
        'addr add 10.99.255.254/9 dev eth0',
        'neigh add 10.126.0.1 lladdr 02:00:00:00:00:01 nud permanent dev eth0',
        'route replace 10.0.0.0/9 via 10.126.0.1 dev eth0 onlink',
        '-6 addr add 2001:db8:f::1/128 dev eth0 nodad',
        '-6 neigh add fe80::1 lladdr 02:00:00:00:00:01 nud permanent dev eth0',
        '-6 route replace 2001:db8::/32 via fe80::1 dev eth0',
      ];
      for (const command of commands) await run('ip', ['-n', namespace, ...command.split(' ')]);
      await run('ip', ['netns', 'exec', namespace, 'bird', '-c', path, '-s', socket, '-P', pidFile]);
      pid = await until('the pid of BIRD', () => pidIn(pidFile, socket));
      await new Promise((resolve) => setTimeout(resolve, dead.settlingMs));
      const before = cpuMs(pid);
      await new Promise((resolve) => setTimeout(resolve, dead.measuredMs));
      const share = ((cpuMs(pid) - before) / dead.measuredMs) * 100;
      const [beforeReads, linesBefore] = [cpuMs(pid), linesLogged()];
      for (let life = 1; life <= rounds.reads; life += 1) {
        writeFileSync(path, textAfter([node(size, life)]), { mode: 0o600 });
        await run('birdc', ['-s', socket, 'configure']);
      }
      return [
        { metric: 'CPU of BIRD with dead neighbours, % of a core', at: size, value: Math.round(share * 10) / 10 },
        { metric: "configure for a changed Node, ms of BIRD's CPU", at: size, value: (cpuMs(pid) - beforeReads) / rounds.reads },
        { metric: 'lines that BIRD logs for a changed Node', at: size, value: Math.round((linesLogged() - linesBefore) / rounds.reads) },
      ];
    } finally {
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      await run('ip', ['netns', 'del', namespace]);
    }
  });

/** The bench `bird-scale`. */
export const bench: Bench = {
  description:
    "the BIRD agent's plan and text, beside making all anew, the file and BIRD's reading, at 2 000 and 5 000 Nodes of two families, with 500 global peers too; BIRD's CPU with 2 000 dead neighbours (root)",
  options: { sizes: 'Nodes, separated by commas', dead: 'Nodes that do not answer [2000]; 0: not measured' },
  async run(options, progress) {
    const results: Measurement[] = [];
    for (const size of options.get('sizes')?.split(',').map(Number) ?? [2_000, 5_000]) {
      progress(`${size} Nodes`);
      results.push(...(await mesh(size)), ...globalPeers(size));
    }
    const deadNodes = Number(options.get('dead') ?? 2000);
    if (deadNodes > 0) {
      progress(`${deadNodes} dead neighbours`);
      results.push(...(await deadNeighbours(deadNodes)));
    }
    return results;
  },
};
