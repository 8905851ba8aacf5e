import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { commandOf, networkNamespaceOf } from '@calico-openstack/kernel/processes/processes';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { directoryOf, knownLabs, parts } from './directory.ts';
import { processesOf, remainsOf, takeDown } from './down.ts';
import { isLabError, type LabErrorCode } from './errors.ts';
import { bringUp, type Lab, openLab } from './lab.ts';
import { ipJson, namespacesOf } from './namespace.ts';
import { look } from './scene.ts';
import { listen, ping, reach } from './traffic.ts';
import { createVm, plugged } from './vm.ts';
import { until } from './wait.ts';

const nameOf = (suffix: string): string => `t${process.pid}${suffix}`;
const withoutParts = { without: parts };
const labError = (code: LabErrorCode): unknown => expect.toSatisfy((error: unknown) => isLabError(error, code), `a LabError ${code}`);

describe('two labs side by side', () => {
  const [one, two] = [nameOf('one'), nameOf('two')];
  let first: Lab;
  let second: Lab;

  beforeAll(async () => {
    [first, second] = await Promise.all([bringUp({ prefix: one, hosts: 2, ...withoutParts }), bringUp({ prefix: two, hosts: 1, ...withoutParts })]);
  });
  afterAll(async () => {
    await Promise.all([one, two].map((prefix) => takeDown(prefix, { force: true })));
  });

  test('every machine of a lab reaches every other, in both families', async () => {
    const { control, hosts } = first.plan;
    const machines = [control, ...hosts];
    const pairs = machines.flatMap((from) =>
      machines.flatMap((to) => (from === to ? [] : [[from, to.link.machine4] as const, [from, to.link.machine6] as const])),
    );
    for (const [from, address] of pairs) {
      expect.soft(await ping(first, from, address, { count: 1, timeoutMs: 5_000 }), `${from.name} to ${address}`).toMatchObject({ received: 1 });
    }
  });

  test('machines reach each other also without BIRD', async () => {
    first.router.bird.kill('SIGKILL');
    await first.router.bird.ended();
    try {
      expect(await ping(first, first.plan.hosts[0]!, first.plan.control.link.machine4, { count: 1, timeoutMs: 5_000 })).toMatchObject({ received: 1 });
    } finally {
      await first.router.bird.start();
    }
  });

  test('the router speaks BGP with each host, and the others learn what one host announces', async () => {
    await until('sessions', async () => [...(await first.router.bird.sessions()).values()].every((state) => state === 'Established') || undefined);
    const [host1, host2] = first.hosts;
    await first.processes.run('ip', ['link', 'add', 'tapannounced', 'type', 'ifb'], { on: host1! });
    await first.processes.run('ip', ['link', 'set', 'tapannounced', 'up'], { on: host1! });
    for (const address of ['192.0.2.77/32', '2001:db8::77/128'])
      await first.processes.run('ip', ['route', 'add', address, 'dev', 'tapannounced'], { on: host1! });
    const learnt = async (): Promise<string[]> =>
      (await look(first)).hosts.find(({ name }) => name === host2!.name)!.routes.map(({ destination }) => destination);
    await until('the routes on host 2', async () => ((await learnt()).length === 2 ? true : undefined));
    expect((await learnt()).sort()).toEqual(['192.0.2.77', '2001:db8::77']);
    await first.processes.run('ip', ['link', 'delete', 'tapannounced'], { on: host1! });
    await until('their withdrawal', async () => ((await learnt()).length === 0 ? true : undefined));
  });

  test('each lab’s Neutron has only its own networks, and the command-line client sees them', async () => {
    await Promise.all([first, second].map((lab) => lab.openstack.create('network', { name: `of-${lab.plan.prefix}` })));
    for (const lab of [first, second]) {
      expect((await lab.openstack.list('network')).map(({ name }) => name)).toEqual([`of-${lab.plan.prefix}`]);
      expect((await lab.openstack.cli('network', 'list', '-f', 'value', '-c', 'Name')).trim()).toBe(`of-${lab.plan.prefix}`);
    }
  });

  test('a refusal by Neutron is an error that says why', async () => {
    await expect(first.openstack.create('port', { network_id: 'nonsense' })).rejects.toEqual(labError('API_REFUSED'));
    await expect(first.openstack.create('port', { network_id: 'nonsense' })).rejects.toThrow(/not a valid UUID/);
  });

  test('etcd answers, also on the hosts, and keeps its data when it is killed', async () => {
    await first.etcd.ctl('put', '/kept', 'yes');
    first.etcd.kill('SIGKILL');
    await first.etcd.ended();
    await first.etcd.start();
    const read = ['--endpoints', first.etcd.endpoint, 'get', '/kept', '--print-value-only'];
    expect(await first.processes.run('etcdctl', read, { on: first.plan.hosts[1]!, env: { ETCDCTL_API: '3' } })).toBe('yes\n');
  });

  test('a VM’s tap has what its port says, and the VM is removed without a trace', async () => {
    const network = await first.openstack.create('network', { name: 'vms' });
    await first.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.65.0.0/24' });
    const host = first.hosts[0]!;
    const vm = await createVm(first, { name: 'web1', host, network: network.id });
    await vm.plug();
    const [tap] = (await ipJson(first.processes, host, 'link', 'show', vm.facts.tap)) as [{ address: string; mtu: number; flags: string[] }];
    const [eth0] = (await ipJson(first.processes, vm, 'link', 'show', 'eth0')) as [{ address: string; mtu: number; flags: string[] }];
    expect(vm.facts.tap).toBe(`tap${vm.facts.portId.slice(0, 11)}`);
    expect(tap).toMatchObject({ address: vm.facts.mac.replace(/^fa/, 'fe'), mtu: network.mtu, flags: expect.arrayContaining(['UP', 'LOWER_UP']) });
    expect(eth0).toMatchObject({ address: vm.facts.mac, mtu: network.mtu, flags: expect.arrayContaining(['UP', 'LOWER_UP']) });
    expect(plugged(first)).toEqual([vm.facts]);
    await vm.remove();
    expect(plugged(first)).toEqual([]);
    expect(namespacesOf(one)).not.toContain(vm.namespace);
    expect(await first.openstack.list('port')).toEqual([]);
    expect(JSON.stringify(await ipJson(first.processes, host, 'link', 'show'))).not.toContain(vm.facts.tap);
  });

  test('an attempt to reach a port tells apart an answer, a refusal, silence and an unreachable network', async () => {
    const [host1, host2] = first.plan.hosts as [Lab['plan']['hosts'][number], Lab['plan']['hosts'][number]];
    const echo = await listen(first, host2, ['tcp:80', 'udp:53']);
    try {
      for (const address of [host2.link.machine4, host2.link.machine6]) {
        expect.soft(await reach(first, host1, 'tcp', address, 80, { timeoutMs: 5_000 }), `tcp 80 ${address}`).toBe('answered');
        expect.soft(await reach(first, host1, 'udp', address, 53, { timeoutMs: 5_000 }), `udp 53 ${address}`).toBe('answered');
        expect.soft(await reach(first, host1, 'tcp', address, 81, { timeoutMs: 5_000 }), `tcp 81 ${address}`).toBe('refused');
      }
      await first.processes.run('nft', ['-f', '-'], {
        on: host2,
        input: 'table inet closed { chain c { type filter hook input priority 0; tcp dport 80 drop; }; }',
      });
      expect(await reach(first, host1, 'tcp', host2.link.machine4, 80, { timeoutMs: 300 })).toBe('silence');
      await first.processes.run('nft', ['delete', 'table', 'inet', 'closed'], { on: host2 });
      await first.processes.run('ip', ['route', 'add', 'unreachable', '192.0.2.99'], { on: host1 });
      expect(await reach(first, host1, 'tcp', '192.0.2.99', 80)).toBe('unreachable');
    } finally {
      await echo.stop();
    }
  });

  test('no process of a lab runs outside of its namespaces', () => {
    const outside = networkNamespaceOf(process.pid);
    const running = processesOf(one);
    expect(running.length).toBeGreaterThan(5);
    for (const { pid } of running) expect(networkNamespaceOf(pid), commandOf(pid).join(' ')).not.toBe(outside);
  });

  test('a lab of the same name is refused, and the one that is up stays', async () => {
    await expect(bringUp({ prefix: one, ...withoutParts })).rejects.toEqual(labError('LAB_EXISTS'));
    expect(await first.openstack.list('agent')).toEqual([]);
  });

  test('a lab that is up can be opened by its name, and has the same services', () => {
    const opened = openLab(two);
    expect(opened.neutron.pid()).toBe(second.neutron.pid());
    expect(opened.hosts.map(({ bird }) => bird.pid())).toEqual(second.hosts.map(({ bird }) => bird.pid()));
  });

  test('down removes one lab and leaves alone the other lab, and strangers in the removed lab’s namespaces', async () => {
    const stranger = spawn('ip', ['netns', 'exec', first.plan.hosts[0]!.namespace, 'sleep', '600'], { stdio: 'ignore', detached: true });
    try {
      await until('the stranger', () => (networkNamespaceOf(stranger.pid!) !== networkNamespaceOf(process.pid) ? true : undefined));
      await first.down();
      expect(remainsOf(one)).toEqual([]);
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    } finally {
      stranger.kill('SIGKILL');
    }
    expect(knownLabs()).toContain(two);
    expect((await second.openstack.list('network')).length).toBe(1);
    expect([...(await second.router.bird.sessions()).values()]).toEqual(['Established', 'Established']);
    await second.down();
    expect(remainsOf(two)).toEqual([]);
  });

  test('down of a lab that does not exist is no error', async () => {
    expect(await takeDown(one)).toBe(false);
  });
});

describe('a lab that is ended while it comes up', () => {
  const prefix = nameOf('half');
  let command: ChildProcess | undefined;
  let said = '';

  function up(): ChildProcess {
    said = '';
    const args = ['up', '--prefix', prefix, '--hosts', '2', ...parts.flatMap((part) => ['--without', part])];
    command = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { stdio: 'pipe' });
    for (const stream of [command.stdout, command.stderr]) stream?.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
    return command;
  }
  const ended = (child: ChildProcess): Promise<unknown> => new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));

  afterEach(async () => {
    command?.kill('SIGKILL');
    await takeDown(prefix, { force: true });
  });

  const points = [
    { when: 'it has its directory', there: () => existsSync(directoryOf(prefix)) },
    { when: 'the first namespaces are there', there: () => namespacesOf(prefix).length > 1 },
    { when: 'etcd was started', there: () => existsSync(join(directoryOf(prefix), 'control/etcd/process.json')) },
    { when: 'Neutron was started', there: () => existsSync(join(directoryOf(prefix), 'control/neutron/process.json')) },
  ];

  test.each(points)('is removed by down when it was killed and $when', async ({ there }) => {
    const child = up();
    const end = ended(child);
    await until('the moment', () => there() || undefined, { intervalMs: 1 });
    child.kill('SIGKILL');
    await end;
    expect(await takeDown(prefix)).toBe(true);
    expect(remainsOf(prefix)).toEqual([]);
  });

  test.each(points)('removes itself and exits with 130 when it is interrupted and $when', async ({ there }) => {
    const child = up();
    const end = ended(child);
    await until('the moment', () => there() || undefined, { intervalMs: 1 });
    child.kill('SIGINT');
    expect(await end, said).toBe(130);
    expect(remainsOf(prefix)).toEqual([]);
  });

  test('down refuses to remove a lab that another process is using', async () => {
    const child = up();
    await until('the lab', () => existsSync(join(directoryOf(prefix), 'lab.json')) || undefined, { intervalMs: 1 });
    await expect(takeDown(prefix)).rejects.toThrow(new RegExp(`in use by process ${child.pid}`));
  });
});
