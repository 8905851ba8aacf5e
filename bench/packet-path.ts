// Measures the cost of an agent's rules for new connections: TCP connections per second between two guests of one host, compared with a host without rules, and with one where the kernel tracks
// connections for a single rule. All hosts exist at the same time and are measured in turn. Any agent that reads this datastore can be measured.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Plugged } from '@calico-openstack/felix/testing/host';
import { tapOf, workloadEndpoint } from '@calico-openstack/felix/testing/resources';
import { measuredAgent } from './agent.ts';
import { type Bench, type Measurement, quantile } from './bench.ts';
import { type ComputeHost, openComputeHost } from './compute-host.ts';

const cluster = 200;
const port = 7000;
/** The second guest. It is in the same group as the first local endpoint, and the group allows ingress from its own members. */
const clientNumber = 256 + 5000;
const least = 0.9;

/** The bench `packet-path`. */
export const bench: Bench = {
  description: 'new TCP connections a second between two guests of a host, against the bare kernel',
  options: {
    agent: 'command that starts the agent in the foreground [this project’s calico-felix, as built]',
    name: 'what the report calls it [calico-felix]',
    local: 'numbers of local endpoints, separated by commas [1,1000]',
    rounds: 'measurements of each [7]',
    seconds: 'length of one measurement [2]',
  },
  async run(options, progress) {
    const { command, name } = measuredAgent(options, 'felix');
    const [rounds, seconds] = [Number(options.get('rounds') ?? 7), Number(options.get('seconds') ?? 2)];
    const results: Measurement[] = [];
    for (const local of (options.get('local') ?? '1,1000').split(',').map(Number)) {
      progress(`${local} local endpoints`);
      const [bare, tracked, policed] = [await openPair(1, 'nothing'), await openPair(1, 'conntrack'), await openPair(local, { command })];
      try {
        const rates = { bare: [] as number[], tracked: [] as number[], policed: [] as number[] };
        for (let round = 1; round <= rounds; round += 1) {
          rates.bare.push(await bare.connectionsPerSecond(seconds));
          rates.tracked.push(await tracked.connectionsPerSecond(seconds));
          rates.policed.push(await policed.connectionsPerSecond(seconds));
          progress(`  round ${round} of ${rounds}: bare ${rates.bare.at(-1)}, tracked ${rates.tracked.at(-1)}, ${name} ${rates.policed.at(-1)}`);
        }
        const [without, with_] = [quantile(rates.bare, 0.5), quantile(rates.policed, 0.5)];
        results.push(
          { metric: 'bare kernel: connections a second', at: local, value: without },
          { metric: 'one rule with conntrack: connections a second', at: local, value: quantile(rates.tracked, 0.5) },
          { metric: `${name}: connections a second`, at: local, value: with_ },
          {
            metric: `${name}: bare kernel’s connections for each of its own`,
            at: local,
            value: Math.round((without / with_) * 1000) / 1000,
            target: Math.round(1000 / least) / 1000,
          },
        );
      } finally {
        for (const pair of [bare, tracked, policed]) await pair.close();
      }
    }
    return results;
  },
};

/** Two guests of one host, one of which is a TCP server. */
type Pair = { connectionsPerSecond(seconds: number): Promise<number>; close(): Promise<void> };

const ip = (...args: readonly string[]): void => void execFileSync('ip', args);

/** @param rules who judges packets: an agent, nobody, or one rule for which the kernel tracks connections. Without an agent, routes are made here */
async function openPair(local: number, rules: 'nothing' | 'conntrack' | { readonly command: string }): Promise<Pair> {
  const computeHost = await openComputeHost(local, cluster);
  const closing: (() => unknown)[] = [() => computeHost.host.close()];
  const close = async (): Promise<void> => {
    for (const each of closing.reverse()) await each();
  };
  try {
    const { host, locals, plug } = computeHost;
    const [server, client] = [locals[0]!, await plug(clientNumber)];
    await host.put(workloadEndpoint(client));
    if (typeof rules === 'string') {
      for (const each of [server, client]) await lead(computeHost, each);
      if (rules === 'conntrack')
        await host.exec('nft', 'add table inet one; add chain inet one forward { type filter hook forward priority 0; ct state invalid drop; }');
    } else {
      computeHost.start(rules.command);
      await host.untilPasses(client, server, { protocol: 6, destinationPort: port });
    }
    const [serverSpace, clientSpace] = [server, client].map((each) => openGuest(computeHost, each, closing)) as [string, string];
    const listening = run(
      serverSpace,
      `require('node:net').createServer((socket) => socket.on('error', () => {}).resume()).listen(${port}, () => console.log('listens'))`,
    );
    closing.push(() => listening.kill());
    await once(listening.stdout!, 'data');
    return { close, connectionsPerSecond: (seconds) => countConnections(clientSpace, server.addresses[0]!, seconds) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Routes an address to its tap, as an agent would. */
async function lead({ host }: ComputeHost, { addresses: [address], mac, ...rest }: Plugged): Promise<void> {
  const tap = tapOf({ addresses: [address!], mac, ...rest });
  await host.exec('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
  await host.exec('ip', 'route', 'replace', address!, 'dev', tap);
  await host.exec('ip', 'neigh', 'replace', address!, 'lladdr', mac, 'dev', tap, 'nud', 'permanent');
}

/** Gives a guest a network namespace of its own, with its address. Returns the namespace's name. */
function openGuest({ host }: ComputeHost, guest: Plugged, closing: (() => unknown)[]): string {
  const [device, space] = [`w${tapOf(guest).slice(3)}`, `${host.workloadsName}-${guest.interfaceIndex}`];
  ip('netns', 'add', space);
  closing.push(() => ip('netns', 'delete', space));
  ip('-n', host.workloadsName, 'link', 'set', device, 'netns', space);
  const router = '169.254.1.1';
  for (const command of [
    ['link', 'set', device, 'up'],
    ['address', 'add', `${guest.addresses[0]}/32`, 'dev', device],
    ['route', 'add', router, 'dev', device],
    ['route', 'add', 'default', 'via', router],
    ['neigh', 'add', router, 'lladdr', guest.gatewayMac, 'dev', device, 'nud', 'permanent'],
  ])
    ip('-n', space, ...command);
  return space;
}

const run = (space: string, script: string) => spawn('ip', ['netns', 'exec', space, process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });

/** Opens connections, 16 at a time, and resets each as soon as it stands. Returns how many stood in a second. */
async function countConnections(space: string, address: string, seconds: number): Promise<number> {
  const script = `
    const { connect } = require('node:net');
    let count = 0;
    const next = () => {
      const socket = connect(${port}, '${address}', () => { count += 1; socket.resetAndDestroy(); });
      socket.on('error', () => {}).on('close', next);
    };
    for (let index = 0; index < 16; index += 1) next();
    setTimeout(() => { console.log(count); process.exit(); }, ${seconds * 1000});`;
  const client = run(space, script);
  let output = '';
  client.stdout!.on('data', (data: Buffer) => (output += data));
  await once(client, 'close');
  return Math.round(Number(output) / seconds);
}
