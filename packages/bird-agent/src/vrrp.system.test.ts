// Tests an address that a guest of one host and a guest of another share, as a VRRP group does: real Felixes, real BIRDs, and the real keepalived in the guests where it is installed. A third
// host reaches whichever guest has the address.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { resourceRoot } from '@calico-openstack/datamodel';
import { advertisementFrame, gratuitousArpFrame } from '@calico-openstack/kernel/testing/announcements';
import { openWire } from '@calico-openstack/kernel/testing/wire';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Guest, plugGuest, startFelix } from './testing/guests.ts';
import { openWorld, routerAs, routerConfiguration, startBirdIn, type TestHost, until, type World } from './testing/world.ts';

const [vip4, vip6] = ['10.65.0.200', '2001:db8:a::200'] as const;
const vips = [`${vip4}/32`, `${vip6}/128`] as const;
const port = 7000;
const hasKeepalived = spawnSync('keepalived', ['--version']).error === undefined;

let world: World;
let [a, b, third]: [TestHost, TestHost, TestHost] = [] as never;
let [one, two]: [Guest, Guest] = [] as never;
const closing: (() => unknown)[] = [];
/** What ends with each test. */
let ending: (() => unknown)[] = [];

/** Starts a program in a namespace until `to` is run. */
function start(namespace: string, command: readonly string[], to: (() => unknown)[]): ChildProcess {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'ip', 'netns', 'exec', namespace, ...command], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit');
  to.push(() => {
    child.kill('SIGTERM');
    return ended;
  });
  return child;
}

beforeAll(async () => {
  world = await openWorld(3);
  [a, b, third] = world.hosts as [TestHost, TestHost, TestHost];
  closing.push(() => world.close());
  await startBirdIn(world.router.namespace, world.router.bird, routerConfiguration(world));
  for (const [number, { name: node, router4, router6 }] of world.hosts.entries())
    for (const [index, peerIP] of [router4, router6].entries()) await world.put('bgppeers', `tor-${number}-${index}`, { node, peerIP, asNumber: routerAs });
  const open = { types: ['Ingress', 'Egress'], ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] };
  const policy = JSON.stringify({ metadata: { name: 'default.open' }, spec: open });
  await world.etcdProcess.etcdctl('put', `${resourceRoot}globalnetworkpolicies/default.open`, policy);
  for (const host of [a, b]) await startFelix(world, host, closing);
  for (const host of world.hosts) host.startAgent();
  [one, two] = [await plugGuest(world, a, 1, closing), await plugGuest(world, b, 2, closing)];
  for (const [name, guest] of Object.entries({ one, two })) {
    const ipNetworks = [`${guest.address4}/32`, `${guest.address6}/128`, ...vips];
    await guest.put({}, { ipNetworks, allowedIps: vips }, { 'openstack.projectcalico.org/network-id': '99999999-1111-2222-3333-444444444444' });
    const server = `require('net').createServer((socket) => socket.end('${name}')).listen(${port}, '::', () => console.log('listening'))`;
    await once(start(guest.namespace, [process.execPath, '-e', server], closing).stdout!, 'data');
  }
});
afterEach(async () => {
  for (const end of ending.reverse()) await end();
  ending = [];
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

/** The guest that a connection of the third host to the address reaches. */
const answers = (address: string): Promise<string> => third.exec('timeout', '2', 'bash', '-c', `cat </dev/tcp/${address}/${port}`).catch(() => 'nobody');
const untilAnswer = async (who: string): Promise<void> => {
  for (const address of [vip4, vip6]) await until(`${who} to answer at ${address}`, async () => (await answers(address)) === who || undefined);
};
/** Resolves when one host has the routes to the guest's tap and the others have them by BGP. */
const untilAt = async (host: TestHost, guest: Guest): Promise<void> => {
  for (const vip of vips)
    for (const each of [a, b, third])
      await until(`${each.name} to know that ${vip} is at ${host.name}`, async () => {
        const routes = await each.routesTo(vip);
        return (routes.length === 1 && routes[0]!.includes(`dev ${guest.tap} `) === (each === host)) || undefined;
      });
};

async function takes(guest: Guest): Promise<void> {
  for (const vip of vips) await guest.ip('addr', 'add', vip, 'dev', 'eth0', ...(vip.includes(':') ? ['nodad'] : []));
  const { ifindex, address: mac } = JSON.parse(await guest.ip('-j', 'link', 'show', 'eth0'))[0] as { ifindex: number; address: string };
  const wire = openWire(guest.namespace);
  for (const make of [gratuitousArpFrame, advertisementFrame]) wire.send(ifindex, make({ mac, address4: vip4, address6: vip6 }));
  wire.close();
}
const drops = async (guest: Guest): Promise<void> => {
  for (const vip of vips) await guest.ip('addr', 'del', vip, 'dev', 'eth0');
};

test('the address is where a guest has taken it, on either host, and nowhere while no guest has it', async () => {
  expect([await answers(vip4), await answers(vip6)]).toEqual(['nobody', 'nobody']);
  await takes(one);
  await untilAnswer('one');
  await untilAt(a, one);
  await drops(one); // it is gone without a word, as when a VM dies
  await takes(two);
  await untilAnswer('two');
  await untilAt(b, two);
  await drops(two);
  await untilAnswer('nobody');
});

test.skipIf(!hasKeepalived)('keepalived: the backup has the address when the master ends, dies or comes back', async () => {
  const members = { one: { guest: one, peer: two, priority: 100 }, two: { guest: two, peer: one, priority: 50 } };
  const run = (name: keyof typeof members): ChildProcess => {
    const { guest, peer, priority } = members[name];
    const path = (end: string): string => join(world.directory, `keepalived-${name}.${end}`);
    writeFileSync(path('conf'), keepalivedConf(guest, peer, priority));
    return start(
      guest.namespace,
      ['keepalived', '--vrrp', '--dont-fork', '--log-console', '--use-file', path('conf'), '--pid', path('pid'), '--vrrp_pid', path('vrrp')],
      ending,
    );
  };
  const master = run('one');
  run('two');
  await untilAnswer('one');
  await untilAt(a, one);
  master.kill('SIGTERM'); // it tells its peer, and takes the address away
  await untilAnswer('two');
  await untilAt(b, two);
  run('one'); // its priority is higher
  await untilAnswer('one');
  await a.ip('link', 'set', one.tap, 'down'); // as when the VM dies
  await untilAnswer('two');
  await untilAt(b, two);
});

/** A group of two whose members know each other's address, because Calico routes no multicast. */
const keepalivedConf = (guest: Guest, peer: Guest, priority: number): string => `
global_defs {
  vrrp_version 3
}
vrrp_instance shared {
  state BACKUP
  interface eth0
  virtual_router_id 7
  priority ${priority}
  advert_int 0.3
  unicast_src_ip ${guest.address4}
  unicast_peer {
    ${peer.address4}
  }
  virtual_ipaddress {
    ${vip4}/32 dev eth0
  }
  virtual_ipaddress_excluded {
    ${vip6}/128 dev eth0
  }
}
`;
