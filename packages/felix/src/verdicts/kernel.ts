// For tests: compares what happens to real packets, on a kernel that the whole agent has programmed, with the verdicts of the oracle.
import { createOracle } from '@calico-openstack/oracle';
import fc from 'fast-check';
import { type Cluster, cluster, localHost, places, type Shot, shot } from '../testing/clusters.ts';
import { type Plugged, run, TestHost } from '../testing/host.ts';
import { type TestEndpoint, workloadEndpoint } from '../testing/resources.ts';
import type { Comparison } from './calculated.ts';

/** Two endpoints with one address, which have it in turn. */
const markers: readonly TestEndpoint[] = [0, 1].map((number) => ({
  host: localHost,
  id: `marker-${number}-0000`,
  mac: `fa:16:3e:00:01:0${number}`,
  addresses: ['10.129.0.1'],
}));

/**
 * Resolves when the agent has programmed everything that was written before this call, and has cut the connections of all addresses that had left. The address moves from one marker
 * to the other, so it waits for its own connections to be cut. That happens last, because connections are cut in the order in which their addresses left.
 */
async function untilDone(host: TestHost, round: number): Promise<void> {
  const [now, before] = [markers[round % 2]!, markers[(round + 1) % 2]!];
  const [put, remove] = [workloadEndpoint(now), workloadEndpoint(before)];
  await host.etcd.transact([], [{ put: put.key, value: put.value }, { delete: remove.key }]);
  await host.until(
    async () => (await host.statusOf(now))?.includes('"up"') === true && (await host.statusOf(before)) === undefined,
    `the agent to reach cluster ${round}`,
  );
}

/** A compute host with local workloads, remote ones behind an uplink, and a running agent. */
async function openWorld() {
  const host = await TestHost.open(localHost);
  try {
    const plugged = new Map<TestEndpoint, Plugged>();
    for (const place of places) if (place.host === localHost) plugged.set(place, await host.plug(place));
    for (const marker of markers) await host.plug(marker);
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
    host.startAgent(undefined, { FELIX_SHAREDADDRESSPAIRS: 'Oldest' }); // the guests are packets alone, which answer nothing
    return { host, plugged };
  } catch (error) {
    await host.close();
    throw error;
  }
}

/** Gives one running agent `clusters` random clusters, one after the other, and sends `packets` packets in each. */
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
      const sent = shots.map((each) => fire(host, plugged, each));
      await delivered(host);
      const passed = new Map<Shot, number>();
      for (const [index, each] of shots.entries()) {
        const answer = oracle.ask(each.question);
        pairs += 1;
        if (answer.verdict === 'allow') allowed += 1;
        const arrived = arrivedAt(host, plugged, sent[index]!, each.to);
        if (arrived) passed.set(each, sent[index]!);
        if (arrived !== (answer.verdict === 'allow'))
          return { pairs, allowed, difference: { seed, kernel: arrived ? 'allow' : 'deny', oracle: answer, question: each.question } };
      }
      const wrong = await judgeStates(host, plugged, passed);
      if (wrong) return { pairs, allowed, difference: { seed, ...wrong } };
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

/** Sends a packet as a new flow. Returns the probe's number. */
function fire(host: TestHost, plugged: ReadonlyMap<TestEndpoint, Plugged>, { from, to, question: { packet } }: Shot): number {
  const { protocol, destinationPort, icmpType, icmpCode } = packet;
  const probe = {
    protocol,
    source: packet.source,
    ...(destinationPort !== undefined && { destinationPort }),
    ...(icmpType !== undefined && { icmp: { type: icmpType, code: icmpCode ?? 0 } }),
  };
  return host.send(plugged.get(from)!, plugged.get(to)!, probe, familyOf(packet));
}

const familyOf = (packet: { readonly source: string }): 4 | 6 => (packet.source.includes(':') ? 6 : 4);

/** Waits for the packets that were sent. They may arrive in another order, because several processors forward them. A packet that has not arrived after this time was dropped. */
async function delivered(host: TestHost): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 150));
  host.readArrivals();
}

const arrivedAt = (host: TestHost, plugged: ReadonlyMap<TestEndpoint, Plugged>, probe: number, to: TestEndpoint): boolean =>
  host.arrivalOf(probe)?.interfaceIndex === plugged.get(to)!.interfaceIndex;

/**
 * Checks what connection tracking decides before policy. The answer to a packet that passed is allowed, whatever policy says about its direction. An answer without a request is dropped.
 * Returns the first packet for which that was not so.
 */
async function judgeStates(host: TestHost, plugged: ReadonlyMap<TestEndpoint, Plugged>, passed: ReadonlyMap<Shot, number>): Promise<object | undefined> {
  const udp = [...passed].filter(([{ question }]) => question.packet.protocol === 17);
  const answers = udp.map(
    ([
      {
        from,
        to,
        question: { packet },
      },
      probe,
    ]) => ({
      expected: true,
      to: from,
      probe: host.send(
        plugged.get(to)!,
        plugged.get(from)!,
        {
          protocol: 17,
          source: packet.destination,
          destination: packet.source,
          sourcePort: packet.destinationPort!,
          destinationPort: TestHost.sourcePortOf(probe),
        },
        familyOf(packet),
      ),
    }),
  );
  const unasked = [...passed.keys()].slice(0, 3).map(({ from, to, question: { packet } }) => ({
    expected: false,
    to,
    probe: host.send(
      plugged.get(from)!,
      plugged.get(to)!,
      packet.source.includes(':') ? { protocol: 58, icmp: { type: 129, code: 0 } } : { protocol: 1, icmp: { type: 0, code: 0 } },
      familyOf(packet),
    ),
  }));
  await delivered(host);
  const wrong = [...answers, ...unasked].find(({ probe, to, expected }) => arrivedAt(host, plugged, probe, to) !== expected);
  return wrong && { state: wrong.expected ? 'an answer was dropped' : 'an answer that nobody asked for passed', to: wrong.to.id };
}
