// For tests: compares what happens to real packets, on a kernel that the whole agent has programmed, with the verdicts of the oracle.
import { parseFrame } from '@calico-openstack/kernel/testing/frames';
import { createOracle, type HostOnPath, type Packet } from '@calico-openstack/oracle';
import fc from 'fast-check';
import { type Cluster, cluster, localHost, places, type Shot, shot } from '../testing/clusters.ts';
import { type Plugged, run, TestHost } from '../testing/host.ts';
import { type TestEndpoint, tapOf, workloadEndpoint } from '../testing/resources.ts';
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

/** The host's addresses on its interface to the fabric, which a host endpoint expects there. */
const hostAddresses = ['10.130.0.99', 'fd00:10::81:99'];
const tcp = (port: number) => ({ protocol: 'tcp', port }) as const;
const udp = (port: number) => ({ protocol: 'udp', port }) as const;
const fabricPorts = [179, 2379, 2380, 5473, 6443, 6666, 6667].map(tcp);
const onPath: HostOnPath = {
  node: localHost,
  interfaces: new Map([['eth0', hostAddresses]]),
  isWorkloads: (name) => name.startsWith('tap'),
  inbound: [tcp(22), udp(68), ...fabricPorts],
  outbound: [udp(53), udp(67), ...fabricPorts],
};
const interfaceOf = (end: TestEndpoint): string => (end.host === localHost ? tapOf(end) : 'eth0');
const [TCP, SYN] = [6, 2];

/** A compute host with local workloads, remote ones behind its interface to the fabric, and a running agent. */
async function openWorld() {
  const host = await TestHost.open(localHost);
  try {
    const plugged = new Map<TestEndpoint, Plugged>();
    for (const place of places) if (place.host === localHost) plugged.set(place, await host.plug(place));
    for (const marker of markers) await host.plug(marker);
    await run('ip', ['-n', host.name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'fabric', 'netns', host.workloadsName]);
    await run('ip', ['-n', host.name, 'link', 'set', 'eth0', 'up']);
    await run('ip', ['-n', host.workloadsName, 'link', 'set', 'fabric', 'up']);
    const [fabric] = JSON.parse((await run('ip', ['-n', host.workloadsName, '-j', 'link', 'show', 'fabric'])).stdout) as [{ ifindex: number; address: string }];
    for (const address of hostAddresses)
      await host.exec('ip', 'address', 'add', `${address}/${address.includes(':') ? 128 : 32}`, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []));
    const uplink = await host.link('eth0', (link) => link?.mac !== undefined);
    for (const place of places.filter((each) => each.host !== localHost)) {
      for (const address of place.addresses) {
        await host.exec('ip', 'route', 'add', address, 'dev', 'eth0');
        await host.exec('ip', 'neigh', 'add', address, 'lladdr', fabric.address, 'dev', 'eth0', 'nud', 'permanent');
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
      const knocks = shots.flatMap((each) => knock(host, plugged, each) ?? []);
      const judged = shots.map((each, index) => {
        const answer = oracle.ask(each.question);
        const onWay = oracle.askPath({ host: onPath, in: interfaceOf(each.from), out: interfaceOf(each.to), packet: each.question.packet });
        return { each, probe: sent[index]!, answer, onWay, isAllowed: answer.verdict === 'allow' && onWay.verdict === 'allow' };
      });
      const knocked = knocks.map((each) => {
        const asked = oracle.askPath({ host: onPath, in: 'eth0', packet: each.packet });
        const answer = oracle.askPath({ host: onPath, out: 'eth0', packet: reversed(each.packet) });
        const isJudged = !asked.untracked && !answer.says.some(({ place, verdict }) => place === 'untracked' && verdict === 'deny');
        return { each, asked, isJudged, isAllowed: asked.verdict === 'allow' };
      });
      await delivered(
        host,
        () =>
          judged.every(({ each, probe, isAllowed }) => !isAllowed || arrivedAt(host, plugged, probe, each.to)) &&
          knocked.every(({ each, isJudged, isAllowed }) => !isJudged || !isAllowed || each.answered),
        knocks,
      );
      const passed = new Map<Shot, number>();
      for (const { each, probe, answer, onWay, isAllowed } of judged) {
        pairs += 1;
        if (isAllowed) allowed += 1;
        const arrived = arrivedAt(host, plugged, probe, each.to);
        if (arrived && !onWay.untracked) passed.set(each, probe);
        if (arrived !== isAllowed)
          return { pairs, allowed, difference: { seed, kernel: arrived ? 'allow' : 'deny', oracle: answer, onWay, question: each.question } };
      }
      for (const { each, asked, isJudged, isAllowed } of knocked) {
        if (!isJudged) continue;
        pairs += 1;
        if (isAllowed) allowed += 1;
        if (each.answered !== isAllowed)
          return { pairs, allowed, difference: { seed, kernel: each.answered ? 'answers' : 'is silent', oracle: asked, packet: each.packet } };
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

type Knock = { readonly packet: Packet; answered: boolean };
const reversed = ({ source, destination, sourcePort, destinationPort, protocol }: Packet): Packet => ({
  protocol,
  source: destination,
  destination: source,
  sourcePort: destinationPort!,
  destinationPort: sourcePort!,
});

/** Asks the host itself for a TCP connection, from a remote workload's address. It has no such service, and resets what reaches it. */
function knock(host: TestHost, plugged: ReadonlyMap<TestEndpoint, Plugged>, { from, question: { packet } }: Shot): Knock | undefined {
  if (packet.protocol !== TCP || from.host === localHost || !from.addresses.includes(packet.source)) return undefined;
  const family = familyOf(packet);
  const [destination, destinationPort] = [hostAddresses[family === 4 ? 0 : 1]!, packet.destinationPort!];
  const probe = { protocol: TCP, source: packet.source, destination, destinationPort, tcpFlags: SYN };
  const number = host.send(plugged.get(from)!, { addresses: [destination] }, probe, family);
  return { packet: { protocol: TCP, source: packet.source, destination, destinationPort, sourcePort: TestHost.sourcePortOf(number) }, answered: false };
}

/**
 * Waits for the packets that were sent. They may arrive in another order, because several processors forward them. What should arrive gets ten seconds for that, which only a very busy
 * machine needs. What should not is given up after a moment.
 */
async function delivered(host: TestHost, isComplete: () => boolean, knocks: readonly Knock[] = []): Promise<void> {
  const startMs = performance.now();
  for (;;) {
    const tookMs = performance.now() - startMs; // before the packets are read, so that a pause of this process is no delay of theirs
    for (const { frame } of host.readArrivals()) {
      const answer = parseFrame(frame);
      if (answer?.protocol !== TCP) continue;
      for (const each of knocks)
        if (each.packet.sourcePort === answer.destinationPort && each.packet.destinationPort === answer.sourcePort) each.answered = true;
    }
    if (tookMs > 10_000 || (tookMs > 150 && isComplete())) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
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
  await delivered(host, () => answers.every(({ probe, to }) => arrivedAt(host, plugged, probe, to)));
  const wrong = [...answers, ...unasked].find(({ probe, to, expected }) => arrivedAt(host, plugged, probe, to) !== expected);
  return wrong && { state: wrong.expected ? 'an answer was dropped' : 'an answer that nobody asked for passed', to: wrong.to.id };
}
