// A compute host with two workloads, an agent whose loop is measured, and lone changes whose effect packets show.
import { type Plugged, run, TestHost } from '@calico-openstack/felix/testing/host';
import { endpointNumber, type KeyedValue, securityGroup, type TestEndpoint, tapOf, workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import { quantile } from '../bench.ts';
import { endpoint } from '../compute-host.ts';

const metricsPort = '9091';
const limitMs = 60_000;

/** The host under load. */
export class LoadedHost {
  readonly host: TestHost;
  /** Lone changes open ports of this workload. */
  readonly target: Plugged;
  readonly sender: Plugged;
  readonly #agent: string;
  #port = 8000;

  private constructor(host: TestHost, target: Plugged, sender: Plugged, agent: string) {
    this.host = host;
    this.target = target;
    this.sender = sender;
    this.#agent = agent;
  }

  /** Makes the host; the agent runs when `start` was called. @param agent the command that starts it */
  static async open(agent: string): Promise<LoadedHost> {
    const host = await TestHost.open();
    const [target, sender] = [await host.plug(endpointNumber(1)), await host.plug(endpointNumber(2, ['other']))];
    await host.put(openTo(7000), securityGroup('other', []), workloadEndpoint(target), workloadEndpoint(sender));
    return new LoadedHost(host, target, sender, agent);
  }

  close(): Promise<void> {
    return this.host.close();
  }

  /** Starts the agent with what the datastore has by now. Its loop is measured from then on. */
  async start(): Promise<void> {
    this.host.startAgent([this.#agent], { FELIX_PROMETHEUSMETRICSENABLED: 'true', FELIX_PROMETHEUSMETRICSPORT: metricsPort });
    await this.host.untilProgrammed();
    await this.longestTurnMs(); // the first question for it begins the measuring
  }

  /** The longest turn of the agent's loop since `start`, for at most two minutes. */
  async longestTurnMs(): Promise<number> {
    const ask = `exec 3<>/dev/tcp/127.0.0.1/${metricsPort}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
    const page = await this.host.exec('bash', '-c', ask);
    return Math.round(1000 * Number(/^nodejs_eventloop_lag_max_seconds (.*)$/m.exec(page)?.[1]));
  }

  /** Opens a port of the target that was closed. Resolves with the milliseconds until a packet passes. */
  async loneChangeMs(): Promise<number> {
    this.#port += 1;
    const port = this.#port;
    return this.untilArrivesMs(this.sender, this.target, port, () => this.host.put(openTo(7000, port)));
  }

  /** The median of lone changes, one after the other. */
  async loneChangesMs(times = 20): Promise<number> {
    const samples: number[] = [];
    for (let time = 0; time < times; time += 1) samples.push(await this.loneChangeMs());
    return Math.round(quantile(samples, 0.5) * 10) / 10;
  }

  /** Sends a packet each millisecond. Resolves with the milliseconds from the start of `act` to the first that arrives. */
  async untilArrivesMs(from: Plugged, to: Plugged, port: number, act: () => Promise<void>): Promise<number> {
    const startMs = performance.now();
    const acting = act();
    const sent: number[] = [];
    for (let sentMs = 0; ; ) {
      const nowMs = performance.now();
      if (nowMs - startMs > limitMs) throw new Error(`no packet for port ${port} in ${limitMs} ms; the agent said:\n${this.host.output.slice(-3000)}`);
      if (nowMs - sentMs >= 1) {
        sent.push(this.host.send(from, to, { protocol: 6, destinationPort: port }));
        sentMs = nowMs;
      }
      this.host.readArrivals();
      const arrived = sent.map((probe) => this.host.arrivalOf(probe)).find((arrival) => arrival?.interfaceIndex === to.interfaceIndex);
      if (arrived) {
        await acting;
        return arrived.atMs - startMs;
      }
      if (sent.length > 500) sent.splice(0, 250);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** The group of the target. */
export const openTo = (...ports: readonly number[]): KeyedValue => securityGroup('open', [{ action: 'Allow', protocol: 'TCP', destination: { ports } }]);

/** A further endpoint of the host. */
export const localEndpoint = (number: number, groups: readonly string[]): TestEndpoint => endpoint(256 + number, 'host0', groups);

/** Makes the taps of these endpoints, by one call of ip. @param group the group of links that they get, by which they can be deleted at once */
export async function plugAll(host: TestHost, endpoints: readonly TestEndpoint[], group = 0): Promise<void> {
  const commands = endpoints.flatMap((each) => {
    const tap = tapOf(each);
    return [`link add ${tap} group ${group} type veth peer name w${tap.slice(3)} address ${each.mac} netns ${host.workloadsName}`, `link set ${tap} up`];
  });
  const peers = endpoints.map((each) => `link set w${tapOf(each).slice(3)} up`);
  await batch(host.name, commands);
  await batch(host.workloadsName, peers);
}

/** Runs commands of ip in a namespace. */
async function batch(namespace: string, commands: readonly string[]): Promise<void> {
  const running = run('ip', ['-n', namespace, '-batch', '-']);
  running.child.stdin?.end(`${commands.join('\n')}\n`);
  await running;
}
