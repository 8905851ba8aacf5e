// Measures how long a change in etcd takes to reach the kernel. It observes packets only, so it works for any agent that reads this datastore.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { asAdministrator, type Plugged, TestHost } from '@calico-openstack/felix/testing/host';
import { type KeyedValue, securityGroup, type TestEndpoint, workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import { parseFrame } from '@calico-openstack/kernel/testing/frames';
import { type Bench, type Measurement, percentiles } from './bench.ts';

const ours = join(import.meta.dirname, '../node_modules/.bin/calico-felix');

/** Ports: one that is always allowed from the client's group; one that is allowed from anywhere while the rule exists; one that is never allowed. */
const [ALLOWED, TOGGLED, FORBIDDEN] = [7000, 7001, 7009];

/** The bench `programming-latency`. */
export const bench: Bench = {
  description: 'time from a write to etcd to the first packet that passes, or the last that does',
  options: {
    agent: 'command that starts the agent in the foreground [this project’s calico-felix, as built]',
    name: 'what the report calls it [calico-felix]',
    local: 'numbers of local endpoints, separated by commas [10,200]',
    cluster: 'endpoints on other hosts [1000]',
    iterations: 'repetitions of each change [30]',
  },
  async run(options, progress) {
    const agent = options.get('agent') ?? ours;
    if (!options.has('agent') && !existsSync(join(import.meta.dirname, '../packages/felix/dist'))) throw new Error('calico-felix is not built: npm run build');
    const name = options.get('name') ?? 'calico-felix';
    const results: Measurement[] = [];
    for (const local of (options.get('local') ?? '10,200').split(',').map(Number)) {
      results.push(
        ...(await measure(
          { agent, name, local, cluster: Number(options.get('cluster') ?? 1000), iterations: Number(options.get('iterations') ?? 30) },
          progress,
        )),
      );
    }
    return results;
  },
};

type Case = { readonly agent: string; readonly name: string; readonly local: number; readonly cluster: number; readonly iterations: number };

/** The nth endpoint, with its own id, MAC and address. */
function endpoint(number: number, host: string, groups: readonly string[]): TestEndpoint {
  const hex = number.toString(16).padStart(6, '0');
  return {
    host,
    id: `${hex}00-${hex.slice(2)}-4000-8000-0000000${hex.slice(1)}`,
    mac: `fa:16:3e:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`,
    addresses: [`10.${64 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`],
    groups,
  };
}

const allow = (port: number, source: object): object => ({ action: 'Allow', ipVersion: 4, protocol: 17, source, destination: { ports: [port] } });
const fromGroup = (group: string): object => ({ selector: `has(sg.projectcalico.org/openstack-${group})` });
const sharedRules = [allow(7002, { nets: ['192.0.2.0/24'] })];
const shared = (toggled: boolean): KeyedValue => securityGroup('shared', toggled ? [allow(TOGGLED, { nets: ['0.0.0.0/0'] }), ...sharedRules] : sharedRules);

async function measure({ agent, name, local, cluster, iterations }: Case, progress: (line: string) => void): Promise<Measurement[]> {
  const host = await TestHost.open();
  try {
    const groups = Math.max(5, Math.round(cluster / 40));
    const groupOf = (number: number): string => `g${number % groups}`;
    await host.put(
      ...Array.from({ length: groups }, (_, number) =>
        securityGroup(`g${number}`, [{ action: 'Allow', ipVersion: 4, source: fromGroup(`g${number}`) }, allow(ALLOWED, fromGroup('client'))]),
      ),
      securityGroup('client', []),
      shared(false),
      ...Array.from({ length: cluster }, (_, number) => workloadEndpoint(endpoint(100_000 + number, `host${1 + (number >> 5)}`, [groupOf(number), 'common']))),
    );
    const client = await host.plug(endpoint(1, 'host0', ['client']));
    const locals: Plugged[] = [];
    for (let number = 0; number < local; number += 1) locals.push(await host.plug(endpoint(256 + number, 'host0', [groupOf(number), 'shared'])));
    await host.put(workloadEndpoint(client), ...locals.map(workloadEndpoint));
    progress(`${name}: ${local} local endpoints, ${cluster} on other hosts`);
    host.startAgent(['sh', '-c', `exec ${agent}`], { FELIX_LOGSEVERITYSCREEN: 'WARNING', ...asAdministrator });
    const ways = new Ways(host, client);
    for (const each of locals) await ways.first(each, ALLOWED, async () => undefined);

    const [appears, bites] = [[] as number[], [] as number[]];
    for (let round = 0; round < iterations; round += 1) {
      const fresh = await host.plug(endpoint(30_000 + round, 'host0', [groupOf(round), 'shared']));
      await settle();
      appears.push(await ways.first(fresh, ALLOWED, () => host.put(workloadEndpoint(fresh))));
      await host.delete(workloadEndpoint(fresh).key);
      await host.unplug(fresh);
      const target = locals[round % local]!;
      await ways.first(target, TOGGLED, () => host.put(shared(true)));
      await settle();
      bites.push(await ways.last(target, TOGGLED, () => host.put(shared(false))));
      if (round % 10 === 9) progress(`  ${round + 1} of ${iterations}`);
    }
    return [
      ...percentiles(`${name}: endpoint written → first packet`, appears, local),
      ...percentiles(`${name}: rule deleted → last packet`, bites, local),
      { metric: `${name}: forbidden packets let through`, at: local, value: ways.forbidden, target: 0 },
    ];
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
