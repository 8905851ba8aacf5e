// Measures the start of an agent on a host whose workloads run already: the time until packets reach all of them, and the CPU time and memory that it takes. It observes packets and processes
// only, so it works for any agent that reads this datastore. The floor (floor/felix.ts) runs in turn.
import { memoryOf } from '@calico-openstack/kernel/processes/processes';
import { parseFrame } from '@calico-openstack/kernel/testing/frames';
import { measuredAgent } from './agent.ts';
import { type Bench, type Measurement, quantile } from './bench.ts';
import { ALLOWED, type ComputeHost, FORBIDDEN, openComputeHost } from './compute-host.ts';
import { buildFloor } from './floor/build.ts';

/** The targets: seconds until packets reach all endpoints, by their number; and megabytes when idle, with the smallest number. */
const targetSeconds: Readonly<Record<number, number>> = { 200: 1.5, 2000: 4 };
const targetMegabytes: Readonly<Record<number, number>> = { 200: 130 };
/** Felix collects the garbage of its start after ten seconds. */
const idleAfterMs = 20_000;
const limitMs = 180_000;

/** The bench `start-of-day`. */
export const bench: Bench = {
  description: 'time from the start of an agent until packets reach all local endpoints; memory when idle; beside a floor',
  options: {
    agent: 'command that starts the agent in the foreground [this project’s calico-felix, as built]',
    name: 'what the report calls it [calico-felix]',
    local: 'numbers of local endpoints, separated by commas [200]',
    cluster: 'endpoints on other hosts [20000]',
    iterations: 'starts of each [5]',
  },
  async run(options, progress) {
    const own = measuredAgent(options, 'felix');
    const floor = await buildFloor('felix');
    try {
      const agents = { floor: floor.command, [own.name]: own.command };
      const results: Measurement[] = [];
      for (const local of (options.get('local') ?? '200').split(',').map(Number)) {
        for (const [name, command] of Object.entries(agents))
          results.push(
            ...(await measure(
              { name, command, local, cluster: Number(options.get('cluster') ?? 20_000), starts: Number(options.get('iterations') ?? 5) },
              progress,
            )),
          );
      }
      return results;
    } finally {
      floor.close();
    }
  },
};

type Case = { readonly name: string; readonly command: string; readonly local: number; readonly cluster: number; readonly starts: number };
type Start = { readonly seconds: number; readonly forbidden: number; readonly startMegabytes: number; readonly idleMegabytes: number | undefined };

/** Each start has a host of its own, as after a boot. */
async function measure({ name, command, local, cluster, starts }: Case, progress: (line: string) => void): Promise<Measurement[]> {
  const measured: Start[] = [];
  for (let round = 0; round < starts; round += 1) {
    progress(`${name}: start ${round + 1} of ${starts}, ${local} local endpoints of ${cluster + local}`);
    const computeHost = await openComputeHost(local, cluster);
    try {
      measured.push(await startOnce(computeHost, command, round === 0));
    } finally {
      await computeHost.host.close();
    }
  }
  const seconds = measured.map((each) => each.seconds);
  const idle = measured[0]!.idleMegabytes!;
  const own = name !== 'floor';
  const [target, megabytes] = [targetSeconds[local], targetMegabytes[local]];
  return [
    { metric: `${name}: start → all pass, p50 s`, at: local, value: quantile(seconds, 0.5), ...(own && target !== undefined && { target }) },
    { metric: `${name}: start → all pass, worst s`, at: local, value: quantile(seconds, 1) },
    { metric: `${name}: forbidden packets let through`, at: local, value: Math.max(...measured.map((each) => each.forbidden)), target: 0 },
    { metric: `${name}: resident at the start, worst MB`, at: local, value: Math.max(...measured.map((each) => each.startMegabytes)) },
    { metric: `${name}: resident when idle, MB`, at: local, value: idle, ...(own && megabytes !== undefined && { target: megabytes }) },
  ];
}

async function startOnce({ host, client, locals, start }: ComputeHost, command: string, andIdle: boolean): Promise<Start> {
  const startMs = performance.now();
  const [waiting, byIndex] = [new Set(locals), new Map(locals.map((each) => [each.interfaceIndex, each]))];
  let forbidden = 0;
  start(command);
  for (let count = 0; waiting.size > 0; count += 1) {
    if (performance.now() - startMs > limitMs)
      throw new Error(`${waiting.size} endpoints get no packets after ${limitMs / 1000} s; the agent said:\n${host.output.slice(-3000)}`);
    for (const to of waiting) {
      host.send(client, to, { protocol: 17, destinationPort: ALLOWED });
      if (count % 4 === 0) host.send(client, to, { protocol: 17, destinationPort: FORBIDDEN });
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (const { frame, interfaceIndex } of host.wire.receive()) {
      const packet = parseFrame(frame);
      const to = byIndex.get(interfaceIndex);
      if (packet?.protocol !== 17 || !to) continue;
      if (packet.destinationPort === ALLOWED) waiting.delete(to);
      if (packet.destinationPort === FORBIDDEN) forbidden += 1;
    }
  }
  const seconds = Math.round(performance.now() - startMs) / 1000;
  const megabytes = (): number => Math.round(memoryOf(host.agent!.pid!).residentBytes / 1024 / 1024);
  const startMegabytes = megabytes();
  if (andIdle) await new Promise((resolve) => setTimeout(resolve, idleAfterMs));
  return { seconds, forbidden, startMegabytes, idleMegabytes: andIdle ? megabytes() : undefined };
}
