// Measures what the removal of a rule costs where many connections are tracked. Afterwards those that policy no longer allows must be dead, and the others must live.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Plugged, TestHost } from '@calico-openstack/felix/testing/host';
import { endpointNumber, type KeyedValue, securityGroup, workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import { type Conntrack, type Flow, inNamespace, openConntrack } from '@calico-openstack/kernel';
import { trackFlows } from '@calico-openstack/kernel/conntrack/testing/flows';
import { processFacts } from '@calico-openstack/kernel/processes/processes';
import { defaultRenderOptions } from '@calico-openstack/render';
import { measuredAgent } from './agent.ts';
import type { Bench, Measurement } from './bench.ts';

const [REMOVED, KEPT] = [7001, 7000];
const { ingress: stamp } = defaultRenderOptions.stamps;

/** The bench `connections-cut`. */
export const bench: Bench = {
  description: 'time from a rule’s removal until the connections that it let through are dead, among many others',
  options: {
    connections: 'tracked on the host [100000]',
    concerned: 'numbers of them that lead to the endpoint whose rule goes, separated by commas; half of those are by that rule [1000,100000]',
  },
  async run(options, progress) {
    const { command } = measuredAgent(options, 'felix');
    const connections = Number(options.get('connections') ?? 100_000);
    const results: Measurement[] = [];
    for (const concerned of (options.get('concerned') ?? '1000,100000').split(',').map(Number)) {
      progress(`${connections} connections, ${concerned} to the endpoint whose rule is removed`);
      results.push(...(await measure(command, connections, concerned)));
    }
    return results;
  },
};

async function measure(agent: string, connections: number, concerned: number): Promise<Measurement[]> {
  const host = await TestHost.open();
  let conntrack: Conntrack | undefined;
  try {
    const [target, other] = [await host.plug(endpointNumber(1)), await host.plug(endpointNumber(2, ['other']))];
    await host.put(openTo(KEPT, REMOVED), securityGroup('other', [{ action: 'Allow', protocol: 'TCP' }]), workloadEndpoint(target), workloadEndpoint(other));
    host.startAgent([agent]);
    await host.untilProgrammed();
    const flows = Array.from({ length: connections }, (_, number) => connection(number < concerned ? target : other, number));
    conntrack = inNamespace(host.name, () => {
      trackFlows(flows, 3000);
      return openConntrack();
    });
    await sleep(1000);
    const cpuBeforeMs = cpuMsOf(host.agent!.pid!);
    const startMs = performance.now();
    await host.put(openTo(KEPT));
    // Listing all connections takes the kernel as long as the work that is measured. So the bench waits for the agent's log line, and lists them afterwards.
    await host.until(() => host.output.includes('connections were held to the policy'), 'the connections to be looked at', limitMs);
    const tookMs = performance.now() - startMs;
    const dead = flows.filter(({ original }) => original.destination === target.addresses[0] && original.destinationPort === REMOVED).length;
    const alive = await stamped(conntrack);
    if (alive > connections - dead) throw new Error(`${alive - (connections - dead)} connections live on; the agent said:\n${host.output.slice(-3000)}`);
    await sleep(1000);
    return [
      { metric: 'rule removed → its connections are dead, ms', at: concerned, value: Math.round(tookMs), target: 1000 },
      { metric: 'CPU of the agent, ms', at: concerned, value: cpuMsOf(host.agent!.pid!) - cpuBeforeMs },
      { metric: 'connections cut that are allowed', at: concerned, value: connections - dead - alive, target: 0 },
    ];
  } finally {
    conntrack?.close();
    await host.close();
  }
}

const openTo = (...ports: readonly number[]): KeyedValue => securityGroup('open', [{ action: 'Allow', protocol: 'TCP', destination: { ports } }]);

/** The nth TCP connection to the workload, stamped as allowed by policy. Every other one is allowed by the rule that is removed. */
function connection(to: Plugged, number: number): Flow {
  const source = `192.0.${(number >> 8) & 255}.${number & 255}`;
  const destination = to.addresses[0]!;
  const [sourcePort, destinationPort] = [1024 + (number % 50_000), number % 2 === 0 ? KEPT : REMOVED];
  return {
    family: 4,
    original: { protocol: 6, source, destination, sourcePort, destinationPort },
    reply: { protocol: 6, source: destination, destination: source, sourcePort: destinationPort, destinationPort: sourcePort },
    zone: 0,
    mark: stamp,
  };
}

const stamped = async (conntrack: Conntrack): Promise<number> => (await conntrack.flows()).filter(({ mark = 0 }) => (mark & stamp) !== 0).length;

const cpuMsOf = (pid: number): number => processFacts(pid)?.cpuMs ?? 0;

const limitMs = 60_000;
