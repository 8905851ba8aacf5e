// Any part may be killed at any time. Allowed traffic continues, forbidden traffic stays out, and later changes arrive.
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { steadyMoments } from '../moments.ts';
import type { Fields, SecurityGroup } from '../openstack.ts';
import type { Service } from '../process.ts';
import { capture, listen, ping, pingStream, reach, tcpStream } from '../traffic.ts';
import { createVm, type NamespaceVm, type Vm } from '../vm.ts';
import { addRule, addressOf, etherTypes, everything, families, groupOf, labOfThisFile, untilTheyTalk, vmOn } from './world.ts';

const world = labOfThisFile('failures', { hosts: 2 });

/** Two VMs on host 1 and one on host 2. */
let first: NamespaceVm;
let neighbour: Vm;
let remote: Vm;
let group: SecurityGroup;

beforeAll(async () => {
  // All egress is allowed; ingress is allowed for pings and for TCP ports up to 100.
  const tcp = { protocol: 'tcp', port_range_min: 1, port_range_max: 100 };
  group = await groupOf(
    world.lab,
    ...everything('egress'),
    ...[
      { protocol: 'icmp', ethertype: 'IPv4' },
      { protocol: 'ipv6-icmp', ethertype: 'IPv6' },
    ].map((rule): Fields => ({ direction: 'ingress', ...rule })),
    ...families.map((family): Fields => ({ direction: 'ingress', ethertype: etherTypes[family], ...tcp })),
  );
  const boot = (name: string, host: number): Promise<NamespaceVm> => vmOn(world, host, { name, securityGroups: [group.id] }, families);
  [first, neighbour, remote] = await Promise.all([boot('first', 1), boot('neighbour', 1), boot('remote', 2)]);
  for (const vm of [first, neighbour, remote]) await listen(world.lab, vm, ['tcp:80', ...laterPorts.map((port) => `tcp:${port}`)]);
  await untilTheyTalk(world, [first, neighbour, remote]);
});

/** A port for each test that changes a rule. */
const laterPorts = Array.from({ length: 20 }, (_, index) => 8001 + index);
let nextPort = 0;

/** Checks that a rule that is created now takes effect on every host. */
async function laterChangesArrive(): Promise<void> {
  const port = laterPorts[nextPort++]!;
  const tries = [
    [remote, first],
    [first, remote],
    [first, neighbour],
  ] as const;
  const reached = (from: Vm, to: Vm): Promise<string> => reach(world.lab, from, 'tcp', addressOf(to, 4), port, { timeoutMs: 500 });
  for (const [from, to] of tries) expect(await reached(from, to)).toBe('silence');
  await addRule(world.lab, group, { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: port, port_range_max: port });
  for (const [from, to] of tries) {
    const name = `the new rule for port ${port} on ${to.host.name}`;
    await world.lab.processes.until(name, async () => ((await reached(from, to)) === 'answered' ? true : undefined));
  }
}

/** Checks new connections and pings, in both families, on one host and between hosts. */
async function allTalk(): Promise<void> {
  for (const family of families) {
    for (const to of [neighbour, remote]) {
      expect
        .soft(await ping(world.lab, first, addressOf(to, family), { count: 2, timeoutMs: 5_000 }), `ping to ${to.facts.name}`)
        .toMatchObject({ received: 2 });
      expect.soft(await reach(world.lab, first, 'tcp', addressOf(to, family), 80, { timeoutMs: 5_000 }), `tcp to ${to.facts.name}`).toBe('answered');
    }
  }
}

async function kill(service: Service | undefined): Promise<Service> {
  if (service === undefined) throw new Error('this lab does not have the service');
  expect(service.pid(), `${service.name} runs`).toBeDefined();
  service.kill('SIGKILL');
  await service.ended();
  return service;
}

const named = (name: string): Promise<readonly { id: string }[]> => world.lab.openstack.list('port', { name });
const newPort = (name: string): Fields => ({
  name,
  network_id: world.network.id,
  device_owner: 'compute:nova',
  device_id: '0b5d7e1c-0000-4000-8000-000000000001',
  'binding:host_id': first.host.name,
  security_groups: [group.id],
});

/** Restarts what a failed test has left stopped. */
afterEach(async () => {
  const { etcd, driver, hosts } = world.lab;
  for (const service of [etcd, driver, ...hosts.flatMap(({ felix, dhcpAgent, birdAgent }) => [felix, dhcpAgent, birdAgent])])
    if (service !== undefined && service.pid() === undefined) await service.start();
});

describe('Felix killed', () => {
  test('and restarted on both hosts, under pings and a TCP stream: no packet is lost, and no forbidden one gets through', async () => {
    const { lab } = world;
    const streams = [
      await pingStream(lab, first, addressOf(remote, 4)),
      await pingStream(lab, neighbour, addressOf(first, 6)),
      await pingStream(lab, remote, addressOf(neighbour, 6)),
    ];
    const tcp = await tcpStream(lab, first, addressOf(remote, 4), 80);
    const watch = await capture(lab, first.host, first.facts.tap);
    // Repeats a forbidden connection attempt.
    let ended = false;
    const knocking = (async () => {
      while (!ended) expect(await reach(lab, remote, 'tcp', addressOf(first, 4), 443, { timeoutMs: 200 })).toBe('silence');
    })();
    try {
      for (const { felix } of lab.hosts) {
        const service = await kill(felix);
        await allTalk();
        await service.start();
        await laterChangesArrive();
      }
    } finally {
      ended = true;
      await knocking;
    }
    for (const stream of streams) {
      const { sent, received } = await stream.stop();
      expect(sent).toBeGreaterThan(200);
      expect(received).toBe(sent);
    }
    const report = await tcp.stop();
    expect(report).toMatchObject({ trouble: '', received: report.sent });
    expect(report.sent).toBeGreaterThan(200);
    expect(watch.frames.filter(({ direction, toPort }) => direction === 'out' && toPort === 443)).toEqual([]);
    await watch.stop();
  });

  test('and restarted: it handles a VM that was deleted and one that was created meanwhile', async () => {
    const { lab } = world;
    const leaving = await vmOn(world, 1, { name: 'leaving', securityGroups: [group.id] });
    const felix = await kill(lab.hosts[0]?.felix);
    // Created first: Neutron might give it the address of the one that is removed.
    const coming = await createVm(lab, { name: 'coming', host: first.host, network: world.network.id, securityGroups: [group.id] });
    await leaving.remove();
    await coming.plug();
    await coming.startDhcp();
    await felix.start();
    await coming.online(4);
    await untilTheyTalk(world, [remote, coming], [4]);
    await lab.processes.until('the end of its route', async () =>
      (await lab.processes.run('ip', ['route', 'show', addressOf(leaving, 4)], { on: first.host })).trim() === '' ? true : undefined,
    );
    await coming.remove();
  });
});

describe('etcd killed', () => {
  test('VMs keep talking; Neutron refuses what it cannot write and leaves nothing half done; after the restart, changes arrive', async () => {
    const { lab } = world;
    const stream = await pingStream(lab, first, addressOf(remote, 4));
    const tcp = await tcpStream(lab, remote, addressOf(neighbour, 6), 80);
    await kill(lab.etcd);

    const { status, body } = await lab.openstack.request('POST', 'ports', { port: newPort('half-made') });
    expect(status, body).toBe(503);
    expect(body).toMatch(/etcd/);
    expect(await named('half-made')).toEqual([]);
    const rule = { security_group_id: group.id, direction: 'ingress', ethertype: 'IPv4', protocol: 'udp' };
    const refused = await lab.openstack.request('POST', 'security-group-rules', { security_group_rule: rule });
    expect(refused).toMatchObject({ status: 503, body: expect.stringMatching(/etcd/) });
    expect(await lab.openstack.list('security_group_rule', rule)).toEqual([]);
    expect((await lab.openstack.request('PUT', `ports/${first.facts.portId}`, { port: { security_groups: [] } })).status).toBe(503);
    expect((await lab.openstack.get('port', first.facts.portId)).security_groups).toEqual([group.id]);
    expect((await lab.openstack.request('DELETE', `ports/${first.facts.portId}`)).status).toBe(503);
    expect((await lab.openstack.get('port', first.facts.portId)).id).toBe(first.facts.portId);
    await allTalk();
    expect(await first.renew()).toMatchObject({ event: 'renew', address: first.address4 });

    await lab.etcd.start();
    const vm = await lab.processes.until('a port that can be created again', async () => {
      const answer = await lab.openstack.request('POST', 'ports', { port: newPort('made') });
      return answer.status === 201 ? (JSON.parse(answer.body) as { port: { id: string } }).port : undefined;
    });
    await lab.openstack.remove('port', vm.id);
    await laterChangesArrive();
    const late = await vmOn(world, 2, { name: 'late', securityGroups: [group.id] });
    await untilTheyTalk(world, [first, late], [4]);
    await late.remove();
    const { sent, received } = await stream.stop();
    expect(received).toBe(sent);
    const report = await tcp.stop();
    expect(report).toMatchObject({ trouble: '', received: report.sent });
    expect([...(await lab.etcd.all()).values()].join('\n')).not.toContain('0b5d7e1c-0000-4000-8000-000000000001');
  });
});

describe('the DHCP agent killed', () => {
  test('a VM renews its lease meanwhile and afterwards; VMs that are created meanwhile are served after the restart', async () => {
    const { lab } = world;
    const host = lab.hosts[0]!;
    const agent = await kill(host.dhcpAgent);
    expect(await first.renew()).toMatchObject({ event: 'renew', address: first.address4 });
    const vm = await createVm(lab, { name: 'waiting', host, network: world.network.id, securityGroups: [group.id] });
    await vm.plug();
    await vm.startDhcp();
    await agent.start();
    expect(await vm.lease(4)).toMatchObject({ event: 'bound', address: vm.address4 });
    expect(await first.renew()).toMatchObject({ event: 'renew', address: first.address4 });
    await vm.remove();
  });
});

describe('the BIRD agent killed', () => {
  test('VMs keep talking, and new ones are announced; after the restart, no BGP session is interrupted', async () => {
    const { lab } = world;
    const host = lab.hosts[1]!;
    const sessions = async (): Promise<string> => (await lab.router.bird.ctl('show', 'protocols')).replace(/^BIRD.*\n/, '');
    /** Whether two answers name the same sessions since the same times. */
    const agree = (before: string, now: string): boolean => {
      const steady = steadyMoments();
      steady('', before);
      return steady('', now) === before;
    };
    // One answer of a BIRD that was interrupted while it computed the times is not enough.
    const before = await lab.processes.until('the same answer twice', async () => {
      const answer = await sessions();
      return agree(answer, await sessions()) ? answer : undefined;
    });
    const stream = await pingStream(lab, first, addressOf(remote, 4));
    const agent = await kill(host.birdAgent);
    await allTalk();
    const vm = await vmOn(world, 2, { name: 'announced', securityGroups: [group.id] });
    await untilTheyTalk(world, [first, vm], [4]);
    await agent.start();
    await lab.processes.until('the agent’s look at the datastore', () => agent.said().includes('the datastore was read') || undefined);
    await vm.remove();
    await lab.processes.until('the end of its route', async () =>
      (await lab.processes.run('ip', ['route', 'show', addressOf(vm, 4)], { on: lab.router })).trim() === '' ? true : undefined,
    );
    const { sent, received } = await stream.stop();
    expect(received).toBe(sent);
    // A session that was interrupted has another time from now on.
    await lab.processes.until('the sessions that there were before', async () => {
      const now = await sessions();
      expect(agree(before, now), `${now} instead of ${before}`).toBe(true);
      return true;
    });
  });
});

describe('the Neutron driver’s daemon killed', () => {
  test('Neutron refuses what cannot reach etcd and leaves nothing half done; after the restart, it works as before', async () => {
    const { lab } = world;
    const active = (vm: Vm): Promise<true> =>
      lab.processes.until(
        `the port of ${vm.facts.name} ACTIVE`,
        async () => (await lab.openstack.get('port', vm.facts.portId)).status === 'ACTIVE' || undefined,
      );
    await active(first);
    const driver = await kill(lab.driver);
    const { status, body } = await lab.openstack.request('POST', 'ports', { port: newPort('unheard') });
    expect(status, body).toBe(503);
    expect(body).toMatch(/calico-neutron-driver/);
    expect(await named('unheard')).toEqual([]);
    expect((await lab.openstack.get('port', first.facts.portId)).status).toBe('ACTIVE'); // requests that only read are answered
    await allTalk();
    await driver.start();
    await laterChangesArrive();
    const vm = await vmOn(world, 2, { name: 'afterwards', securityGroups: [group.id] });
    await active(vm); // port states are updated again once the dead daemon's election lease has expired: after a minute at most
    await vm.remove();
  });
});
