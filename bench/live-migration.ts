// Measures the network's part of the gap of a live migration: the time for which nobody reaches a VM that itself does not stop. The steps and pauses were recorded with the real Nova, libvirt
// and QEMU. There the route may move only when the guest shows that it runs, long before Neutron activates the port.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { type MigrationWorld, openMigrationWorld } from '@calico-openstack/bird-agent/testing/migration-world';
import { type Bench, type Measurement, quantile } from './bench.ts';
import { measureReal } from './live-migration-nova.ts';
import type { FlowReport } from './live-migration-traffic.ts';

/** The bench `live-migration`. */
export const bench: Bench = {
  description: 'what the network adds to the gap of a live migration',
  options: { iterations: 'migrations there and back [20]', nova: 'real ones, of a server of the real Nova in a lab of this name' },
  async run(options, progress) {
    const nova = options.get('nova');
    if (nova !== undefined) return await measureReal(nova, Number(options.get('iterations') ?? 20), progress);
    const all = await openMigrationWorld();
    try {
      return await measure(all, Number(options.get('iterations') ?? 20), progress);
    } finally {
      await all.close();
    }
  },
};

/** The network's share of the gap, in milliseconds. */
const target = { p50: 100, worst: 250 };
const pingEveryMs = 20;
/** The pauses of the recorded order, shortened where nothing of the network happens. */
const pausesMs = { beforeTheMove: 400, untilQemuEnds: 20, untilActivation: 500, untilTheTapGoes: 50, untilTheRoutesAreNormal: 1300 };

async function measure(all: MigrationWorld, iterations: number, progress: (line: string) => void): Promise<readonly Measurement[]> {
  const { a, b, vm, third, world, beside, closing } = all;
  const start = (namespace: string, program: string, ...args: readonly string[]): ChildProcess => {
    const child = spawn('ip', ['netns', 'exec', namespace, program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    closing.push(() => child.kill('SIGKILL'));
    return child;
  };
  const traffic = join(import.meta.dirname, 'live-migration-traffic.ts');
  const receiver = start(vm.namespace, process.execPath, traffic, 'receive');
  const lines = createInterface(receiver.stdout!)[Symbol.asyncIterator]();
  const ask = async (): Promise<Readonly<Record<string, FlowReport>>> => {
    receiver.stdin!.write('\n');
    return JSON.parse((await lines.next()).value!);
  };
  await lines.next();
  const places = { 'a third host': third.namespace, 'the router': world.router.namespace, 'a guest beside it': beside.namespace };
  const pings = new Map<string, Pings>();
  const broken: string[] = [];
  for (const [name, namespace] of Object.entries(places)) {
    createInterface(start(namespace, process.execPath, traffic, 'send', name, vm.address4, vm.address6).stdout!).on('line', (line) => broken.push(line));
    for (const address of [vm.address4, vm.address6])
      pings.set(`${name} ping IPv${address.includes(':') ? 6 : 4}`, new Pings(start(namespace, 'ping', '-n', `-i${pingEveryMs / 1000}`, address)));
  }
  await pause(1000);
  await ask();
  for (const each of pings.values()) each.take();

  const gapsMs = new Map<string, number[]>();
  const note = (flow: string, gapMs: number): unknown => gapsMs.set(flow, [...(gapsMs.get(flow) ?? []), gapMs]);
  for (let round = 0; round < iterations; round += 1) {
    for (const [source, destination] of [
      [a, b],
      [b, a],
    ] as const) {
      await vm.prepare(source, destination);
      await vm.awaited(destination);
      await pause(pausesMs.beforeTheMove);
      await vm.run(destination);
      vm.announce(destination);
      await pause(pausesMs.untilQemuEnds);
      await vm.end(source);
      await pause(pausesMs.untilActivation);
      await vm.activate(source, destination);
      await pause(pausesMs.untilTheTapGoes);
      await vm.unplug(source);
      await pause(pausesMs.untilTheRoutesAreNormal);
      for (const [flow, { longestGapMs, silentMs, received }] of Object.entries(await ask())) {
        if (received === 0 || silentMs > 1000) throw new Error(`${flow} gets nothing any more`);
        note(flow, longestGapMs);
      }
      for (const [flow, each] of pings) note(flow, each.take() * pingEveryMs);
    }
    progress(`${round + 1} of ${iterations}, there and back`);
  }
  const unreachable = [...pings.values()].reduce((sum, { told }) => sum + told, 0);
  return [
    ...[...gapsMs].sort(([one], [other]) => (one < other ? -1 : 1)).flatMap(([flow, samples]) => verdicts(flow, samples)),
    { metric: 'answers "unreachable"', value: unreachable, target: 0 },
    { metric: 'TCP connections that broke', value: broken.length, target: 0 },
  ];
}

/** A TCP connection waits for its retransmission timer, which is at least 200 ms, so its stall is no measure of the network. */
const verdicts = (flow: string, samples: readonly number[]): Measurement[] => {
  const isTcp = flow.includes('TCP');
  const figure = (name: string, value: number, most: number): Measurement => ({
    metric: `from ${flow}: ${isTcp ? 'stall' : 'gap'}, ${name} ms`,
    at: samples.length,
    value: Math.round(value * 10) / 10,
    ...(!isTcp && { target: most }),
  });
  return [figure('p50', quantile(samples, 0.5), target.p50), figure('worst', Math.max(...samples), target.worst)];
};

/** Counts the answers of a running `ping`. */
class Pings {
  #last = 0;
  #longestRun = 0;
  /** The number of ICMP errors that the VM is unreachable. */
  told = 0;

  constructor(child: ChildProcess) {
    createInterface(child.stdout!).on('line', (line) => {
      if (/unreachable/i.test(line)) this.told += 1;
      const sequence = /bytes from .*icmp_seq=(\d+)/.exec(line)?.[1];
      if (sequence === undefined) return;
      this.#longestRun = Math.max(this.#longestRun, Number(sequence) - this.#last - 1);
      this.#last = Number(sequence);
    });
  }

  /** The greatest number of pings in a row that were not answered, since the last call. */
  take(): number {
    const run = this.#longestRun;
    this.#longestRun = 0;
    return run;
  }
}
