// Tests live migration between two hosts with real Felixes and BIRDs, in the order that was recorded with the real Nova, libvirt and QEMU. A sender on a third host, on the router or in a
// guest beside the VM reaches the VM on its new host as soon as the VM shows that it runs there. Before that, no sender gets an ICMP error that the VM is unreachable.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { connectInside } from '@calico-openstack/kernel/testing/relay';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asOfHost, type Fabric, type MigrationWorld, openMigrationWorld } from './testing/migration-world.ts';
import { type TestHost, until } from './testing/world.ts';

const run = promisify(execFile);
const port = 7000;

let all: MigrationWorld;

/** The routes to the VM in a host's kernel. */
const routesAt = async (host: TestHost): Promise<readonly string[]> => (await Promise.all(all.prefixes.map((prefix) => host.routesTo(prefix)))).flat();
/** The metrics of the routes to the VM's tap on a host. */
const metricsAt = async (host: TestHost): Promise<readonly string[]> =>
  (await routesAt(host)).flatMap((route) => (route.includes(`dev ${all.vm.tap} `) ? [/metric (\d+)/.exec(route)![1]!] : []));
const untilMetrics = (host: TestHost, ...metrics: readonly string[]): Promise<unknown> =>
  until(`the metrics ${metrics} on ${host.name}`, async () => (await metricsAt(host)).join() === metrics.join() || undefined);
const untilBlackholes = (host: TestHost, count: number): Promise<unknown> =>
  until(
    `${count} blackholes on ${host.name}`,
    async () => (await routesAt(host)).filter((route) => route.startsWith('blackhole')).length === count || undefined,
  );
/** Who has brought a host the routes to the VM: in a mesh another host, in a fabric of external BGP the router, and then the AS that the way ends in. */
const bringersTo = async (host: TestHost): Promise<readonly string[]> =>
  (await Promise.all(all.prefixes.map((prefix) => host.bird.ask(`show route all for ${prefix}`)))).flatMap(
    (text) => text.match(/mesh\d-host-\d/g) ?? text.match(/(?<=as_path: .*)\d+$/gm) ?? [],
  );
const untilFrom = (host: TestHost, from: TestHost): Promise<unknown> => {
  const wanted = [
    `mesh4-${from.name},mesh6-${from.name}`,
    Array(2)
      .fill(asOfHost(all.world.hosts.indexOf(from)))
      .join(),
  ];
  return until(`${host.name} has the routes of ${from.name}`, async () => wanted.includes((await bringersTo(host)).join()) || undefined);
};

/** Open connections to the VM, from each place and in both families. */
let connections: readonly Socket[];
/** Resolves when the VM has returned a word over each connection. Rejects when one has broken. */
const echoes = (word: string): Promise<unknown> =>
  Promise.all(
    connections.map(async (socket) => {
      socket.write(word);
      for (let heard = ''; !heard.includes(word); ) heard += String(await once(socket, 'data'));
    }),
  );

async function open(fabric: Fabric): Promise<void> {
  all = await openMigrationWorld(fabric);
  const { vm, closing } = all;
  const echo = `require('net').createServer((socket) => socket.pipe(socket)).listen(${port}, '::', () => console.log('listening'))`;
  const server: ChildProcess = spawn('ip', ['netns', 'exec', vm.namespace, process.execPath, '-e', echo], { stdio: ['ignore', 'pipe', 'inherit'] });
  closing.push(() => server.kill('SIGKILL'));
  await new Promise((resolve) => server.stdout!.once('data', resolve));
  connections = [all.third.namespace, all.world.router.namespace, all.beside.namespace].flatMap((namespace) =>
    [vm.address4, vm.address6].map((address) => {
      const socket = connectInside(namespace, port, address);
      closing.push(() => socket.destroy());
      return socket;
    }),
  );
  await echoes('before');
}

async function thereAndBack(): Promise<void> {
  const { a, b, third, vm, world } = all;
  for (const [source, target] of [
    [a, b],
    [b, a],
  ] as const) {
    await vm.prepare(source, target);
    await untilBlackholes(source, 2);
    await vm.awaited(target);
    await echoes('awaited');
    expect(await metricsAt(target)).toEqual([]);
    await vm.run(target);
    vm.announce(target);
    await vm.end(source);
    // This is before Neutron activates the port. The tap on the source still has its routes, and the host itself prefers the new ones.
    await echoes('arrived');
    await untilMetrics(target, '512', '512');
    await untilMetrics(source, '1025', '1025');
    await untilFrom(third, target);
    await vm.activate(source, target);
    await untilMetrics(source);
    await vm.unplug(source);
    await echoes('activated');
    await untilMetrics(target, '1024', '1024');
    await untilBlackholes(source, 0);
    await untilFrom(third, target);
    await echoes('settled');
    await until(
      'the router to send to the new host',
      async () => (await world.router.ip('route', 'show', vm.address4)).includes(`via ${target.host4} `) || undefined,
    );
  }
}

const place = 'a VM is reached on its new host as soon as it shows that it runs there, from everywhere, there and back; then all is as before';

describe('hosts that speak BGP with the router alone, each in an AS of its own', () => {
  beforeAll(() => open('external'));
  afterAll(() => all?.close());
  test(place, thereAndBack);
});

describe('hosts that speak BGP with each other', () => {
  beforeAll(() => open('mesh'));
  afterAll(() => all?.close());
  test(place, thereAndBack);

  test('a VM that does not move in the end loses nothing', async () => {
    const { a, b, third, vm } = all;
    await vm.prepare(a, b);
    await untilBlackholes(a, 2);
    await vm.abort(a, b);
    await vm.unplug(b);
    await untilBlackholes(a, 0);
    await echoes('aborted');
    await untilMetrics(a, '1024', '1024');
    expect(await metricsAt(b)).toEqual([]);
    await untilFrom(third, a);
  });

  /** The ICMP errors about the VM that a guest on the host that the VM leaves receives. `ping` ends at the first one. */
  const told = async (waitSeconds: number): Promise<string> => {
    const pings = [all.vm.address4, all.vm.address6].map((address) =>
      run('ip', ['netns', 'exec', all.beside.namespace, 'ping', '-c1', `-W${waitSeconds}`, address]).catch((error: { stdout: string }) => error),
    );
    return (await Promise.all(pings)).map(({ stdout }) => stdout).join('');
  };

  test('while a VM is between its hosts its addresses are silent on the old one, which announces nothing; the route to the new one ends that, and a restart of Felix behind the end of the migration', async () => {
    const { a, b, third, felix, vm, world } = all;
    const nobodyKnowsIt = (): Promise<unknown> =>
      until('no route to the VM', async () => {
        const onRouter = await Promise.all([world.router.ip('route', 'show', vm.address4), world.router.ip('-6', 'route', 'show', vm.address6)]);
        return ((await bringersTo(third)).length === 0 && onRouter.join('') === '') || undefined;
      });
    await vm.unplug(a);
    await nobodyKnowsIt();
    expect(await told(20)).toMatch(/unreachable.*unreachable/is); // without a migration
    await vm.boot(a);
    await untilFrom(third, a);

    await vm.prepare(a, b);
    await untilBlackholes(a, 2);
    await vm.awaited(b);
    await vm.unplug(a);
    await nobodyKnowsIt();
    const silence = await told(1);
    expect(silence).toMatch(/100% packet loss.*100% packet loss/s);
    expect(silence).not.toMatch(/unreachable/i);
    await vm.run(b);
    vm.announce(b);
    await echoes('arrived');
    await untilBlackholes(a, 2);
    await felix.kill();
    await vm.activate(a, b);
    felix.start();
    await untilBlackholes(a, 0);
    await echoes('activated');
  });
});
