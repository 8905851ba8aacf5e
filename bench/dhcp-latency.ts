// Measures DHCP from outside: guests' frames on taps, ports in etcd. It works for any agent that reads this datastore; its floor is Dnsmasq alone with the same files.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '@calico-openstack/agent';
import { openDnsmasq } from '@calico-openstack/dhcp-agent/dnsmasq/disk';
import { hostEntryOf, printHost, printOptions } from '@calico-openstack/dhcp-agent/dnsmasq/files';
import { servePort } from '@calico-openstack/dhcp-agent/service/serve';
import { endpointKey, endpointValue, type TestPort } from '@calico-openstack/dhcp-agent/testing/etcd-values';
import { facts, ip, serviceOptions, subnet } from '@calico-openstack/dhcp-agent/testing/facts';
import { openWorld, type World } from '@calico-openstack/dhcp-agent/testing/world';
import { connectEtcd, type Etcd } from '@calico-openstack/etcd';
import { inNamespace } from '@calico-openstack/kernel';
import type { LinkEditor, Links } from '@calico-openstack/kernel/links/link';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { commandOf, memoryOf } from '@calico-openstack/kernel/processes/processes';
import { relayInto } from '@calico-openstack/kernel/testing/relay';
import { measuredAgent } from './agent.ts';
import { type Bench, type Measurement, quantile } from './bench.ts';
import { type Clients, type Guest, openClients } from './dhcp-clients.ts';

/** The bench `dhcp-latency`. */
export const bench: Bench = {
  description: 'time from tap and port being there to the lease, for lone ports and bursts; lost requests of a steady VM; memory',
  options: {
    agent: 'command that starts the agent in the foreground; --config-file FILE is put behind it [this project’s calico-dhcp-agent, as built]',
    name: 'what the report calls it [calico-dhcp-agent]',
    iterations: 'lone ports of each kind [100]',
    seconds: 'how long ports come and go at each rate [10]',
    ports: 'at a cold start [200]',
  },
  async run(options, progress) {
    const { command, name } = measuredAgent(options, 'dhcp-agent');
    const number = (option: string, otherwise: number): number => Number(options.get(option) ?? otherwise);
    const sizes = { iterations: number('iterations', 100), seconds: number('seconds', 10), ports: number('ports', 200) };
    const results: Measurement[] = [];
    for (const open of [openFloor, (host: Host) => openAgent(host, command, name)]) results.push(...(await measure(open, sizes, progress)));
    return results;
  },
};

type Sizes = { readonly iterations: number; readonly seconds: number; readonly ports: number };

/** The measured server: an agent, or Dnsmasq alone. */
type Subject = {
  readonly name: string;
  start(): Promise<void>;
  /** Resolves when the server has been given the port. */
  plug(port: TestPort): Promise<void>;
  unplug(port: TestPort): Promise<void>;
  /** The memory of all its processes in MB; undefined for the floor, which has none to compare. */
  megabytes(): number | undefined;
  close(): Promise<void>;
};

/** A compute host, with taps whose other ends are in one namespace. */
type Host = { readonly world: World; readonly links: Links & LinkEditor; readonly etcd: Etcd };

const portOf = (number: number): TestPort => {
  const hex = number.toString(16).padStart(6, '0');
  return {
    id: `port-${number}`,
    tap: `tap${hex.padStart(8, '0')}-be`,
    mac: `fa:16:3e:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`,
    networkId: 'net-a',
    addresses: [`10.65.${(number >> 8) + 1}.${number & 255}`, `2001:db8:a::${(number + 16).toString(16)}`],
  };
};
const ipv4Subnet = subnet('10.65.0.0/16', { gatewayIp: '10.65.0.1', dnsServers: ['10.1.1.1'] });

function openAgent({ world, etcd }: Host, command: string, name: string): Subject {
  let agent: ChildProcess | undefined;
  const pids = (): number[] => execFileSync('ip', ['netns', 'pids', world.namespace], { encoding: 'utf8' }).split('\n').filter(Boolean).map(Number);
  return {
    name,
    async start() {
      const file = world.writeConfiguration('debug = false\ndnsmasq_base_log_dir =');
      agent = spawn('ip', ['netns', 'exec', world.namespace, 'sh', '-c', `exec ${command} --config-file ${file}`], { stdio: 'ignore' });
    },
    plug: async (port) => void (await etcd.transact([], [{ put: endpointKey(port), value: endpointValue(port) }])),
    unplug: async (port) => void (await etcd.transact([], [{ delete: endpointKey(port) }])),
    megabytes: () => pids().reduce((sum, pid) => sum + (commandOf(pid)[0]?.includes('etcd') ? 0 : memoryOf(pid).proportionalBytes / 1e6), 0),
    async close() {
      agent?.kill('SIGKILL');
    },
  };
}

function openFloor({ world, links }: Host): Subject {
  const options = {
    leaseSeconds: 86_400,
    renewalSeconds: undefined,
    rebindingSeconds: undefined,
    leaseMax: 100_000,
    broadcastReply: false,
    configFile: undefined,
    logDirectory: undefined,
  };
  const dnsmasq = openDnsmasq({ directory: join(world.directory, 'floor'), dnsmasq: options }, links, silentLog(), {
    program: ['ip', 'netns', 'exec', world.namespace, 'dnsmasq'],
  });
  return {
    name: 'Dnsmasq alone',
    async start() {
      dnsmasq.process.run();
      await dnsmasq.process.settled();
    },
    async plug({ tap, mac, addresses }) {
      const { service } = servePort(facts({ tap, mac, addresses: [addresses[0]!], subnets: [ipv4Subnet] }), serviceOptions);
      dnsmasq.writeFiles(tap, { host: printHost(hostEntryOf(tap, mac, service!.ipv4!)), options: printOptions(tap, service!.ipv4!) });
      links.addAddress(tap, ip('10.65.0.1'), 32, { noPrefixRoute: true, scope: 253 });
    },
    async unplug({ tap }) {
      dnsmasq.removeFiles(tap);
    },
    megabytes: () => undefined,
    close: () => dnsmasq.process.close(),
  };
}

async function measure(open: (host: Host) => Subject, sizes: Sizes, progress: (line: string) => void): Promise<Measurement[]> {
  const world = await openWorld();
  const guests = `${world.namespace}-guests`;
  execFileSync('ip', ['netns', 'add', guests]);
  const relay = await relayInto(world.namespace, world.etcd.clientPort);
  const etcd = connectEtcd({ endpoints: [`http://127.0.0.1:${relay.port}`], username: 'root', password: 'root' });
  const links = inNamespace(world.namespace, () => openLinks());
  const guestLinks = inNamespace(guests, () => openLinks());
  const clients = openClients(guests);
  const subject = open({ world, links, etcd });
  const taps = createTaps(world.namespace, guests, links, guestLinks);
  try {
    await world.putSubnet('a4', ipv4Subnet);
    await world.putSubnet('a6', subnet('2001:db8:a::/64', { gatewayIp: '2001:db8:a::1' }));
    progress(`${subject.name}: ${sizes.ports} ports at a cold start`);
    const run = { subject, clients, taps, sizes, progress };
    const cold = await coldStart(run);
    return [...cold, ...(await lonePorts(run)), ...(await comingAndGoing(run))].map((one) => ({ ...one, metric: `${subject.name}: ${one.metric}` }));
  } finally {
    await subject.close();
    clients.close();
    links.close();
    guestLinks.close();
    etcd.close();
    relay.close();
    execFileSync('ip', ['netns', 'del', guests]);
    await world.close();
  }
}

type Run = {
  readonly subject: Subject;
  readonly clients: Clients;
  readonly taps: ReturnType<typeof createTaps>;
  readonly sizes: Sizes;
  readonly progress: (line: string) => void;
};

/** The number of the link group whose links are to be removed. */
const goneGroup = 67;

/** Taps are made beforehand under other names, because making one takes longer than the measured work. Renaming such a link to a tap's name makes the tap appear. */
function createTaps(host: string, guests: string, links: Links & LinkEditor, guestLinks: Links) {
  let last = 0;
  const gone: string[] = [];
  const spare: { readonly name: string; readonly port: TestPort; readonly guest: Guest }[] = [];
  return {
    make(count: number): void {
      const numbers = Array.from({ length: count }, (_, index) => last + index + 1);
      const lines = numbers.map((number) => `link add v${number} type veth peer name g${number} netns ${guests}`);
      execFileSync('ip', ['-n', host, '-batch', '-'], { input: `${lines.join('\n')}\n` });
      // A guest that answered no ARP would fill the server's send queue, and every other guest would wait.
      const settings = numbers.map((number) => {
        const { mac, addresses } = portOf(number);
        return `link set g${number} address ${mac}\naddr add ${addresses[0]}/32 dev g${number}\nlink set g${number} up`;
      });
      execFileSync('ip', ['-n', guests, '-batch', '-'], { input: `${settings.join('\n')}\n` });
      const shown = JSON.parse(execFileSync('ip', ['-n', guests, '-j', 'link'], { encoding: 'utf8' })) as { ifindex: number; ifname: string }[];
      for (const number of numbers) {
        const port = portOf(number);
        spare.push({ name: `v${number}`, port, guest: { index: shown.find(({ ifname }) => ifname === `g${number}`)!.ifindex, mac: port.mac } });
      }
      last += count;
    },
    /** A new tap. Resolves when its guest can send. */
    async come(): Promise<{ readonly port: TestPort; readonly guest: Guest }> {
      const { name, port, guest } = spare.shift()!;
      links.setLink(name, { name: port.tap });
      links.setLink(port.tap, { up: true });
      while (!guestLinks.link(name.replace('v', 'g'))?.running) await sleep(1);
      return { port, guest };
    },
    /** The route and the neighbour that Felix installs, by which a renewal is answered. */
    connect({ tap, mac, addresses: [address = ''] }: TestPort): void {
      execFileSync('ip', ['-n', host, 'route', 'replace', `${address}/32`, 'dev', tap, 'scope', 'link']);
      execFileSync('ip', ['-n', host, 'neigh', 'replace', address, 'lladdr', mac, 'dev', tap, 'nud', 'permanent']);
    },
    /**
     * Removes a tap within half a second. The kernel keeps its lock on links for 17 ms while it removes one, and as long for many that go together. Removed one by one, 50 taps a second
     * would keep everybody from that lock, and Dnsmasq needs it for each answer.
     */
    go({ tap }: TestPort): void {
      if (gone.push(tap) > 1) return;
      setTimeout(() => {
        const lines = [...gone.splice(0).map((name) => `link set dev ${name} group ${goneGroup}`), `link del group ${goneGroup}`];
        spawn('ip', ['-n', host, '-force', '-batch', '-'], { stdio: ['pipe', 'ignore', 'ignore'] }).stdin.end(`${lines.join('\n')}\n`);
      }, 500);
    },
  };
}

const rounded = (value: number): number => Math.round(value * 10) / 10;

async function coldStart({ subject, clients, taps, sizes }: Run): Promise<Measurement[]> {
  taps.make(sizes.ports);
  const all: Awaited<ReturnType<typeof taps.come>>[] = [];
  for (let count = 0; count < sizes.ports; count += 1) all.push(await taps.come());
  for (const { port } of all) await subject.plug(port);
  const startMs = performance.now();
  const leases = all.map(({ guest }) => clients.lease(4, guest, 100, 60_000));
  await subject.start();
  const atMs = await Promise.all(leases);
  await sleep(2000);
  const megabytes = subject.megabytes();
  return [
    {
      metric: 'cold start → last lease, asking every 100 ms, ms',
      at: sizes.ports,
      value: rounded(Math.max(...atMs.map((at) => at ?? Number.POSITIVE_INFINITY)) - startMs),
      target: 1000,
    },
    ...(megabytes === undefined ? [] : [{ metric: 'resident, MB', at: sizes.ports, value: rounded(megabytes), target: 70 }]),
  ];
}

async function lonePorts({ subject, clients, taps, sizes, progress }: Run): Promise<Measurement[]> {
  const results: Measurement[] = [];
  const kinds = [
    { metric: 'new port, asks once a second', family: 4, everyMs: 1000, targets: [30, 100] },
    { metric: 'new port, asks every 20 ms', family: 4, everyMs: 20, targets: [] },
    { metric: 'new port, DHCPv6, asks once a second', family: 6, everyMs: 1000, targets: [300] },
  ] as const;
  for (const { metric, family, everyMs, targets } of kinds) {
    if (family === 6 && subject.megabytes() === undefined) continue; // the floor serves DHCPv4 only
    progress(`${subject.name}: ${metric}`);
    taps.make(sizes.iterations);
    const tookMs: number[] = [];
    for (let round = 0; round < sizes.iterations; round += 1) {
      const { port, guest } = await taps.come();
      const lease = clients.lease(family, guest, everyMs);
      await subject.plug(port);
      const startMs = performance.now();
      tookMs.push(Math.max(0, ((await lease) ?? Number.POSITIVE_INFINITY) - startMs));
      await subject.unplug(port);
      taps.go(port);
      await sleep(50);
    }
    for (const [index, share] of [0.5, 1].entries())
      results.push({
        metric: `${metric}, ${share === 1 ? 'worst' : 'p50'} ms`,
        value: rounded(quantile(tookMs, share)),
        ...(targets[index] !== undefined && { target: targets[index] }),
      });
  }
  return results;
}

/** Ports come at a rate and go a second later, while one VM renews ten times a second. */
async function comingAndGoing({ subject, clients, taps, sizes, progress }: Run): Promise<Measurement[]> {
  const results: Measurement[] = [];
  taps.make(1 + sizes.seconds * 61);
  const steady = await taps.come();
  taps.connect(steady.port);
  await subject.plug(steady.port);
  await clients.lease(4, steady.guest, 100);
  for (const rate of [1, 10, 50]) {
    progress(`${subject.name}: ${rate} ports a second`);
    const renewals: Promise<boolean>[] = [];
    const renewing = setInterval(() => renewals.push(clients.renew(steady.guest, steady.port.addresses[0]!)), 100);
    const leases: Promise<number | undefined>[] = [];
    for (let count = 0, nextMs = performance.now(); count < rate * sizes.seconds; count += 1) {
      await sleep(Math.max(0, nextMs - performance.now()));
      nextMs = Math.max(nextMs, performance.now() - 1000 / rate) + 1000 / rate; // a delay by other programs is not followed by a burst
      const { port, guest } = await taps.come();
      const lease = clients.lease(4, guest, 20);
      const plugged = subject.plug(port).then(() => performance.now());
      leases.push(Promise.all([lease, plugged]).then(([atMs, startMs]) => (atMs === undefined ? undefined : Math.max(0, atMs - startMs))));
      setTimeout(() => void subject.unplug(port).then(() => taps.go(port)), 1000);
    }
    const tookMs = await Promise.all(leases);
    await sleep(1500);
    clearInterval(renewing);
    const lost = (await Promise.all(renewals)).filter((isAnswered) => !isAnswered).length;
    const leased = tookMs.filter((ms) => ms !== undefined);
    results.push(
      { metric: 'new ports leased', at: `${rate}/s`, value: leased.length },
      { metric: 'new ports not leased', at: `${rate}/s`, value: tookMs.length - leased.length, target: 0 },
      { metric: 'new ports, asking every 20 ms, p99 ms', at: `${rate}/s`, value: leased.length > 0 ? rounded(quantile(leased, 0.99)) : -1 },
      { metric: `steady VM’s requests lost of ${renewals.length}`, at: `${rate}/s`, value: lost, target: 0 },
    );
  }
  return results;
}
