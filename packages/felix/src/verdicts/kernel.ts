// What the whole agent makes a real kernel do with real packets, against what the oracle says. For tests.
import { endpointStatusKey } from '@calico-openstack/datamodel';
import { createOracle } from '@calico-openstack/oracle';
import fc from 'fast-check';
import { type Cluster, cluster, localHost, places, type Shot, shot } from '../testing/clusters.ts';
import { type Plugged, run, TestHost } from '../testing/host.ts';
import { deviceId, type TestEndpoint, workloadEndpoint } from '../testing/resources.ts';
import type { Comparison } from './calculated.ts';

/** An endpoint without an interface. Its status says `down` once the agent has programmed all that came before it. */
const marker = (round: number): TestEndpoint => ({
  host: localHost,
  id: `round-${round}-0000`,
  mac: 'fa:16:3e:00:00:ff',
  addresses: [`10.129.${round >> 8}.${round & 255}`],
});

/** Waits until the agent has done all that was written before this call. */
async function untilDone(host: TestHost, round: number): Promise<void> {
  const endpoint = marker(round);
  const key = endpointStatusKey(undefined, { host: localHost, orchestrator: 'openstack', workload: `openstack/${deviceId(endpoint)}`, endpoint: endpoint.id });
  await host.put(workloadEndpoint(endpoint));
  await host.until(async () => (await host.etcd.get(key)).found !== undefined, `the agent to reach cluster ${round}`);
  await host.delete(workloadEndpoint(endpoint).key);
}

/** The compute host with its workloads, the remote ones behind an uplink, and a living agent. */
async function openWorld() {
  const host = await TestHost.open(localHost);
  try {
    const plugged = new Map<TestEndpoint, Plugged>();
    for (const place of places) if (place.host === localHost) plugged.set(place, await host.plug(place));
    await run('ip', ['-n', host.name, 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'fabric', 'netns', host.workloadsName]);
    await run('ip', ['-n', host.name, 'link', 'set', 'uplink', 'up']);
    await run('ip', ['-n', host.workloadsName, 'link', 'set', 'fabric', 'up']);
    const [fabric] = JSON.parse((await run('ip', ['-n', host.workloadsName, '-j', 'link', 'show', 'fabric'])).stdout) as [{ ifindex: number; address: string }];
    const uplink = await host.link('uplink', (link) => link?.mac !== undefined);
    for (const place of places.filter((each) => each.host !== localHost)) {
      for (const address of place.addresses) {
        await host.exec('ip', 'route', 'add', address, 'dev', 'uplink');
        await host.exec('ip', 'neigh', 'add', address, 'lladdr', fabric.address, 'dev', 'uplink', 'nud', 'permanent');
      }
      plugged.set(place, { ...place, interfaceIndex: fabric.ifindex, gatewayMac: uplink!.mac! });
    }
    host.startAgent();
    return { host, plugged };
  } catch (error) {
    await host.close();
    throw error;
  }
}

/** One living agent follows `clusters` random clusters, one after the other; so many packets are sent in each. */
export async function compareKernelWithOracle(options: { readonly clusters: number; readonly packets: number; readonly seed: number }): Promise<Comparison> {
  const { host, plugged } = await openWorld();
  try {
    let [pairs, allowed] = [0, 0];
    let held: ReadonlyMap<string, string> = new Map();
    for (let number = 1; number <= options.clusters; number += 1) {
      const seed = options.seed + number;
      const [next] = fc.sample(cluster, { numRuns: 1, seed }) as [Cluster];
      await become(host, held, next.values);
      held = next.values;
      await untilDone(host, number);
      const oracle = createOracle(next.values);
      const shots = fc.sample(shot, { numRuns: options.packets, seed });
      const arrived = await fire(host, plugged, shots);
      for (const [index, each] of shots.entries()) {
        const answer = oracle.ask(each.question);
        pairs += 1;
        if (answer.verdict === 'allow') allowed += 1;
        const verdict = arrived[index] ? 'allow' : 'deny';
        if (verdict !== answer.verdict) return { pairs, allowed, difference: { seed, kernel: verdict, oracle: answer, question: each.question } };
      }
    }
    return { pairs, allowed };
  } finally {
    await host.close();
  }
}

async function become(host: TestHost, held: ReadonlyMap<string, string>, next: ReadonlyMap<string, string>): Promise<void> {
  const gone = [...held.keys()].filter((key) => !next.has(key)).map((key) => ({ delete: key }));
  const come = [...next].filter(([key, value]) => held.get(key) !== value).map(([key, value]) => ({ put: key, value }));
  if (gone.length + come.length > 0) await host.etcd.transact([], [...gone, ...come]);
}

/** Sends them all, each a new flow; tells which arrived where they were sent to. */
async function fire(host: TestHost, plugged: ReadonlyMap<TestEndpoint, Plugged>, shots: readonly Shot[]): Promise<boolean[]> {
  const sent = shots.map(({ from, to, question: { packet } }) => {
    const { protocol, destinationPort, icmpType, icmpCode } = packet;
    const probe = {
      protocol,
      source: packet.source,
      ...(destinationPort !== undefined && { destinationPort }),
      ...(icmpType !== undefined && { icmp: { type: icmpType, code: icmpCode ?? 0 } }),
    };
    return host.send(plugged.get(from)!, plugged.get(to)!, probe, packet.source.includes(':') ? 6 : 4);
  });
  // Forwarded packets come in their order, but not over several processors: what has not come after this long was dropped.
  await new Promise((resolve) => setTimeout(resolve, 150));
  host.readArrivals();
  return sent.map((number, index) => host.arrivalOf(number)?.interfaceIndex === plugged.get(shots[index]!.to)!.interfaceIndex);
}
