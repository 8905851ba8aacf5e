// Watches an idle lab while etcd and the proxy in front of it are killed now and then. No key may be lost, not even for a while.
import { randomUUID } from 'node:crypto';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from './lab.ts';
import type { Network } from './openstack.ts';
import type { Service } from './process.ts';

/** How long to watch, and how often to kill. */
export type SoakOptions = {
  readonly durationMs: number;
  /** How many kills there are, also when they take longer. */
  readonly leastKills?: number;
  /** The quiet time before each kill. */
  readonly quietMs: number;
  /** How long a killed service stays away. */
  readonly awayMs: number;
};

/** The observations of a run. */
export type SoakReport = {
  readonly kills: number;
  /** How often each part reported that etcd was away. */
  readonly losses: Readonly<Record<string, number>>;
  /** The observations that mean a fault. */
  readonly troubles: readonly string[];
};

/** Keys under leases, and keys that exist as long as what they describe. A key that was deleted and written again has another create revision. */
const lasting = /\/status$|election|\/nodes\/|\/workloadendpoints\/|\/workload\/.*\/endpoint\//;
/** The keys that each agent writes again and again. */
const heartbeats = /\/host\/[^/]+\/status$|\/agent\//;

/** Watches the lab, which has a network. Rejects when a change does not get through. */
export async function soak(
  lab: Lab,
  network: Network,
  { durationMs, leastKills = 0, quietMs, awayMs }: SoakOptions,
  say: (line: string) => void,
): Promise<SoakReport> {
  const parts = [lab.driver, ...lab.hosts.flatMap(({ felix, dhcpAgent, birdAgent }) => [felix, dhcpAgent, birdAgent])].filter((part) => part !== undefined);
  const pids = parts.map((part) => part.pid());
  const losses = (): number[] => parts.map((part) => part.said().match(/ETCD_(UNAVAILABLE|TIMEOUT)/g)?.length ?? 0);
  const lossesBefore = losses();
  let known = await revisions(lab, 'create_revision', lasting);
  const victims = [[lab.grpcProxy, lab.etcd], [lab.etcd], [lab.grpcProxy]];
  const untilMs = performance.now() + durationMs;
  const troubles: string[] = [];
  let kills = 0;
  while (kills < leastKills || performance.now() < untilMs) {
    const lossesQuiet = losses();
    await sleep(Math.min(quietMs, Math.max(0, untilMs - performance.now())));
    for (const [index, count] of losses().entries())
      if (count > lossesQuiet[index]!) troubles.push(`${parts[index]!.name} lost etcd ${count - lossesQuiet[index]!} times while nothing was killed`);
    const killed = victims[kills % victims.length]!;
    for (const each of killed) await kill(each);
    kills += 1;
    await sleep(awayMs);
    for (const each of killed.toReversed()) await each?.start();
    await changeComesThrough(lab, network);
    await agentsWrite(lab);
    const now = await revisions(lab, 'create_revision', lasting);
    for (const [key, revision] of known) {
      if (!now.has(key)) troubles.push(`${key} is gone after ${momentOf(kills)}`);
      else if (now.get(key) !== revision) troubles.push(`${key} was gone for a while before or after ${momentOf(kills)}`);
    }
    known = now;
    say(`${kills}: ${killed.map((each) => each?.name).join(' and ')} killed and restarted; a port was created and deleted on each host`);
  }
  for (const [index, part] of parts.entries()) if (part.pid() !== pids[index]) troubles.push(`${part.name} has ended or was restarted`);
  const told = losses();
  return { kills, losses: Object.fromEntries(parts.map(({ name }, index) => [name, told[index]! - lossesBefore[index]!])), troubles };
}

/** A kill's number, the time, and how busy the machine is: on one that lets processes wait for minutes, leases expire. */
const momentOf = (kill: number): string => `kill ${kill} (${new Date().toISOString()}, load ${loadavg()[0]!.toFixed(1)})`;

async function kill(service: Service | undefined): Promise<void> {
  service?.kill('SIGKILL');
  await service?.ended();
}

type Revision = 'create_revision' | 'mod_revision';

async function revisions({ etcd }: Lab, which: Revision, keys: RegExp): Promise<ReadonlyMap<string, number>> {
  const { kvs = [] } = JSON.parse(await etcd.ctl('get', '', '--prefix', '--keys-only', '-w', 'json')) as {
    kvs?: (Record<Revision, number> & { key: string })[];
  };
  return new Map(kvs.map((entry) => [Buffer.from(entry.key, 'base64').toString(), entry[which]] as const).filter(([key]) => keys.test(key)));
}

/** Waits until each agent has written its heartbeat anew. Until then it may be without etcd, and report that. */
async function agentsWrite(lab: Lab): Promise<void> {
  const before = await revisions(lab, 'mod_revision', heartbeats);
  await lab.processes.until('a heartbeat of each agent', async () => {
    const now = await revisions(lab, 'mod_revision', heartbeats);
    return [...before].every(([key, revision]) => (now.get(key) ?? 0) > revision) || undefined;
  });
}

/** Checks that changes get through, from Neutron to each host and back to etcd: Felix reports the status of a port without a tap. */
async function changeComesThrough({ openstack, processes, etcd, hosts }: Lab, network: Network): Promise<void> {
  const statusOf = async (port: string): Promise<boolean> =>
    [...(await etcd.all()).keys()].some((key) => key.includes('/felix/') && key.endsWith(`/endpoint/${port}`));
  for (const { name } of hosts) {
    const fields = { network_id: network.id, device_owner: 'compute:nova', device_id: randomUUID(), 'binding:host_id': name };
    const port = await processes.until('that Neutron takes a change', () => openstack.create('port', fields).catch(() => undefined));
    await processes.until(`the status of a new port on ${name}`, async () => (await statusOf(port.id)) || undefined);
    await openstack.remove('port', port.id);
    await processes.until(`the end of a port's status on ${name}`, async () => !(await statusOf(port.id)) || undefined);
  }
}
