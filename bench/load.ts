// Measures calico-felix under load: a burst of changes with a single urgent one in it, sets with many members, many tracked connections. The longest turn of its event loop is read from its
// own metrics.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Plugged, TestHost } from '@calico-openstack/felix/testing/host';
import { endpointNumber, type KeyedValue, resource, securityGroup, workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import { type Flow, inNamespace, openConntrack, readSysctl } from '@calico-openstack/kernel';
import { trackFlows } from '@calico-openstack/kernel/conntrack/testing/flows';
import { defaultRenderOptions } from '@calico-openstack/render';
import { measuredAgent } from './agent.ts';
import { type Bench, type Measurement, quantile } from './bench.ts';

const metricsPort = '9091';
/** The longest acceptable turn of the loop. */
const longestTurnMs = 250;
const limitMs = 120_000;

/** The bench `load`. */
export const bench: Bench = {
  description: 'calico-felix under masses: a lone change within a burst, large sets, many connections; the longest turn of its loop',
  options: {
    burst: 'changes written at once [10000]',
    members: 'addresses in network sets that a rule selects [100000]',
    connections: 'tracked on the host [500000]',
  },
  async run(options, progress) {
    const { command } = measuredAgent(options, 'felix');
    const number = (name: string, otherwise: number): number => Number(options.get(name) ?? otherwise);
    const [burst, members, connections] = [number('burst', 10_000), number('members', 100_000), number('connections', 500_000)];
    const most = Number(readSysctl(['net', 'netfilter', 'nf_conntrack_max']));
    if (connections >= most) throw new Error(`the host tracks at most ${most} connections: set net.netfilter.nf_conntrack_max higher, or --connections lower`);
    return measure(command, { burst, members, connections }, progress);
  },
};

type Sizes = { readonly burst: number; readonly members: number; readonly connections: number };

async function measure(agent: string, { burst, members, connections }: Sizes, progress: (line: string) => void): Promise<Measurement[]> {
  const host = await TestHost.open();
  try {
    const [one, two] = [await host.plug(endpointNumber(1)), await host.plug(endpointNumber(2, ['other']))];
    await host.put(openTo(7000), fromSets, workloadEndpoint(one), workloadEndpoint(two));
    host.startAgent([agent], { FELIX_PROMETHEUSMETRICSENABLED: 'true', FELIX_PROMETHEUSMETRICSPORT: metricsPort });
    await host.untilProgrammed();
    await longestTurnOf(host); // it is measured from now on
    const results: Measurement[] = [];
    const measured = async (what: string, at: number, work: () => Promise<readonly Measurement[]>): Promise<void> => {
      progress(`${what} ${at}`);
      const found = await work();
      for (const { metric, value } of found) progress(`  ${metric}: ${value}`);
      results.push(...found);
      results.push({ metric: `longest turn of the loop, ${what}, ms`, at, value: await longestTurnOf(host), target: longestTurnMs });
    };
    await measured('lone changes', 20, async () => [{ metric: 'lone change → packet, p50 ms', value: await loneChanges(host, one, two, 20) }]);
    await measured('burst of changes', burst, async () => [
      { metric: 'lone change in the middle of a burst → packet, ms', at: burst, value: await loneInBurst(host, one, two, burst), target: 1000 },
    ]);
    await measured('members of a set', members, async () => [
      { metric: 'members written → the last one’s packet, ms', at: members, value: await growSet(host, one, two, members) },
    ]);
    await measured('lone changes after that', 20, async () => [
      { metric: 'lone change beside large sets → packet, p50 ms', value: await loneChanges(host, one, two, 20) },
    ]);
    await measured('tracked connections', connections, async () => [
      { metric: 'rule removed → its connections are dead, ms', at: connections, value: await cutAmong(host, one, two, connections), target: 2000 },
    ]);
    return results;
  } finally {
    await host.close();
  }
}

const tcp = (destinationPort: number) => ({ protocol: 6, destinationPort });
const openTo = (...ports: readonly number[]): KeyedValue => securityGroup('open', [{ action: 'Allow', protocol: 'TCP', destination: { ports } }]);
/** The second workload's rule allows ingress from the network sets and from the first workload's group. */
const fromSets = securityGroup('other', [
  { action: 'Allow', source: { selector: "role == 'member'" } },
  { action: 'Allow', protocol: 'TCP', destination: { ports: [7000] } },
]);

/** The longest turn since the call before the last one, at most a minute ago. */
async function longestTurnOf(host: TestHost): Promise<number> {
  const ask = `exec 3<>/dev/tcp/127.0.0.1/${metricsPort}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
  const page = await host.exec('bash', '-c', ask);
  return Math.round(1000 * Number(/^nodejs_eventloop_lag_max_seconds (.*)$/m.exec(page)?.[1]));
}

let port = 8000;
/** Opens a port that was closed. Resolves with the milliseconds until a packet passes. */
async function loneChange(host: TestHost, to: Plugged, from: Plugged): Promise<number> {
  port += 1;
  const startMs = performance.now();
  await host.put(openTo(7000, port));
  await host.untilPasses(from, to, tcp(port));
  return performance.now() - startMs;
}

async function loneChanges(host: TestHost, to: Plugged, from: Plugged, times: number): Promise<number> {
  const samples: number[] = [];
  for (let time = 0; time < times; time += 1) samples.push(await loneChange(host, to, from));
  return Math.round(quantile(samples, 0.5) * 10) / 10;
}

/** Endpoints of other hosts, in the group that a rule here lets in. */
const elsewhere = (number: number): KeyedValue => {
  const id = `1${String(number).padStart(7, '0')}-0000-4000-8000-000000000000`;
  return workloadEndpoint({
    host: 'host1',
    id,
    mac: 'fa:16:3e:00:00:01',
    addresses: [`10.${66 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`],
    labels: { role: 'member' },
  });
};

async function loneInBurst(host: TestHost, to: Plugged, from: Plugged, burst: number): Promise<number> {
  const changes = Array.from({ length: burst }, (_, number) => elsewhere(number));
  const first = host.put(...changes.slice(0, burst / 2));
  await sleep(50); // the burst is on its way
  const second = host.put(...changes.slice(burst / 2));
  const tookMs = await loneChange(host, to, from);
  await Promise.all([first, second]);
  return Math.round(tookMs);
}

const perSet = 1000;

async function growSet(host: TestHost, member: Plugged, from: Plugged, members: number): Promise<number> {
  const sets: KeyedValue[] = [];
  for (let first = 0; first < members; first += perSet) {
    const nets = Array.from(
      { length: Math.min(perSet, members - first) },
      (_, at) => `10.${128 + ((first + at) >> 16)}.${((first + at) >> 8) & 255}.${(first + at) & 255}/32`,
    );
    sets.push(networkSet(`n${first}`, nets));
  }
  const startMs = performance.now();
  for (const set of sets) await host.put(set);
  await host.put(networkSet('last', [`${member.addresses[0]}/32`])); // only with this member may the first workload send to the second's other ports
  await host.untilPasses(member, from, tcp(9998));
  return Math.round(performance.now() - startMs);
}

const networkSet = (name: string, nets: readonly string[]): KeyedValue =>
  resource('NetworkSet', `networksets/openstack/${name}`, { nets }, { labels: { role: 'member', 'projectcalico.org/namespace': 'openstack' } });

async function cutAmong(host: TestHost, to: Plugged, from: Plugged, connections: number): Promise<number> {
  await host.put(openTo(7000, 7001));
  await host.untilPasses(from, to, tcp(7001));
  const { ingress: mark } = defaultRenderOptions.stamps;
  const flows = Array.from({ length: connections }, (_, number): Flow => {
    const ends = { source: `172.${16 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`, destination: to.addresses[0]! };
    const ports = { sourcePort: 1024 + (number % 50_000), destinationPort: number % 500 === 0 ? 7001 : 7000 };
    return {
      family: 4,
      original: { protocol: 6, ...ends, ...ports },
      reply: { protocol: 6, source: ends.destination, destination: ends.source, sourcePort: ports.destinationPort, destinationPort: ports.sourcePort },
      zone: 0,
      mark,
    };
  });
  const conntrack = inNamespace(host.name, () => {
    trackFlows(flows, 3000);
    return openConntrack();
  });
  conntrack.close();
  await sleep(1000);
  await longestTurnOf(host);
  const before = host.output.length;
  const startMs = performance.now();
  await host.put(openTo(7000));
  await host.until(() => host.output.slice(before).includes('connections were held to the policy'), 'the connections to be looked at', limitMs);
  return Math.round(performance.now() - startMs);
}
