// What a VM gets: addresses, routes, states in Neutron. And what it cannot do: use others' addresses or an unknown tap.
import { beforeAll, describe, expect, test } from 'vitest';
import { type Addressed, type Seen, udpFrame } from '../frames.ts';
import { addNamespace, ip, ipJson } from '../namespace.ts';
import { type Machine, vmMachine } from '../plan.ts';
import { tracesOf } from '../story/traces.ts';
import { capture, ping, pingStream, sendFrames } from '../traffic.ts';
import { createVm, guestInterface, type Vm } from '../vm.ts';
import { addressOf, everything, type Family, families, groupOf, labOfThisFile, plan, untilTheyTalk, vmOn } from './world.ts';

const world = labOfThisFile('guests', { hosts: 2 });
let open: string;
let first: Vm;
let neighbour: Vm;
let remote: Vm;

beforeAll(async () => {
  open = (await groupOf(world.lab, ...everything('ingress'), ...everything('egress'))).id;
  const boot = (name: string, host: number): Promise<Vm> => vmOn(world, host, { name, securityGroups: [open] }, families);
  [first, neighbour, remote] = await Promise.all([boot('first', 1), boot('neighbour', 1), boot('remote', 2)]);
  await untilTheyTalk(world, [first, neighbour, remote]);
});

const machineOf = (name: 'neighbour' | 'remote'): Vm => (name === 'neighbour' ? neighbour : remote);

describe('a lease', () => {
  test('a DHCP client gets its port’s address, and what the subnet says', async () => {
    expect(await first.lease(4)).toMatchObject({
      event: 'bound',
      address: first.address4,
      prefixBits: 24,
      dnsServers: [plan[4].dns],
      mtuBytes: world.network.mtu,
      hostname: `host-${addressOf(first, 4).replaceAll('.', '-')}`,
      domain: 'lab.example',
      server: plan[4].gateway,
    });
  });

  test('the subnet’s host routes and its gateway are the guest’s routes', async () => {
    const routes = (await ipJson(world.lab.processes, first, '-4', 'route', 'show')) as { dst: string; gateway?: string }[];
    expect(routes).toContainEqual(expect.objectContaining({ dst: 'default', gateway: plan[4].gateway }));
    expect(routes).toContainEqual(expect.objectContaining({ dst: plan[4].route.destination, gateway: plan[4].route.nexthop }));
  });

  test('a DHCPv6 client gets its port’s address, and a default route by router advertisement', async () => {
    expect(await first.lease(6)).toMatchObject({ event: 'BOUND6', address: first.address6, dnsServers: [plan[6].dns] });
    const [route] = (await ipJson(world.lab.processes, first, '-6', 'route', 'show', 'default')) as [{ gateway: string; protocol: string }];
    expect(route).toMatchObject({ protocol: 'ra', gateway: expect.stringMatching(/^fe80:/) });
  });
});

describe('routes', () => {
  const cases = families.flatMap((family) => (['neighbour', 'remote'] as const).map((to) => ({ family, to })));

  test.each(cases)('a VM pings its $to by IPv$family, and the packets arrive with its own address', async ({ family, to }) => {
    const target = machineOf(to);
    const watch = await capture(world.lab, target.host, target.facts.tap);
    expect(await ping(world.lab, first, addressOf(target, family), { timeoutMs: 5_000 })).toMatchObject({ sent: 3, received: 3 });
    await watch.seen(
      'the echo request',
      ({ direction, icmpType, from }) => direction === 'out' && icmpType === (family === 4 ? 8 : 128) && from === addressOf(first, family),
    );
    await watch.stop();
  });

  test.each(families)('another host and the router have a route to each VM by IPv%i', async (family) => {
    for (const machine of [world.lab.router, first.host, remote.host]) {
      for (const vm of [first, neighbour, remote]) {
        const wanted = machine === world.lab.router ? vm.host.link.routerInterface : machine === vm.host ? vm.facts.tap : 'fabric';
        // BGP takes some time.
        await world.lab.processes.until(`${machine.name} to ${vm.facts.name} by ${wanted}`, async () => {
          const [route] = (await ipJson(world.lab.processes, machine, 'route', 'get', addressOf(vm, family))) as [{ dev: string }];
          return route.dev === wanted || undefined;
        });
      }
    }
  });
});

describe('a port’s state in Neutron', () => {
  const stateOf = async (vm: Vm): Promise<string> => (await world.lab.openstack.get('port', vm.facts.portId)).status;
  const becomes = (vm: Vm, wanted: string): Promise<string> =>
    world.lab.processes.until(`the state ${wanted}`, async () => ((await stateOf(vm)) === wanted ? wanted : undefined));

  test('is DOWN until the tap exists, ACTIVE while it exists, DOWN again without it', async () => {
    const vm = await createVm(world.lab, { name: 'coming', host: first.host, network: world.network.id, securityGroups: [open] });
    expect(await stateOf(vm)).toBe('DOWN');
    for (const _time of ['first', 'again']) {
      await vm.plug();
      await becomes(vm, 'ACTIVE');
      await vm.unplug();
      await becomes(vm, 'DOWN');
    }
    await vm.remove();
  });

  test('is DOWN while the tap exists but its link is down', async () => {
    const vm = await vmOn(world, 1, { name: 'linkless', securityGroups: [open] });
    await becomes(vm, 'ACTIVE');
    await ip(world.lab.processes, vm.host, [`link set ${vm.facts.tap} down`]);
    await becomes(vm, 'DOWN');
    await ip(world.lab.processes, vm.host, [`link set ${vm.facts.tap} up`]);
    await becomes(vm, 'ACTIVE');
    await vm.remove();
  });
});

describe('a source that is not the VM’s own', () => {
  const stranger4 = '10.65.0.200';
  const stranger6 = '2001:db8:65::200';
  const strangerMac = 'fa:16:3e:00:00:01';
  type Spoof = { readonly what: string; readonly family: Family; readonly change: () => Partial<Addressed> };
  const spoofs: readonly Spoof[] = [
    { what: 'a neighbour’s IPv4 address', family: 4, change: () => ({ from: addressOf(neighbour, 4) }) },
    { what: 'a neighbour’s IPv6 address', family: 6, change: () => ({ from: addressOf(neighbour, 6) }) },
    { what: 'an IPv4 address of nobody', family: 4, change: () => ({ from: stranger4 }) },
    { what: 'an IPv6 address of nobody', family: 6, change: () => ({ from: stranger6 }) },
    { what: 'its host’s address', family: 4, change: () => ({ from: first.host.link.machine4 }) },
    { what: 'another MAC address, in IPv4', family: 4, change: () => ({ fromMac: strangerMac }) },
    { what: 'another MAC address, in IPv6', family: 6, change: () => ({ fromMac: strangerMac }) },
    { what: 'a neighbour’s MAC and IPv4 address', family: 4, change: () => ({ fromMac: neighbour.facts.mac, from: addressOf(neighbour, 4) }) },
  ];

  test.each(spoofs)('is dropped: $what', async ({ family, change }) => {
    const watch = await capture(world.lab, remote.host, remote.facts.tap);
    const honest = { fromMac: first.facts.mac, toMac: await tapMac(first), from: addressOf(first, family), to: addressOf(remote, family) };
    await sendFrames(world.lab, first, guestInterface, [datagram({ ...honest, ...change() }, 'spoofed'), datagram(honest, 'honest')]);
    await watch.seen('the honest datagram', (frame) => textOf(frame) === 'honest');
    expect(watch.frames.map(textOf)).not.toContain('spoofed');
    await watch.stop();
  });
});

describe('a tap that etcd does not know', () => {
  test.each(families)('gets no IPv%i packet to a VM, to its host, or to another host', async (family) => {
    const { lab } = world;
    const stranger = await plugUnknown(`unknown${family}`);
    const watches = await Promise.all([
      capture(lab, neighbour.host, neighbour.facts.tap),
      capture(lab, remote.host, remote.facts.tap),
      capture(lab, first.host, 'fabric'),
      capture(lab, stranger, guestInterface),
    ]);
    const address = family === 4 ? '10.65.0.99' : '2001:db8:65::99';
    const targets = [neighbour, remote].map((vm) => addressOf(vm, family));
    const hosts = [first.host, remote.host].map(({ link }) => (family === 4 ? link.machine4 : link.machine6));
    // From an invented address, and from that of a VM which may send anything.
    const frames = [...targets, ...hosts].flatMap((to) =>
      [address, addressOf(first, family)].map((from) => datagram({ fromMac: first.facts.mac, toMac: stranger.tapMac, from, to }, 'unknown')),
    );
    await sendFrames(lab, stranger, guestInterface, frames);
    for (const to of targets) {
      const honest = { fromMac: first.facts.mac, toMac: await tapMac(first), from: addressOf(first, family), to };
      await sendFrames(lab, first, guestInterface, [datagram(honest, 'honest')]);
    }
    for (const watch of watches.slice(0, 2)) await watch.seen('the honest datagram', (frame) => textOf(frame) === 'honest');
    for (const watch of watches.slice(0, 3)) expect(watch.frames.map(textOf)).not.toContain('unknown');
    const answers = watches[3]?.frames.filter(({ direction, to }) => direction === 'in' && [address, addressOf(first, family)].includes(to));
    expect(answers).toEqual([]);
    for (const watch of watches) await watch.stop();
  });

  /** Creates a guest behind a tap that belongs to no port of Neutron's. */
  async function plugUnknown(name: string): Promise<Machine & { readonly tapMac: string }> {
    const machine = vmMachine(world.lab.plan.prefix, name);
    await addNamespace(world.lab.processes, machine);
    await world.lab.processes.run('ip', ['link', 'add', `tap${name}`, 'type', 'veth', 'peer', 'name', guestInterface, 'netns', machine.namespace], {
      on: first.host,
    });
    await ip(world.lab.processes, first.host, [`link set tap${name} up`]);
    // Without addresses the guest's kernel stays silent, so only the frames above are sent.
    await world.lab.processes.run('sysctl', ['-q', '-w', `net.ipv6.conf.${guestInterface}.disable_ipv6=1`], { on: machine });
    await ip(world.lab.processes, machine, [`link set ${guestInterface} up`]);
    const [link] = (await ipJson(world.lab.processes, first.host, 'link', 'show', `tap${name}`)) as [{ address: string }];
    return { ...machine, tapMac: link.address };
  }
});

describe('a port that is deleted while its VM runs', () => {
  test('is closed in both directions, loses its routes everywhere and its DHCP, and leaves nothing in etcd', async () => {
    const { lab } = world;
    const vm = await vmOn(world, 1, { name: 'doomed', securityGroups: [open] }, families);
    for (const start of ['etcd: ', 'route on router ', 'route on host-1 ', 'route on host-2 ', 'rules of host-1'])
      await lab.processes.until(`a trace of the VM: ${start}`, async () => (await tracesOf(lab, vm)).some((trace) => trace.startsWith(start)) || undefined);
    const talk = await pingStream(lab, remote, addressOf(vm, 4));
    await lab.openstack.remove('port', vm.facts.portId);
    await lab.processes.until('all traces of the VM to vanish', async () => ((await tracesOf(lab, vm)).length === 0 ? true : undefined));
    await talk.stop();

    const watch = await capture(lab, remote.host, remote.facts.tap);
    const honest = { toMac: await tapMac(vm), fromMac: vm.facts.mac };
    await sendFrames(
      lab,
      vm,
      guestInterface,
      families.map((family) => datagram({ ...honest, from: addressOf(vm, family), to: addressOf(remote, family) }, 'deleted')),
    );
    expect(await ping(lab, remote, addressOf(vm, 4), { count: 2 })).toMatchObject({ received: 0 });
    expect(await ping(lab, first, addressOf(vm, 6), { count: 2 })).toMatchObject({ received: 0 });
    expect(await ping(lab, first, addressOf(remote, 4), { count: 1, timeoutMs: 5_000 })).toMatchObject({ received: 1 });
    expect(watch.frames.map(textOf)).not.toContain('deleted');
    await watch.stop();

    // The DHCP agent takes the port from Dnsmasq by itself, and none of the traces is its own.
    const ask = ['udhcpc', '-n', '-q', '-t', '2', '-T', '1', '-i', guestInterface, '-s', '/bin/true'];
    await lab.processes.until('no answer by DHCP', async () => (await lab.processes.attempt('busybox', ask, { on: vm })).status !== 0 || undefined);
    await vm.unplug();
  });
});

const datagram = (addressed: Addressed, text: string): Uint8Array => udpFrame(addressed, 4000, 4001, Buffer.from(text));
const textOf = ({ payload }: Seen): string => Buffer.from(payload).toString('utf8');

/** The MAC of the host's end of the tap, which is the guest's gateway. */
async function tapMac(vm: Vm): Promise<string> {
  const [link] = (await ipJson(world.lab.processes, vm.host, 'link', 'show', vm.facts.tap)) as [{ address: string }];
  return link.address;
}
