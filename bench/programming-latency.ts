// Measures how long a change in etcd takes to reach the kernel. It observes packets only, so it works for any agent that reads this datastore. The floor (floor/felix.ts) runs in turn.
import type { Plugged, TestHost } from '@calico-openstack/felix/testing/host';
import { workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import { parseFrame } from '@calico-openstack/kernel/testing/frames';
import { measuredAgent } from './agent.ts';
import { type Bench, type Measurement, percentiles, quantile } from './bench.ts';
import { ALLOWED, FORBIDDEN, openComputeHost, shared, TOGGLED } from './compute-host.ts';
import { buildFloor } from './floor/build.ts';

/** How many times as long as the floor an agent may take: its median, and its worst. */
const [medianTarget, worstTarget] = [2, 5];

/** The bench `programming-latency`. */
export const bench: Bench = {
  description: 'time from a write to etcd to the first packet that passes, or the last that does; beside a floor',
  options: {
    agent: 'command that starts the agent in the foreground [this project’s calico-felix, as built]',
    name: 'what the report calls it [calico-felix]',
    local: 'numbers of local endpoints, separated by commas [10,200]',
    cluster: 'endpoints on other hosts [1000]',
    iterations: 'repetitions of each change [30]',
  },
  async run(options, progress) {
    const { command, name } = measuredAgent(options, 'felix');
    const sizes = { cluster: Number(options.get('cluster') ?? 1000), iterations: Number(options.get('iterations') ?? 30) };
    const results: Measurement[] = [];
    const floor = await buildFloor('felix');
    try {
      for (const local of (options.get('local') ?? '10,200').split(',').map(Number)) {
        const [least, samples] = [
          await measure({ agent: floor.command, name: 'floor', local, ...sizes }, progress),
          await measure({ agent: command, name, local, ...sizes }, progress),
        ];
        results.push(...report('floor', local, least), ...report(name, local, samples), ...compared(name, local, samples, least));
      }
      return results;
    } finally {
      floor.close();
    }
  },
};

type Case = { readonly agent: string; readonly name: string; readonly local: number; readonly cluster: number; readonly iterations: number };

/** Milliseconds of each repetition. */
type Samples = {
  readonly appears: readonly number[];
  readonly bites: readonly number[];
  readonly ends: readonly number[];
  readonly joins: readonly number[];
  readonly leaves: readonly number[];
  readonly forbidden: number;
};

const changes = {
  appears: 'endpoint written → first packet',
  bites: 'rule added → first packet',
  ends: 'rule deleted → last packet',
  joins: 'member joins → first packet',
  leaves: 'member leaves → last packet',
} as const;
const changeNames = Object.keys(changes) as (keyof typeof changes)[];

const report = (name: string, local: number, samples: Samples): Measurement[] => [
  ...changeNames.flatMap((change) => percentiles(`${name}: ${changes[change]}`, samples[change], local)),
  { metric: `${name}: forbidden packets let through`, at: local, value: samples.forbidden, target: 0 },
];

const times = (samples: readonly number[], floor: readonly number[], share: number): number =>
  Math.round((quantile(samples, share) / quantile(floor, share)) * 100) / 100;

const compared = (name: string, local: number, samples: Samples, floor: Samples): Measurement[] =>
  changeNames.flatMap((change) => [
    {
      metric: `${name}: ${changes[change]}, p50 as multiple of the floor’s`,
      at: local,
      value: times(samples[change], floor[change], 0.5),
      target: medianTarget,
    },
    {
      metric: `${name}: ${changes[change]}, worst as multiple of the floor’s`,
      at: local,
      value: times(samples[change], floor[change], 1),
      target: worstTarget,
    },
  ]);

async function measure({ agent, name, local, cluster, iterations }: Case, progress: (line: string) => void): Promise<Samples> {
  const { host, client, candidate, locals, plug, start } = await openComputeHost(local, cluster);
  try {
    progress(`${name}: ${local} local endpoints, ${cluster} on other hosts`);
    start(agent);
    const [ways, others] = [new Ways(host, client), new Ways(host, candidate)];
    const member = (is: boolean): Promise<void> => host.put(workloadEndpoint({ ...candidate, groups: [is ? 'client' : 'quiet'] }));
    for (const each of locals) await ways.first(each, ALLOWED, async () => undefined);

    const samples = { appears: [] as number[], bites: [] as number[], ends: [] as number[], joins: [] as number[], leaves: [] as number[] };
    for (let round = 0; round < iterations; round += 1) {
      const fresh = await plug(30_000 + round);
      await settle();
      samples.appears.push(await ways.first(fresh, ALLOWED, () => host.put(workloadEndpoint(fresh))));
      await host.delete(workloadEndpoint(fresh).key);
      await host.unplug(fresh);
      await settle();
      const target = locals[round % local]!;
      samples.bites.push(await ways.first(target, TOGGLED, () => host.put(shared(true))));
      await settle();
      samples.ends.push(await ways.last(target, TOGGLED, () => host.put(shared(false))));
      samples.joins.push(await others.first(target, ALLOWED, () => member(true)));
      await settle();
      samples.leaves.push(await others.last(target, ALLOWED, () => member(false)));
      if (round % 10 === 9) progress(`  ${round + 1} of ${iterations}`);
    }
    return { ...samples, forbidden: ways.forbidden + others.forbidden };
  } finally {
    await host.close();
  }
}

/** Waits until the agent has finished with the last change, so that this is not measured with the next one. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

/** Sends packets from the client all the time and watches which arrive. */
class Ways {
  readonly #host: TestHost;
  readonly #client: Plugged;
  forbidden = 0;

  constructor(host: TestHost, client: Plugged) {
    this.#host = host;
    this.#client = client;
  }

  /** The milliseconds from the start of `act` to the first packet that arrives. */
  async first(to: Plugged, port: number, act: () => Promise<void>): Promise<number> {
    const startMs = performance.now();
    let arrivedMs: number | undefined;
    await this.#sendUntil(to, port, act, (atMs) => {
      arrivedMs ??= atMs;
      return arrivedMs !== undefined;
    });
    return arrivedMs! - startMs;
  }

  /** The milliseconds from the start of `act` to the last packet that arrives, after which none arrives for a while. */
  async last(to: Plugged, port: number, act: () => Promise<void>): Promise<number> {
    const startMs = performance.now();
    let lastMs = startMs;
    await this.#sendUntil(to, port, act, (atMs, nowMs) => {
      lastMs = atMs ?? lastMs;
      return nowMs - lastMs > quietMs;
    });
    return lastMs - startMs;
  }

  async #sendUntil(to: Plugged, port: number, act: () => Promise<void>, done: (atMs: number | undefined, nowMs: number) => boolean): Promise<void> {
    const startMs = performance.now();
    const acting = act();
    for (let sentMs = 0, count = 0; ; ) {
      const nowMs = performance.now();
      if (nowMs - sentMs >= 0.5) {
        this.#host.send(this.#client, to, { protocol: 17, destinationPort: port });
        if (count % 4 === 0) this.#host.send(this.#client, to, { protocol: 17, destinationPort: FORBIDDEN });
        [sentMs, count] = [nowMs, count + 1];
      }
      let arrivedMs: number | undefined;
      for (const { frame, interfaceIndex, atMs } of this.#host.wire.receive()) {
        const packet = interfaceIndex === to.interfaceIndex ? parseFrame(frame) : undefined;
        if (packet?.protocol === 17 && packet.destinationPort === port) arrivedMs = atMs;
        if (packet?.protocol === 17 && packet.destinationPort === FORBIDDEN) this.forbidden += 1;
      }
      if (done(arrivedMs, nowMs)) break;
      if (nowMs - startMs > limitMs) throw new Error(`no packet for port ${port} in ${limitMs / 1000} s; the agent said:\n${this.#host.output.slice(-3000)}`);
      await new Promise(setImmediate);
    }
    await acting;
  }
}

const quietMs = 300;
const limitMs = 120_000;
