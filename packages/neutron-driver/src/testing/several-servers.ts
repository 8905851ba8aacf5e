// Three Neutron servers with a driver each, on one database and one etcd, while tenants change the same objects through all of them and processes are stopped and killed at any instant.
import { randomInt, randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { electionKey, felixStatusKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import { allProcesses } from '@calico-openstack/kernel/processes/processes';
import { expect } from 'vitest';
import type { NeutronServer } from '../../../../lab/lab.ts';
import { until } from '../../../../lab/wait.ts';
import { readOpen } from '../sync/journal-file.ts';
import type { Cloud, Resource } from './cloud.ts';
import { makeTenants, type Tenants } from './tenants.ts';
import { witness } from './witness.ts';

/** How long the test runs, and what happens in it. */
export type SeveralServersOptions = {
  /** How many changes have to succeed. */
  readonly changes: number;
  /** The disturbances, one after the other. */
  readonly faults: readonly Fault[];
  /** For how long they are repeated. By default each happens once. */
  readonly minutes?: number;
  readonly progress?: (line: string) => void;
};
/**
 * A disturbance. With `depose` the leader is stopped, its lease is revoked, and it continues when another driver leads. With `outlast` the leader is stopped until its lease has expired.
 * Processes of the first server are never killed. A member of etcd can be killed where there are three.
 */
export type Fault = 'depose' | 'outlast' | 'kill a driver' | 'kill a worker' | 'kill a member of etcd' | 'wait';

/** The result of a run. */
export type SeveralServersReport = { readonly answers: Readonly<Record<number, number>>; readonly values: number };

const tenantsOfEachServer = 2;

/** Runs the test. Rejects when etcd ever held a value that Neutron never allowed, when a deposed leader wrote, or when etcd differs from Neutron in the end. */
export async function severalServers(
  cloud: Cloud,
  { changes, faults, minutes = 0, progress = () => {} }: SeveralServersOptions,
): Promise<SeveralServersReport> {
  const { lab } = cloud;
  const servers: readonly NeutronServer[] = [
    { neutron: lab.neutron, driver: lab.driver!, openstack: cloud.openstack },
    lab.anotherServer(2),
    lab.anotherServer(3),
  ];
  const others = servers.slice(1);
  const objections: string[] = [];
  let values = 0;
  try {
    await Promise.all(others.map(({ driver }) => driver.start()));
    await Promise.all(others.map(({ neutron }) => neutron.start()));
    const tenants = await makeTenants(cloud.openstack);
    const watched = await witness(lab, '/calico/resources/', ({ key, value }) => {
      if (value === undefined) return;
      values += 1;
      const objection = tenants.objection(JSON.parse(value) as Resource);
      if (objection !== undefined) objections.push(`${key} held ${objection}: ${value}`);
    });
    const answers = await storm(cloud, servers, tenants, { changes, faults, minutes, progress });
    await quiet(servers);
    await watched.end();
    expect(objections.slice(0, 3)).toEqual([]);
    expect(values).toBeGreaterThan(changes / 4);
    await agrees(cloud, tenants);
    return { answers, values };
  } finally {
    for (const { neutron, driver } of others) for (const service of [neutron, driver]) service.kill('SIGKILL');
    await Promise.all(others.flatMap(({ neutron, driver }) => [neutron.ended(), driver.ended()]));
  }
}

async function storm(
  cloud: Cloud,
  servers: readonly NeutronServer[],
  tenants: Tenants,
  { changes, faults, minutes, progress }: Required<SeveralServersOptions>,
) {
  const answers: Record<number, number> = {};
  const stopped = new Set<number>();
  let succeeded = 0;
  let ending = false;
  const tenant = async ({ openstack }: NeutronServer): Promise<void> => {
    while (!ending) {
      const { status } = await tenants.act(openstack).catch(() => ({ status: 0 })); // its worker was killed, or the request was refused
      answers[status] = (answers[status] ?? 0) + 1;
      if (status >= 200 && status < 300) succeeded += 1;
    }
  };
  const heartbeats = async (): Promise<void> => {
    while (!ending) {
      for (const host of ['cmp-1', 'cmp-2'])
        await cloud.lab.etcd.ctl(
          'put',
          felixStatusKey(undefined, host),
          JSON.stringify({ time: rfc3339Seconds(new Date()), uptime: 1.5, first_update: false }),
        );
      await delay(5000);
    }
  };
  /** Stops one process after the other for an instant, so that others overtake it anywhere between its steps. */
  const delays = async (): Promise<void> => {
    while (!ending) {
      const pids = pidsOf(servers).filter((pid) => !stopped.has(pid));
      const pid = pids[randomInt(Math.max(1, pids.length))];
      if (pid !== undefined && signal(pid, 'SIGSTOP')) {
        await delay(randomInt(10, 400));
        if (!stopped.has(pid)) signal(pid, 'SIGCONT');
      }
      await delay(randomInt(10, 100));
    }
  };
  const running = [...servers.flatMap((server) => Array.from({ length: tenantsOfEachServer }, () => tenant(server))), heartbeats(), delays()];
  try {
    const untilMs = performance.now() + minutes * 60_000;
    for (let count = 0; count < faults.length || performance.now() < untilMs; count += 1) {
      const fault = faults[count % faults.length]!;
      progress(`${fault}: ${succeeded} changes so far, answers ${JSON.stringify(answers)}`);
      const before = succeeded;
      await until('tenants to be served', () => succeeded > before + 3 || undefined, { timeoutMs: 300_000 });
      await carryOut(fault, cloud, servers, tenants, stopped);
    }
    await until('enough changes', () => succeeded >= changes || undefined, { timeoutMs: 600_000 });
  } finally {
    ending = true;
    await Promise.all(running);
  }
  progress(`answers ${JSON.stringify(answers)}`);
  return answers;
}

async function carryOut(fault: Fault, cloud: Cloud, servers: readonly NeutronServer[], tenants: Tenants, stopped: Set<number>): Promise<void> {
  const others = servers.slice(1);
  switch (fault) {
    case 'depose':
    case 'outlast':
      return depose(fault, cloud, servers, tenants, stopped);
    case 'kill a driver': {
      const leader = await leaderOf(cloud);
      const { driver } = others.find((server) => server.driver.pid() !== leader) ?? others[0]!;
      driver.kill('SIGKILL');
      await driver.ended();
      return driver.start();
    }
    case 'kill a worker': {
      const workers = others.flatMap(({ neutron }) => childrenOf(neutron.pid()));
      signal(workers[randomInt(workers.length)]!, 'SIGKILL');
      return;
    }
    case 'kill a member of etcd': {
      // The first one serves the test itself.
      const { members } = cloud.lab.etcd;
      const killed = members[randomInt(1, members.length)]!;
      killed.kill('SIGKILL');
      await killed.ended();
      return killed.start();
    }
    case 'wait':
      return void (await delay(10_000));
    default:
      return fault satisfies never;
  }
}

/** Stops the leader until another one leads, has the new one write the status of a port, and lets the old one go on: it must not write what it knew. */
async function depose(fault: 'depose' | 'outlast', cloud: Cloud, servers: readonly NeutronServer[], { network }: Tenants, stopped: Set<number>): Promise<void> {
  const patience = { timeoutMs: 300_000, intervalMs: 100 };
  const isOurs = async (): Promise<NeutronServer | undefined> => {
    const pid = await leaderOf(cloud);
    return servers.find(({ driver }) => driver.pid() === pid);
  };
  const { driver } = await until('a living driver to lead', isOurs, patience);
  const { openstack } = servers.find((server) => server.driver !== driver)!;
  const becomes = (status: string) =>
    until(`the port to be ${status}`, async () => (await openstack.get('port', port.id)).status === status || undefined, patience);
  const deviceId = randomUUID();
  const port = await until(
    'a port to be bound',
    () => openstack.create('port', { network_id: network, device_owner: 'compute:nova', device_id: deviceId, 'binding:host_id': 'cmp-1' }),
    patience,
  );
  await cloud.portReport('cmp-1', deviceId, port.id, 'up');
  await becomes('ACTIVE');
  // Otherwise the leader could be stopped between this write and its log line, which would then look like a write of its later self.
  const written = `port=${port.id} host=cmp-1 status=ACTIVE`;
  await until('the log line of this write', () => servers.some((server) => server.driver.said().includes(written)) || undefined, patience);
  const before = driver.said().length;
  const pid = driver.pid()!;
  stopped.add(pid);
  try {
    signal(pid, 'SIGSTOP');
    if (fault === 'depose') await revoke(cloud, (await leaseOfLeader(cloud)).toString(16));
    await until('another driver to lead', async () => ((await isOurs()) ?? { driver }).driver !== driver || undefined, patience);
    await cloud.portReport('cmp-1', deviceId, port.id, 'down');
    await becomes('DOWN');
  } finally {
    stopped.delete(pid);
    signal(pid, 'SIGCONT');
  }
  await until('the old leader to know that it leads no longer', () => /no longer elected/.test(driver.said()) || undefined, patience);
  expect(driver.said().slice(before)).not.toContain(written);
  expect((await openstack.get('port', port.id)).status).toBe('DOWN');
  await until('the port to be deleted', async () => (await openstack.request('DELETE', `ports/${port.id}`)).status < 500 || undefined, patience);
}

type Found = { readonly kvs?: { readonly value: string; readonly lease?: number }[] };
const election = async ({ lab }: Cloud): Promise<string> => lab.etcd.ctl('get', electionKey(undefined), '-w', 'json');
/** The pid of the elected driver. */
const leaderOf = async (cloud: Cloud): Promise<number> => {
  const value = Buffer.from((JSON.parse(await election(cloud)) as Found).kvs?.[0]?.value ?? '', 'base64').toString();
  return Number(value.slice(value.lastIndexOf(':') + 1));
};
/** The leader's lease. JSON's numbers would lose its last digits. */
const leaseOfLeader = async (cloud: Cloud): Promise<bigint> => BigInt(/"lease":(\d+)/.exec(await election(cloud))![1]!);

/** Revokes a lease. A request that is repeated may find that it was revoked already. */
async function revoke({ lab }: Cloud, lease: string): Promise<void> {
  await lab.etcd.ctl('lease', 'revoke', lease).catch((error: Error) => {
    if (!error.message.includes('lease not found')) throw error;
  });
}

/** The pids of a process's children. */
export const childrenOf = (parent: number | undefined): number[] =>
  allProcesses().flatMap((process) => (process.parent === parent && !process.zombie ? [process.pid] : []));
/** The drivers, their rows processes, and the workers of Neutron. */
const pidsOf = (servers: readonly NeutronServer[]): number[] =>
  servers.flatMap(({ neutron, driver }) => [driver.pid() ?? [], childrenOf(driver.pid()), childrenOf(neutron.pid())].flat());

/** Sends a signal. Returns whether there was such a process. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** Resolves when no driver has anything left to check. */
async function quiet(servers: readonly NeutronServer[]): Promise<void> {
  for (const { neutron } of servers) {
    const journal = join(dirname(neutron.configuration), 'driver-state/journal');
    await until(`${journal} to be empty`, () => readOpen(journal).open.length === 0 || undefined, { timeoutMs: 300_000 });
  }
}

type Address = { readonly ip_address: string };

/** Compares etcd with what Neutron's API says, and by resync, which finds nothing to do. */
async function agrees(cloud: Cloud, { network, groups }: Tenants): Promise<void> {
  const ports = (await cloud.openstack.list('port', { network_id: network })) as unknown as Record<string, unknown>[];
  const wanted = ports.filter((port) => String(port['device_owner']).startsWith('compute:') && port['binding:vif_type'] === 'tap' && port['admin_state_up']);
  const expected = wanted.map((port) => ({
    port: port['id'],
    node: port['binding:host_id'],
    addresses: [...(port['fixed_ips'] as Address[]), ...(port['allowed_address_pairs'] as Address[])].map((ip) => `${ip.ip_address}/32`).sort(),
    groups: [...(port['security_groups'] as string[])].sort(),
  }));
  const ofPorts = new Set(ports.map(({ id }) => id));
  const held = Object.values(await cloud.endpoints())
    .filter(({ spec }) => ofPorts.has(spec['endpoint']) || String(spec['workload']).startsWith('5e7e0000'))
    .map(({ spec, metadata }) => ({
      port: spec['endpoint'],
      node: spec['node'],
      addresses: [...(spec['ipNetworks'] as string[])].sort(),
      groups: Object.keys(metadata.labels ?? {})
        .flatMap((label) => /^sg\.projectcalico\.org\/openstack-(.*)$/.exec(label)?.[1] ?? [])
        .sort(),
    }));
  const byPort = (a: { port: unknown }, b: { port: unknown }): number => (String(a.port) < String(b.port) ? -1 : 1);
  expect(held.sort(byPort)).toEqual(expected.sort(byPort));
  const policies = await cloud.policies();
  for (const group of groups) {
    const rules = (await cloud.openstack.list('security_group_rule', { security_group_id: group, direction: 'ingress' })) as unknown as {
      port_range_min: number;
    }[];
    const policy = Object.values(policies).find(({ metadata }) => metadata.name === `ossg.default.${group}`);
    const opened = ((policy?.spec['ingress'] ?? []) as { destination: { ports: number[] } }[]).map(({ destination }) => destination.ports[0]);
    expect(opened.sort()).toEqual(rules.map((rule) => rule.port_range_min).sort());
  }
  const summary = (await cloud.resync('--dry-run')) as { ok: boolean; phases: Record<string, Record<'created' | 'updated' | 'deleted', number>> };
  expect(summary).toMatchObject({ ok: true });
  for (const phase of Object.values(summary.phases)) expect(phase).toMatchObject({ created: 0, updated: 0, deleted: 0 });
}
