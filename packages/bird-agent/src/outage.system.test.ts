// Tests outages: refused configurations, and the death of the agent, of etcd and of BIRD.

import { spawn } from 'node:child_process';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processFacts } from '@calico-openstack/kernel/processes/processes';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { watchRoutes } from './testing/watch-routes.ts';
import { openWorld, startBirdIn, type TestHost, until, type World } from './testing/world.ts';

let world: World;
let a: TestHost;
let b: TestHost;
/** The path of a file: while it exists, `bird -p` refuses every configuration. */
let refusing: string;
let executable: string;

const workload = '10.65.0.4/32';
const settings = (): Record<string, string> => ({ BirdExecutable: executable });
const established = (host: TestHost, symbol: string): Promise<unknown> =>
  until(`${host.name}: ${symbol}`, async () => ((await host.bird.session(symbol))?.detail === 'Established' ? true : undefined));
const hasRoute = (host: TestHost, prefix: string): Promise<unknown> =>
  until(`a route to ${prefix} on ${host.name}`, async () => ((await host.routesTo(prefix)).length > 0 ? true : undefined));
/** The facts of a host that must not change unless something happens there. */
const condition = async (host: TestHost): Promise<unknown> => ({
  sessions: (await host.bird.sessions()).map(({ name, state, since }) => [name, state, since]),
  reconfigurations: host.bird.reconfigurations(),
  file: readFileSync(host.bird.configFile, 'utf8'),
  routes: await host.routesTo(workload),
});
/**
 * Waits until both hosts have taken in that the host `absent` was added or removed. The tests compare their states before and after, and a host that has not taken it in yet would look finished.
 */
async function absentHost(isKnown: boolean): Promise<void> {
  for (const { name, bird } of [a, b])
    await until(`${isKnown ? 'a' : 'no'} session with the absent host on ${name}`, async () =>
      ((await bird.session('mesh4-absent')) !== undefined) === isKnown ? true : undefined,
    );
}

/** Records the routes to workloads that the hosts' kernels delete from now on. */
async function watchDeletions(hosts: readonly TestHost[]): Promise<{ deletions(): Promise<readonly string[]>; end(): void }> {
  const watched = await Promise.all(hosts.map(({ namespace }) => watchRoutes(namespace)));
  return {
    deletions: async () => (await Promise.all(watched.map(({ events }) => events()))).flatMap((text) => text.match(/^Deleted 10\.65\..*/gm) ?? []),
    end() {
      for (const each of watched) each.end();
    },
  };
}

beforeAll(async () => {
  world = await openWorld(2);
  [a, b] = world.hosts as [TestHost, TestHost];
  refusing = join(world.directory, 'refusing');
  executable = join(world.directory, 'bird');
  writeFileSync(
    executable,
    `#!/bin/sh\nif [ "$1" = -p ] && [ -e ${refusing} ]; then echo "bird: $3:1:1 no, thank you" >&2; exit 1; fi\nexec /usr/sbin/bird "$@"\n`,
  );
  chmodSync(executable, 0o755);
  a.startAgent(settings());
  b.startAgent(settings());
  await Promise.all(['mesh4-host-1', 'mesh6-host-1'].map((symbol) => established(a, symbol)));
  await a.workloadRoute('add', workload);
  await hasRoute(b, workload);
  await Promise.all([a.ready(), b.ready()]);
});
afterAll(() => world?.close());

test('a configuration that BIRD refuses leaves the last good one, and is told in log and metrics', async () => {
  const before = await condition(b);
  writeFileSync(refusing, '');
  await world.put('nodes', 'absent', { bgp: { ipv4Address: '198.51.100.10' } });
  await until('the refusal in the log', () => (b.agentLog().includes('no, thank you') ? true : undefined));
  await until('the refusal in the metrics', async () => (await b.metric('calico_bird_agent_configuration_refused')) === 1 || undefined);
  expect(await condition(b)).toEqual(before);
  rmSync(refusing);
  await world.put('nodes', 'absent', { bgp: { ipv4Address: '198.51.100.11' } });
  await absentHost(true);
  await until('the end of the refusal', async () => ((await b.metric('calico_bird_agent_configuration_refused')) === 0 ? true : undefined));
  await world.remove('nodes', 'absent');
  await absentHost(false);
});

test('a BGPConfiguration that is not understood leaves the last good configuration', async () => {
  const before = await condition(b);
  await world.put('bgpconfigurations', 'default', { nodeToNodeMeshEnabled: 'off' });
  await until('the trouble in the log', () => (b.agentLog().includes('nodeToNodeMeshEnabled') ? true : undefined));
  expect(await condition(b)).toEqual(before);
  await world.putText('bgpconfigurations', 'default', '{');
  await until('the other trouble in the log', () => (b.agentLog().includes('is not JSON') ? true : undefined));
  expect(await condition(b)).toEqual(before);
  await world.remove('bgpconfigurations', 'default');
  await until('the end of trouble in the log', async () => ((await b.metric('calico_bird_agent_problems')) === 0 ? true : undefined));
  expect(await condition(b)).toEqual(before);
});

test('an agent that was killed and comes back changes nothing', async () => {
  const before = [await condition(a), await condition(b)];
  await b.killAgent();
  expect([await condition(a), await condition(b)]).toEqual(before);
  b.startAgent(settings());
  await b.ready();
  expect([await condition(a), await condition(b)]).toEqual(before);
});

test('an agent that is told to end does, and BIRD goes on', async () => {
  const before = [await condition(a), await condition(b)];
  expect(await b.endAgent()).toBe(0);
  expect([await condition(a), await condition(b)]).toEqual(before);
  b.startAgent(settings());
  await b.ready();
  expect([await condition(a), await condition(b)]).toEqual(before);
});

test('while etcd is away BIRD goes on, and afterwards the agent follows again', async () => {
  const before = await condition(b);
  await world.etcdProcess.kill();
  await until('the loss in the log', () => (b.agentLog().includes('etcd is away') ? true : undefined));
  await a.workloadRoute('add', '10.65.0.5/32');
  await hasRoute(b, '10.65.0.5/32');
  expect(await condition(b)).toEqual(before);
  await world.etcdProcess.restart();
  await world.put('nodes', 'absent', { bgp: { ipv4Address: '198.51.100.10' } });
  await absentHost(true); // it was added during the outage
  await world.remove('nodes', 'absent');
  await absentHost(false);
});

test('a datastore that was emptied ends no session and withdraws no route, while its hosts register again', async () => {
  const before = [await condition(a), await condition(b)];
  const { deletions, end } = await watchDeletions([a, b]);
  try {
    await a.killAgent(); // without a's registration b knows no other host for a while
    await world.etcdProcess.etcdctl('del', '--prefix', '/calico/');
    await until('the doubt in the log', () => (b.agentLog().includes('was the datastore emptied?') ? true : undefined));
    expect([await condition(a), await condition(b)]).toEqual(before);
    a.startAgent(settings());
    await until('both Nodes', async () => ((await world.get('nodes', 'host-0')) !== '' && (await world.get('nodes', 'host-1')) !== '' ? true : undefined));
    await until('the end of trouble', async () => ((await b.metric('calico_bird_agent_problems')) === 0 ? true : undefined));
    await a.ready();
    expect([await condition(a), await condition(b)]).toEqual(before);
    expect(await deletions()).toEqual([]);
  } finally {
    end();
  }
});

test('an agent that has to start BIRD does so while etcd is away, and a taken port for its pages ends nothing', async () => {
  await world.etcdProcess.kill();
  await b.killAgent();
  await b.bird.kill();
  const listen = 'net.createServer().listen(9096, "127.0.0.1", () => console.log("listening"))';
  const other = spawn('ip', ['netns', 'exec', b.namespace, process.execPath, '-e', listen], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => other.stdout.once('data', resolve));
  try {
    b.startAgent(settings());
    await until('BIRD with its sessions', async () => ((await b.bird.sessions()).length === 2 ? true : undefined));
    await established(b, 'mesh4-host-0');
    await until('the taken port in the log', () => (b.agentLog().includes('cannot serve metrics') ? true : undefined));
  } finally {
    other.kill();
    await world.etcdProcess.restart();
  }
  await b.ready();
  await until('the metrics', async () => ((await b.metric('calico_bird_agent_in_sync')) === 1 ? true : undefined));
  expect(await b.routesTo(workload)).toHaveLength(1);
});

test('two hosts of one name do not take their Node from each other without end, and that is told', async () => {
  await a.killAgent();
  a.startAgent({ ...settings(), Hostname: 'host-1', EtcdUsername: 'host-1' });
  const complaint = 'is there another host of this name?';
  await until('the complaint', () => (a.agentLog().includes(complaint) || b.agentLog().includes(complaint) ? true : undefined));
  await a.killAgent();
  await b.killAgent();
  await world.remove('nodes', 'host-1');
  for (const host of [a, b]) host.startAgent(settings());
  await Promise.all([established(a, 'mesh4-host-1'), established(b, 'mesh4-host-0'), a.ready(), b.ready()]);
});

test('a BIRD that was killed is started again, and neither host loses a route meanwhile', async () => {
  const { deletions, end } = await watchDeletions([a, b]);
  try {
    await b.workloadRoute('add', '10.65.0.8/32');
    await hasRoute(a, '10.65.0.8/32');
    const pid = b.bird.pid();
    await b.bird.kill();
    await until('another BIRD', async () => (b.bird.pid() !== pid && (await b.bird.sessions()).length > 0 ? true : undefined));
    await Promise.all(['mesh4-host-0', 'mesh6-host-0'].map((symbol) => established(b, symbol)));
    await a.workloadRoute('add', '10.65.0.9/32');
    await b.workloadRoute('add', '10.65.0.10/32');
    await Promise.all([hasRoute(b, '10.65.0.9/32'), hasRoute(a, '10.65.0.10/32')]);
    expect(await b.routesTo(workload)).toHaveLength(1);
    expect(await a.routesTo('10.65.0.8/32')).toHaveLength(1);
    expect(await deletions()).toEqual([]);
  } finally {
    end();
  }
});

test('ended and started as the drop-in for systemd says, BIRD costs neither host a route', async () => {
  const dropIn = readFileSync(join(import.meta.dirname, '../systemd/bird.service.d/calico.conf'), 'utf8');
  const signal = /^KillSignal=(\w+)$/m.exec(dropIn)![1] as NodeJS.Signals;
  const options = /^Environment=BIRD_ARGS=(.+)$/m.exec(dropIn)![1]!.split(' ');
  expect(await b.endAgent()).toBe(0);
  b.startAgent({ ...settings(), StartBird: 'false', GracefulRestartWaitSecs: '12' });
  await b.ready();
  await world.put('nodes', 'absent', { bgp: { ipv4Address: '198.51.100.10' } }); // BIRD waits for this host, but only for a limited time
  await absentHost(true);
  const { deletions, end } = await watchDeletions([a, b]);
  try {
    const pid = b.bird.pid();
    process.kill(pid, signal);
    await until('the end of BIRD', () => (processFacts(pid) === undefined ? true : undefined));
    await startBirdIn(b.namespace, b.bird, readFileSync(b.bird.configFile, 'utf8'), ...options);
    await Promise.all(['mesh4-host-0', 'mesh6-host-0'].map((symbol) => established(b, symbol)));
    await b.workloadRoute('add', '10.65.0.11/32');
    await hasRoute(a, '10.65.0.11/32');
    expect(await deletions()).toEqual([]);
  } finally {
    end();
  }
});
