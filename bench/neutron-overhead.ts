// Measures what a mechanism driver costs the users of a real Neutron: creating and binding ports, in turns with a driver that does nothing, in one run and on one database. And what a resync costs them meanwhile.
//
// Two servers with one and the same driver differ by up to 5 % for as long as they live, which is as much as the bench has to see. So `calico` and `nothing` are one server: its driver
// announces only while a file exists (floor/neutron/switched.py). `nothing again` is the same as `nothing`, and tells how much chance is left.
import { randomUUID } from 'node:crypto';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { felixStatusKey, resourcePrefix, rfc3339Seconds } from '@calico-openstack/datamodel';
import { bringUp, type Lab } from '../lab/lab.ts';
import type { OpenStack } from '../lab/openstack.ts';
import { until } from '../lab/wait.ts';
import { type Bench, type Measurement, quantile } from './bench.ts';
import { insertPorts } from './resync.ts';

const host = 'host-1';
/** The greatest acceptable cost, in percent of what the driver that does nothing needs. */
const target = 5;
const targetDuringResync = 10;

/** A driver that takes turns: its name in the figures, which upstream's driver may not share with ours; the Neutron with it; and what to do before its turn. */
type Contestant = { readonly name: string; readonly openstack: OpenStack; prepare(): void };

/** The bench `neutron-overhead`. */
export const bench: Bench = {
  description: 'what a mechanism driver adds to the creation and binding of ports by a real Neutron, and what a resync adds meanwhile',
  options: {
    ports: 'number of ports with each driver and each number of clients [100]',
    clients: 'numbers of clients, separated by commas [1,8]',
    'resync-ports': 'number of ports that are compared meanwhile [10000]; 0 leaves this part out',
    driver: 'the name of another mechanism driver to measure in a server of its own, which --packages contains',
    packages: 'the folder in which Python finds that driver and its entry point',
  },
  async run(options, progress) {
    const ports = Number(options.get('ports') ?? 100);
    const folder = mkdtempSync(join(tmpdir(), 'neutron-overhead-'));
    const reporting = { intervalSeconds: 15, ttlSeconds: 90, agentDownSeconds: 3600 };
    const lab = await bringUp({ prefix: `no${process.pid % 10_000}`, hosts: 1, without: ['felix', 'dhcp-agent', 'bird-agent'], reporting });
    try {
      const ours = await switched(lab, 2, folder);
      const contestants = [...ours];
      const [driver, packages] = [options.get('driver'), options.get('packages')];
      if (driver !== undefined && packages !== undefined)
        contestants.push({ name: `--driver ${driver}`, openstack: await serverWith(lab, 3, driver, packages), prepare: () => {} });
      await lab.etcd.ctl('put', felixStatusKey(undefined, host), JSON.stringify({ time: rfc3339Seconds(new Date()), uptime: 1.5, first_update: true }));
      await until('Felix alive in Neutron', async () => (await lab.openstack.list('agent', { host })).some((agent) => agent.alive) || undefined);
      const network = await lab.openstack.create('network', { name: 'overhead' });
      await lab.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.200.0.0/16' });
      for (const openstack of new Set([lab.openstack, ...contestants.map((each) => each.openstack)])) await warmUp(openstack, network.id);
      for (const contestant of ours) await checkSwitch(lab, contestant, network.id);
      const results: Measurement[] = [];
      for (const clients of (options.get('clients') ?? '1,8').split(',').map(Number))
        results.push(...compared(await inTurns(contestants, network.id, ports, clients, progress), clients));
      const compare = Number(options.get('resync-ports') ?? 10_000);
      if (compare > 0) results.push(...(await duringResync(lab, network.id, ports, compare, progress)));
      return results;
    } finally {
      await lab.down();
      rmSync(folder, { recursive: true });
    }
  },
};

/** Starts a server with our driver, which announces to the first server's daemon while it is `calico`'s turn. */
async function switched(lab: Lab, server: number, folder: string): Promise<Contestant[]> {
  cpSync(join(import.meta.dirname, '../neutron/calico_openstack'), join(folder, 'calico_openstack'), { recursive: true });
  copyFileSync(join(import.meta.dirname, 'floor/neutron/switched.py'), join(folder, 'switched.py'));
  const metadata = join(folder, 'switched-0.dist-info');
  mkdirSync(metadata);
  writeFileSync(join(metadata, 'METADATA'), 'Metadata-Version: 2.1\nName: switched\nVersion: 0\n');
  // The entry point has the name `calico`, so that Neutron and our driver take the same decisions by that name.
  writeFileSync(join(metadata, 'entry_points.txt'), '[neutron.ml2.mechanism_drivers]\ncalico = switched:SwitchedMechanismDriver\n');
  const announcing = join(folder, 'announcing');
  const openstack = await serverWith(lab, server, 'calico', folder, (socket) => symlinkSync(lab.neutron.driverSocket, socket));
  const silent = (): void => rmSync(announcing, { force: true });
  return [
    { name: 'nothing', openstack, prepare: silent },
    { name: 'calico', openstack, prepare: () => writeFileSync(announcing, '') },
    { name: 'nothing again', openstack, prepare: silent },
  ];
}

/** Starts a server with this mechanism driver. `prepare` gets the path at which the driver looks for its daemon. */
async function serverWith(lab: Lab, server: number, mechanism: string, packages: string, prepare: (socket: string) => void = () => {}): Promise<OpenStack> {
  const { neutron, openstack } = lab.serverWith(server, { mechanism, packages });
  await neutron.configure();
  prepare(neutron.driverSocket);
  await neutron.start();
  return openstack;
}

/** The times of one port. */
type Times = { readonly createMs: number; readonly bindMs: number; readonly deleteMs: number };

async function timed<T>(act: () => Promise<T>): Promise<[T, number]> {
  const begunMs = performance.now();
  return [await act(), performance.now() - begunMs];
}

/** Creates and binds a port. */
async function boundPort(openstack: OpenStack, network: string): Promise<Omit<Times, 'deleteMs'> & { readonly id: string }> {
  const [{ id }, createMs] = await timed(() => openstack.create('port', { network_id: network, device_owner: 'compute:nova', device_id: randomUUID() }));
  const [{ 'binding:vif_type': type }, bindMs] = await timed(() => openstack.update('port', id, { 'binding:host_id': host }));
  if (type !== 'tap') throw new Error(`port ${id} was not bound`);
  return { id, createMs, bindMs };
}

/**
 * The times of this many ports by so many clients, which create and bind all of them before they delete the first. Neutron reads a port again after each change, for agents that Calico
 * does not have. A thread of the worker's does that while a request waits for something: if a binding does not wait any more, during the worker's next request. So the next one
 * has to be one that is counted.
 */
async function burst(openstack: OpenStack, network: string, ports: number, clients: number): Promise<Times[]> {
  const bound = await shared(clients, Array.from({ length: ports }), () => boundPort(openstack, network));
  return shared(clients, bound, async ({ id, ...times }) => {
    const [, deleteMs] = await timed(() => openstack.remove('port', id));
    return { ...times, deleteMs };
  });
}

/** Lets so many clients share the work: each takes the next item when it has done one. */
async function shared<Item, Result>(clients: number, items: readonly Item[], act: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const left = items[Symbol.iterator]();
  const client = async (): Promise<void> => {
    for (const item of left) results.push(await act(item));
  };
  await Promise.all(Array.from({ length: clients }, client));
  return results;
}

/** Sends the first requests, which load what later ones use. Neutron 21 answers some of them with 500: its models refer to one another before they are complete. */
async function warmUp(openstack: OpenStack, network: string): Promise<void> {
  for (let left = 20, inARow = 0; inARow < 5; left -= 1) {
    const worked = await burst(openstack, network, 1, 1).then(
      () => true,
      (error) => {
        if (left === 0) throw error;
        return false;
      },
    );
    inARow = worked ? inARow + 1 : 0;
  }
}

/** Makes sure that a bound port is in etcd exactly if it is `calico`'s turn: a switch that did nothing would make like with like of the comparison. */
async function checkSwitch(lab: Lab, { name, openstack, prepare }: Contestant, network: string): Promise<void> {
  prepare();
  const { id } = await boundPort(openstack, network);
  const endpoints = await lab.etcd.ctl('get', '--prefix', resourcePrefix('workloadendpoints'), '--keys-only');
  if (endpoints.includes(id.replaceAll('-', '--')) !== (name === 'calico'))
    throw new Error(`a port of the driver '${name}' is ${name === 'calico' ? 'not ' : ''}in etcd`);
  await openstack.remove('port', id);
}

/** What each driver took, by its name: the times of its ports, by round. */
type Contest = ReadonlyMap<string, Times[][]>;

/** Lets the drivers take turns, so that whatever else the machine does meets all of them. The first ports of a turn are not counted: in a cloud, no other driver was at work before them. */
async function inTurns(
  contestants: readonly Contestant[],
  network: string,
  ports: number,
  clients: number,
  progress: (line: string) => void,
): Promise<Contest> {
  const times = new Map<string, Times[][]>(contestants.map(({ name }) => [name, []]));
  const each = clients === 1 ? 20 : 4 * clients;
  for (let done = 0, round = 0; done < ports; done += each, round += 1) {
    for (const { name, openstack, prepare } of round % 2 === 0 ? contestants : contestants.toReversed()) {
      prepare();
      await burst(openstack, network, 2 * clients, clients);
      times.get(name)!.push(await burst(openstack, network, each, clients));
    }
    progress(`${clients} clients: ${done + each} of ${ports} ports`);
  }
  return times;
}

type Measure = (times: Times) => number;

const requests: Readonly<Record<string, Measure>> = { create: ({ createMs }) => createMs, bind: ({ bindMs }) => bindMs, delete: ({ deleteMs }) => deleteMs };
const both: Measure = ({ createMs, bindMs }) => createMs + bindMs;

const p50 = (times: readonly Times[], measure: Measure): number => quantile(times.map(measure), 0.5);
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const rounded = (value: number): number => Math.round(value * 10) / 10;

/**
 * How much more a driver took than another, in percent: the middle one of the rounds. Within a round means are compared and not the middle ports: work that one request leaves to the
 * next must count, whichever of them carries it out.
 */
function over(rounds: readonly Times[][], floor: readonly Times[][], measure: Measure): number {
  const percents = rounds.map((times, round) => (100 * mean(times.map(measure))) / mean(floor[round]!.map(measure)) - 100);
  return rounded(middle(percents));
}

/** The middle value. Of an even number the two middle ones count, because rounds are few. */
function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return mean(sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1));
}

function compared(contest: Contest, clients: number): Measurement[] {
  const at = `${clients} clients`;
  const [nothing, again] = [contest.get('nothing')!, contest.get('nothing again')!];
  const floor = nothing.map((times, round) => [...times, ...again[round]!]);
  return [...contest].flatMap(([name, rounds]): Measurement[] => {
    const absolute = Object.entries(requests).map(([request, ms]) => ({ metric: `${name}: ${request}, p50 ms`, at, value: rounded(p50(rounds.flat(), ms)) }));
    if (rounds === nothing) return absolute;
    const percent = (ms: Measure): number => over(rounds, rounds === again ? nothing : floor, ms);
    return [
      ...absolute,
      ...Object.entries(requests).map(([request, ms]) => ({ metric: `${name}: ${request}, % over nothing`, at, value: percent(ms) })),
      { metric: `${name}: create and bind, % over nothing`, at, value: percent(both), ...(name === 'calico' && { target }) },
    ];
  });
}

const executable = join(import.meta.dirname, '../node_modules/.bin/calico-resync');

/** Compares a port's times while nothing else is done with those while everything is compared in depth, in turns. */
async function duringResync(lab: Lab, network: string, ports: number, compare: number, progress: (line: string) => void): Promise<Measurement[]> {
  progress(`inserting ${compare} ports`);
  await insertPorts(lab, compare);
  const run = { on: lab.plan.control, env: { PYTHONPATH: lab.neutron.pythonPath }, timeoutMs: 600_000 };
  const resync = async (): Promise<void> => {
    await lab.processes.run(executable, ['--config-file', lab.neutron.configuration, '--quiet', '--deep'], run);
  };
  await resync();
  const [idle, busy]: [Times[], Times[]] = [[], []];
  while (busy.length < ports) {
    idle.push(...(await burst(lab.openstack, network, 10, 1)));
    let running = true;
    const resyncs = (async () => {
      while (running) await resync();
    })();
    busy.push(...(await burst(lab.openstack, network, 10, 1)));
    running = false;
    await resyncs;
    progress(`during resync: ${busy.length} of ${ports} ports`);
  }
  const value = rounded((100 * p50(busy, both)) / p50(idle, both) - 100);
  return [{ metric: 'create and bind during a resync in depth, % over none', at: compare, value, target: targetDuringResync }];
}
