// Tests what guests notice when etcd, the agent, Dnsmasq or a VM dies or comes back: nothing, or as little as possible.
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { resourceKey, workloadEndpointName } from '@calico-openstack/datamodel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { dhclient6, type LeaseHolder, leaseOnce, udhcpc } from './testing/clients.ts';
import { hostName, port } from './testing/etcd-values.ts';
import { rawGuest } from './testing/raw-dhcp.ts';
import { type Guest, openWorld, type World } from './testing/world.ts';

let world: World;
const clients: LeaseHolder[] = [];
beforeEach(async () => {
  world = await openWorld();
  await world.startAgent();
  await world.putSubnets();
  // The agent may have read etcd before the Dnsmasqs have started.
  await world.until('Dnsmasq runs', () => world.runs());
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.stop();
  await world.close();
});

async function holder(guest: Guest): Promise<LeaseHolder> {
  const client = udhcpc(guest);
  clients.push(client);
  expect((await client.next())['event']).toBe('bound');
  return client;
}

/** Makes the client renew until it gets an answer, as real clients do: a request while no Dnsmasq runs is lost. */
async function renewed(client: LeaseHolder) {
  client.renew();
  return client.next();
}

describe('a Dnsmasq that is killed', () => {
  test('is restarted at once, with all ports', async () => {
    const guest = await world.guestOf(port(1));
    expect((await leaseOnce(guest))['ip']).toBe('10.65.0.11');
    const former = world.dnsmasqPid();
    process.kill(former, 'SIGKILL');
    expect((await leaseOnce(guest))['ip']).toBe('10.65.0.11');
    expect(world.dnsmasqPid()).not.toBe(former);
  });

  test('is restarted before a guest has to ask again', async () => {
    const raw = rawGuest(await world.guestOf(port(1)), port(1).mac);
    expect(await raw.ask4({ kind: 'discover' })).toBeDefined();
    process.kill(world.dnsmasqPid(), 'SIGKILL');
    expect(await raw.ask4({ kind: 'discover' })).toMatchObject({ kind: 'offer', address: '10.65.0.11' });
    raw.close();
  });

  test('is restarted by an agent that took it over, too', async () => {
    const former = world.dnsmasqPid();
    await world.killAgent();
    await world.startAgent();
    expect(world.dnsmasqPid()).toBe(former);
    process.kill(former, 'SIGKILL');
    await world.until('another runs', () => world.runs(former));
  });
});

test('while the agent is killed guests are answered by DHCPv4; the next agent takes over Dnsmasq, answers by DHCPv6 again and catches up on changes', async () => {
  const client = await holder(await world.guestOf(port(1)));
  const gone = await world.guestOf(port(2));
  await leaseOnce(gone);
  const pid = world.dnsmasqPid();
  await world.killAgent();
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.65.0.11' });
  await world.deletePort(port(2));
  const later = port(3, { addresses: port(2).addresses });
  const guest = await world.guestOf(later);
  await world.startAgent();
  expect(world.dnsmasqPid()).toBe(pid);
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.65.0.11' });
  expect((await dhclient6(guest))?.['new_ip6_address']).toBe('2001:db8:a::12');
  expect((await leaseOnce(guest))['ip']).toBe('10.65.0.12');
  expect((await leaseOnce(gone, { attempts: 2 }))['event']).toBe('leasefail');
});

test('a Dnsmasq whose pid file was lost is taken over all the same, and no second one is started', async () => {
  const former = world.dnsmasqPid();
  await world.killAgent();
  rmSync(join(world.directory, 'state/dhcp/dnsmasq-4/pid'));
  await world.startAgent();
  await world.guestOf(port(1));
  await world.served(port(1));
  expect(world.dnsmasqsRunning()).toHaveLength(1);
  expect(world.dnsmasqsRunning()).toContain(former);
});

test('an agent with other Dnsmasq arguments replaces the running Dnsmasq: no request is lost, and guests keep their addresses', async () => {
  const client = await holder(await world.guestOf(port(1)));
  const asking = rawGuest(await world.guestOf(port(2)), port(2).mac);
  expect(await asking.ask4({ kind: 'discover' })).toMatchObject({ kind: 'offer' });
  const former = world.dnsmasqPid();
  await world.killAgent();
  const started = world.startAgent('dhcp_lease_duration = 600');
  const answers: unknown[] = [];
  do answers.push((await asking.ask4({ kind: 'discover' }))?.kind);
  while (!world.runs(former) || world.dnsmasqsRunning().length > 1);
  await started;
  asking.close();
  expect(new Set(answers)).toEqual(new Set(['offer']));
  expect(world.dnsmasqsRunning()).toHaveLength(1);
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.65.0.11', lease: '600' });
});

test('SIGTERM ends the agent with 0, and Dnsmasq goes on serving', async () => {
  const client = await holder(await world.guestOf(port(1)));
  const agent = world.agent();
  const ended = new Promise((resolve) => agent.once('exit', resolve));
  agent.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.65.0.11' });
});

test('while etcd is killed guests are answered, and later changes arrive', async () => {
  const client = await holder(await world.guestOf(port(1)));
  await world.etcd.kill();
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.65.0.11' });
  await world.etcd.restart();
  const guest = await world.guestOf(port(2));
  expect((await leaseOnce(guest))['ip']).toBe('10.65.0.12');
});

test('an agent that starts while etcd is away serves the ports served before, also on new taps', async () => {
  const client = await holder(await world.guestOf(port(1)));
  await leaseOnce(await world.guestOf(port(2)));
  await world.until('its file is written', () => existsSync(join(world.directory, 'state/dhcp/ipv6', port(2).tap)));
  await world.etcd.kill();
  await world.killAgent();
  await world.startAgent('', { etcdIsAway: true });
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.65.0.11' });
  const again = world.guest(port(2).tap, port(2)); // the VM starts again, with a new tap
  expect((await leaseOnce(again))['ip']).toBe('10.65.0.12');
  expect((await dhclient6(again))?.['new_ip6_address']).toBe('2001:db8:a::12');
});

test('a guest whose VM starts again, with a new tap, gets its lease', async () => {
  await leaseOnce(await world.guestOf(port(1)));
  const again = world.guest(port(1).tap, port(1));
  expect((await leaseOnce(again))['ip']).toBe('10.65.0.11');
  expect((await dhclient6(again))?.['new_ip6_address']).toBe('2001:db8:a::11');
});

test('a tap’s new MTU reaches its guest at the next renewal', async () => {
  const client = await holder(await world.guestOf(port(1)));
  await world.served(port(1)); // a change before that would be logged with it, in one line
  world.host('ip', 'link', 'set', port(1).tap, 'mtu', '1400');
  await world.until('the agent has seen it', () => world.logged('port served in another way'));
  expect(await renewed(client)).toMatchObject({ event: 'renew', mtu: '1400' });
});

test('many reloads, between exchanges and during them, do not end Dnsmasq', async () => {
  const guests = await Promise.all([port(1), port(2), port(3)].map((one) => world.guestOf(one)));
  const pid = world.dnsmasqPid();
  for (let round = 0; round < 20; round++) {
    for (let signal = 0; signal < 10; signal++) process.kill(pid, 'SIGHUP');
    const leases = await Promise.all(guests.map((guest) => leaseOnce(guest)));
    expect(leases.map(({ ip }) => ip)).toEqual(['10.65.0.11', '10.65.0.12', '10.65.0.13']);
    process.kill(pid, 'SIGHUP');
  }
  expect(world.dnsmasqPid()).toBe(pid);
});

test('an operator’s settings: a missing directory for logs is made, and a Dnsmasq that logs to standard error serves', async () => {
  await world.killAgent();
  const file = join(world.directory, 'own.conf');
  writeFileSync(file, 'log-facility=-\n');
  chmodSync(file, 0o644);
  await world.startAgent(`dnsmasq_base_log_dir =\ndnsmasq_config_file = ${file}`);
  const guest = await world.guestOf(port(1));
  await leaseOnce(guest);
  // An address that moves between ports needs a reload, which the agent requests once it knows that Dnsmasq runs.
  await world.putPort(port(1, { addresses: ['10.65.0.19'] }));
  expect((await leaseOnce(await world.guestOf(port(2, { addresses: ['10.65.0.11'] }))))['ip']).toBe('10.65.0.11');
  await world.killAgent();
  // Neutron's operators write such a line: with one Dnsmasq for each network, it turned DNS off or moved it to another port.
  writeFileSync(file, 'port=5353\n');
  const former = world.dnsmasqPid();
  await world.startAgent(`dnsmasq_base_log_dir =\ndnsmasq_config_file = ${file}`);
  await world.until('it is new', () => world.runs(former));
  await world.until('what is left out is logged', () => world.logged('options of dnsmasq_config_file are left out'));
  expect((await leaseOnce(guest))['ip']).toBe('10.65.0.19');
  expect((await dhclient6(await world.guestOf(port(3))))?.['new_ip6_address']).toBe('2001:db8:a::13');
  await world.killAgent();
  await world.startAgent(`dnsmasq_base_log_dir = ${join(world.directory, 'made/by')}`);
  await world.until('it logs there', () => existsSync(join(world.directory, 'made/by/dnsmasq-4.log')));
  expect((await leaseOnce(guest))['ip']).toBe('10.65.0.19');
});

test('options that Dnsmasq refuses end the agent with Dnsmasq’s message, and the running Dnsmasqs go on serving', async () => {
  const client = await holder(await world.guestOf(port(1)));
  const before = world.dnsmasqsRunning();
  await world.killAgent();
  await expect(world.startAgent('dnsmasq_config_file = /nonexistent')).rejects.toThrow('cannot read /nonexistent');
  expect(world.dnsmasqsRunning()).toEqual(before);
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.65.0.11' });
});

test('a Dnsmasq that is killed while nothing can be written beside its leases is restarted', async () => {
  const guest = await world.guestOf(port(1));
  await leaseOnce(guest);
  mkdirSync(join(world.directory, 'state/dhcp/dnsmasq-4/leases.new'));
  process.kill(world.dnsmasqPid(), 'SIGKILL');
  expect((await leaseOnce(guest))['ip']).toBe('10.65.0.11');
  await world.until('the refusal is logged', () => world.logged('cannot remove stale files and leases before Dnsmasq starts'));
});

test('a start that cannot succeed says why and ends with 1', async () => {
  await world.killAgent();
  await expect(world.startAgent('', { calico: 'openstack_region = East' })).rejects.toThrow(
    /^the agent ended: calico-dhcp-agent: \[calico\] openstack_region is "East" in \S+neutron\.conf: it must be a lower-case DNS label of at most 46 characters/,
  );
  expect(world.agent().exitCode).toBe(1);
});

test('endpoints of a host whose name differs only in case are reported, with the option to set, to an agent that may read them', async () => {
  await world.killAgent();
  const name = workloadEndpointName({ host: hostName.toUpperCase(), orchestrator: 'openstack', workload: 'vm', endpoint: 'port' });
  await world.etcd.etcdctl('put', resourceKey({ plural: 'workloadendpoints', namespace: 'openstack', name }), '{}');
  await world.startAgent('', { calico: 'etcd_username = root\netcd_password = root' });
  await world.until('it is reported', () => world.logged(`set [DEFAULT] host in neutron.conf to that name host=${hostName} other=${hostName.toUpperCase()}`));
});
