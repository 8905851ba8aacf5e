// The distribution's Nova, libvirt and QEMU with this project's parts: real VMs get leases, move, and leave nothing behind.
import { randomBytes } from 'node:crypto';
import { allProcesses, commandOf } from '@calico-openstack/kernel/processes/processes';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { remainsOf } from '../down.ts';
import { bringUp, type Lab } from '../lab.ts';
import type { Network } from '../openstack.ts';
import { type Server, type Servers, servers } from './servers.ts';

const prefix = `nova${randomBytes(3).toString('hex')}`;
let lab: Lab;
let operator: Servers;
let network: Network;
let image: Awaited<ReturnType<Servers['prepare']>>;

beforeAll(async () => {
  lab = await bringUp({ prefix, hosts: 2, nova: true });
  if (lab.nova === undefined) throw new Error('the lab has no Nova');
  operator = servers(lab, lab.nova);
  network = await lab.openstack.create('network', { name: 'net', shared: true });
  await lab.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.65.0.0/24' });
  image = await operator.prepare();
}, 900_000);
afterAll(async () => await lab?.down());

const pingable = async (on: Lab['hosts'][number] | undefined, address: string): Promise<void> => {
  if (on === undefined) throw new Error('there is no such host');
  await lab.processes.until(
    `an answer of ${address} on ${on.name}`,
    async () => (await lab.processes.attempt('ping', ['-c', '1', '-W', '1', address], { on })).status === 0 || undefined,
    { timeoutMs: 180_000, intervalMs: 200 },
  );
};

/** The server's port, when Neutron has it ACTIVE on this host, with its only IPv4 address. */
async function portOn(server: Server, host: string): Promise<{ readonly tap: string; readonly address: string }> {
  return await lab.processes.until(`the port of ${server.name}, ACTIVE on ${host}`, async () => {
    const [port] = await lab.openstack.list('port', { device_id: server.id });
    const address = port?.fixed_ips[0]?.ip_address;
    return port?.status === 'ACTIVE' && port['binding:host_id'] === host && address !== undefined ? { tap: `tap${port.id.slice(0, 11)}`, address } : undefined;
  });
}

test('a server gets a lease, keeps its address over a hard reboot and a live migration there and back, obeys its group, and leaves nothing', async () => {
  const [first, second] = lab.hosts;
  const group = await lab.openstack.create('security_group', { name: 'pings' });
  const server = await operator.create('host-1', { name: 'vm', networks: [{ uuid: network.id }], security_groups: [{ name: 'pings' }], ...image });
  const { tap, address } = await portOn(server, 'host-1');
  await lab.processes.until('a lease on the console', async () => (await operator.console(server.id)).includes(`ip=${address}`) || undefined, {
    timeoutMs: 180_000,
    intervalMs: 300,
  });
  expect((await lab.processes.attempt('ping', ['-c', '2', '-W', '1', address], { on: lab.plan.router })).status).not.toBe(0);
  await lab.openstack.create('security_group_rule', { security_group_id: group.id, direction: 'ingress', ethertype: 'IPv4' });
  await pingable(second, address);

  await operator.act(server.id, { reboot: { type: 'HARD' } }, 'ACTIVE');
  await portOn(server, 'host-1');
  await pingable(second, address);

  for (const [host, other] of [
    ['host-2', first],
    ['host-1', second],
  ] as const) {
    await operator.act(server.id, { 'os-migrateLive': { host, block_migration: 'auto' } }, 'ACTIVE', host);
    await portOn(server, host);
    await pingable(other, address);
  }

  await operator.remove(server.id);
  for (const on of lab.hosts)
    await lab.processes.until(`the end of ${tap} on ${on.name}`, async () => {
      const links = await lab.processes.run('ip', ['-o', 'link'], { on });
      const routes = await lab.processes.run('ip', ['route'], { on });
      const rules = await lab.processes.run('nft', ['list', 'ruleset'], { on });
      return !(links.includes(tap) || routes.includes(`${address} `) || rules.includes(tap)) || undefined;
    });
}, 900_000);

test('the end of the lab ends QEMU too', async () => {
  const server = await operator.create('host-2', { name: 'left', networks: [{ uuid: network.id }], ...image });
  const emulators = (): number => allProcesses().filter(({ pid }) => commandOf(pid).some((word) => word.includes(server.id))).length;
  expect(emulators()).toBe(1);
  await lab.down();
  expect(emulators()).toBe(0);
  expect(remainsOf(prefix)).toEqual([]);
}, 300_000);
