// Measures what a mechanism driver costs the users of a real Neutron: creating and binding ports, in turns with a driver that does nothing, in one run and on one database. And what a resync costs them meanwhile.
import { randomUUID } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { felixStatusKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import { bringUp, type Lab } from '../lab/lab.ts';
import type { OpenStack } from '../lab/openstack.ts';
import { until } from '../lab/wait.ts';
import { type Bench, type Measurement, quantile } from './bench.ts';
import { insertPorts } from './resync.ts';

const host = 'host-1';
/** The greatest acceptable cost, in percent of what the driver that does nothing needs. */
const target = 5;
const targetDuringResync = 10;

/** The bench `neutron-overhead`. */
export const bench: Bench = {
  description: 'what a mechanism driver adds to the creation and binding of ports by a real Neutron, and what a resync adds meanwhile',
  options: {
    ports: 'number of ports with each driver and each number of clients [100]',
    clients: 'numbers of clients, separated by commas [1,8]',
    'resync-ports': 'number of ports that are compared meanwhile [10000]; 0 leaves this part out',
    driver: 'the name of a third mechanism driver to measure, which --packages contains',
    packages: 'the folder in which Python finds the third driver and its entry point',
  },
  async run(options, progress) {
    const ports = Number(options.get('ports') ?? 100);
    const folder = nothing();
    const reporting = { intervalSeconds: 15, ttlSeconds: 90, agentDownSeconds: 3600 };
    const lab = await bringUp({ prefix: `no${process.pid % 10_000}`, hosts: 1, without: ['felix', 'dhcp-agent', 'bird-agent'], reporting });
    try {
      const drivers = [['nothing', await serverWith(lab, 2, 'nothing', folder)] as const, ['calico', lab.openstack] as const];
      const [third, packages] = [options.get('driver'), options.get('packages')];
      const others = third !== undefined && packages !== undefined ? [[third, await serverWith(lab, 3, third, packages)] as const] : [];
      await lab.etcd.ctl('put', felixStatusKey(undefined, host), JSON.stringify({ time: rfc3339Seconds(new Date()), uptime: 1.5, first_update: true }));
      await until('Felix alive in Neutron', async () => (await lab.openstack.list('agent', { host })).some((agent) => agent.alive) || undefined);
      const network = await lab.openstack.create('network', { name: 'overhead' });
      await lab.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.200.0.0/16' });
      const results: Measurement[] = [];
      for (const clients of (options.get('clients') ?? '1,8').split(',').map(Number))
        results.push(...compared(await inTurns([...drivers, ...others], network.id, ports, clients, progress), clients));
      const compare = Number(options.get('resync-ports') ?? 10_000);
      if (compare > 0) results.push(...(await duringResync(lab, network.id, ports, compare, progress)));
      return results;
    } finally {
      await lab.down();
      rmSync(folder, { recursive: true });
    }
  },
};

/** Makes a folder from which Neutron loads the driver that does nothing. */
function nothing(): string {
  const folder = mkdtempSync(join(tmpdir(), 'neutron-nothing-'));
  copyFileSync(join(import.meta.dirname, 'floor/neutron/nothing.py'), join(folder, 'nothing.py'));
  const metadata = join(folder, 'nothing-0.dist-info');
  mkdirSync(metadata);
  writeFileSync(join(metadata, 'METADATA'), 'Metadata-Version: 2.1\nName: nothing\nVersion: 0\n');
  writeFileSync(join(metadata, 'entry_points.txt'), '[neutron.ml2.mechanism_drivers]\nnothing = nothing:NothingMechanismDriver\n');
  return folder;
}

async function serverWith(lab: Lab, server: number, mechanism: string, packages: string): Promise<OpenStack> {
  const { neutron, openstack } = lab.serverWith(server, { mechanism, packages });
  await neutron.start();
  return openstack;
}

/** The times of one port. */
type Times = { readonly createMs: number; readonly bindMs: number };

/** Creates, binds and deletes one port. */
async function onePort(openstack: OpenStack, network: string): Promise<Times> {
  const begunMs = performance.now();
  const port = await openstack.create('port', { network_id: network, device_owner: 'compute:nova', device_id: randomUUID() });
  const createdMs = performance.now();
  const bound = await openstack.update('port', port.id, { 'binding:host_id': host });
  const times = { createMs: createdMs - begunMs, bindMs: performance.now() - createdMs };
  if (bound['binding:vif_type'] !== 'tap') throw new Error(`port ${port.id} was not bound`);
  await openstack.remove('port', port.id);
  return times;
}

/** The times of this many ports by so many clients. */
async function burst(openstack: OpenStack, network: string, ports: number, clients: number): Promise<Times[]> {
  const times: Times[] = [];
  let left = ports;
  const client = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      times.push(await onePort(openstack, network));
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return times;
}

/** Sends the first requests, which load what later ones use. Neutron 21 answers some of them with 500: its models refer to one another before they are complete. */
async function warmUp(openstack: OpenStack, network: string): Promise<void> {
  for (let left = 20, inARow = 0; inARow < 5; left -= 1) {
    const worked = await onePort(openstack, network).then(
      () => true,
      (error) => {
        if (left === 0) throw error;
        return false;
      },
    );
    inARow = worked ? inARow + 1 : 0;
  }
}

type Contest = ReadonlyMap<string, Times[]>;

/** Lets the drivers take turns, so that whatever else the machine does meets all of them. */
async function inTurns(
  drivers: readonly (readonly [string, OpenStack])[],
  network: string,
  ports: number,
  clients: number,
  progress: (line: string) => void,
): Promise<Contest> {
  const times = new Map<string, Times[]>(drivers.map(([name]) => [name, []]));
  for (const [, openstack] of drivers) await warmUp(openstack, network);
  const each = clients === 1 ? 10 : 4 * clients;
  for (let done = 0, round = 0; done < ports; done += each, round += 1) {
    for (const [name, openstack] of round % 2 === 0 ? drivers : drivers.toReversed())
      times.get(name)!.push(...(await burst(openstack, network, each, clients)));
    progress(`${clients} clients: ${done + each} of ${ports} ports`);
  }
  return times;
}

const p50 = (times: readonly Times[], what: (each: Times) => number): number => quantile(times.map(what), 0.5);
const rounded = (value: number): number => Math.round(value * 10) / 10;

function compared(contest: Contest, clients: number): Measurement[] {
  const at = `${clients} clients`;
  const [create, bind, both] = [(each: Times) => each.createMs, (each: Times) => each.bindMs, (each: Times) => each.createMs + each.bindMs];
  const floor = contest.get('nothing')!;
  return [...contest].flatMap(([name, times]): Measurement[] => {
    const absolute = [
      { metric: `${name}: create, p50 ms`, at, value: rounded(p50(times, create)) },
      { metric: `${name}: bind, p50 ms`, at, value: rounded(p50(times, bind)) },
    ];
    if (name === 'nothing') return absolute;
    const over = (what: (each: Times) => number): number => rounded((100 * p50(times, what)) / p50(floor, what) - 100);
    return [
      ...absolute,
      { metric: `${name}: create, % over nothing`, at, value: over(create) },
      { metric: `${name}: bind, % over nothing`, at, value: over(bind) },
      { metric: `${name}: create and bind, % over nothing`, at, value: over(both), ...(name === 'calico' && { target }) },
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
  const both = (each: Times): number => each.createMs + each.bindMs;
  const value = rounded((100 * p50(busy, both)) / p50(idle, both) - 100);
  return [{ metric: 'create and bind during a resync in depth, % over none', at: compare, value, target: targetDuringResync }];
}
