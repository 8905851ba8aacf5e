// Tests the exchanges of DHCP with the clients that operating systems start: dhcpcd and systemd-networkd.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { leaseOnce } from './testing/clients.ts';
import { port } from './testing/etcd-values.ts';
import { holdsOnce } from './testing/holder.ts';
import { type Dhcpcd, openDhcpcd, startNetworkd } from './testing/os-clients.ts';
import { type Guest, openWorld, type World } from './testing/world.ts';

const [own, neighbours, server, own6] = ['10.65.0.11', '10.65.0.12', '10.65.0.1', '2001:db8:a::11'] as const;
let world: World;
const clients: Dhcpcd[] = [];
beforeAll(async () => {
  world = await openWorld();
  await world.startAgent();
});
afterAll(() => world.close());
beforeEach(() => world.putSubnets());
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await world.clear();
});

const clientIn = (guest: Guest): Dhcpcd => {
  const client = openDhcpcd(guest);
  clients.push(client);
  return client;
};
const address6 = 'new_dhcp6_ia_na1_ia_addr1';

test('dhcpcd gets a lease, renews it, asks for it at its next start, gives it back, and gets it again', async () => {
  const client = clientIn(await world.guestOf(port(1)));
  client.start({ family: 4 });
  expect(await client.next('BOUND')).toMatchObject({ new_ip_address: own, new_dhcp_server_identifier: server, new_dhcp_lease_time: '86400' });
  expect(await client.renew('RENEW')).toMatchObject({ new_ip_address: own });
  await client.stop();
  client.start({ family: 4 });
  expect(await client.next('REBOOT', 'BOUND')).toMatchObject({ reason: 'REBOOT', new_ip_address: own });
  await client.release();
  client.start({ family: 4 });
  expect(await client.next('REBOOT', 'BOUND')).toMatchObject({ reason: 'BOUND', new_ip_address: own });
});

test('dhcpcd that comes back with its neighbour’s lease, or asks for its address, gets its own', async () => {
  const [guest, neighbour] = [await world.guestOf(port(1)), await world.guestOf(port(2))];
  const [client, other] = [clientIn(guest), clientIn(neighbour)];
  other.start({ family: 4 });
  expect(await other.next('BOUND')).toMatchObject({ new_ip_address: neighbours });
  client.rememberLeaseOf(other);
  client.start({ family: 4 });
  expect(await client.next('REBOOT', 'BOUND')).toMatchObject({ reason: 'BOUND', new_ip_address: own });
  await client.release();
  client.start({ family: 4, arguments: ['-r', neighbours] });
  expect(await client.next('REBOOT', 'BOUND')).toMatchObject({ reason: 'BOUND', new_ip_address: own });
  expect(await other.renew('RENEW')).toMatchObject({ new_ip_address: neighbours });
});

test('dhcpcd and systemd-networkd whose server does not hear their renewals rebind', async () => {
  await world.killAgent();
  // systemd-networkd moves both times by up to a second. If it rebinds before it renews, it goes back to renewing, for a minute.
  // Dnsmasq passes over a T1 of less than three seconds. A client then chooses one by itself, and it may lie behind T2.
  await world.startAgent('dhcp_renewal_time = 3\ndhcp_rebinding_time = 6');
  const [guest, other] = [await world.guestOf(port(1)), await world.guestOf(port(2))];
  // Renewals are sent to the server's address, and rebindings to all.
  for (const one of [guest, other])
    one.run('nft', 'add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o udp dport 67 ip daddr 10.65.0.1 drop');
  const [client, networkd] = [clientIn(guest), startNetworkd(other)];
  try {
    client.start({ family: 4 });
    expect(await client.next('BOUND')).toMatchObject({ new_ip_address: own });
    expect(await client.next('RENEW', 'REBIND', 'EXPIRE')).toMatchObject({ reason: 'REBIND', new_ip_address: own });
    await world
      .until('systemd-networkd rebinds', () => /REQUEST \(rebinding\)(?:.|\n)*DHCPv4 client: ACK/.test(networkd.log()))
      .catch((error: unknown) => {
        throw new Error(networkd.log(), { cause: error });
      });
  } finally {
    await networkd.stop();
    await world.killAgent();
    await world.startAgent();
  }
});

test('dhcpcd that finds its address taken declines it, and has it as soon as it is free', async () => {
  const guest = await world.guestOf(port(1));
  const client = clientIn(guest);
  const somebody = holdsOnce(world, port(1));
  try {
    client.start({ family: 4, probes: true });
    expect(await client.next('BOUND')).toMatchObject({ new_ip_address: own });
    expect(somebody.answered).toBe(1);
  } finally {
    somebody.close();
  }
});

test('dhcpcd that has an address of its own is told the options (INFORM)', async () => {
  const guest = await world.guestOf(port(1));
  guest.run('ip', 'address', 'add', `${own}/24`, 'dev', 'eth0');
  const client = clientIn(guest);
  client.start({ family: 4, arguments: ['-s', `${own}/24`] });
  expect(await client.next('INFORM', 'BOUND', 'STATIC')).toMatchObject({ reason: 'INFORM', new_domain_name_servers: '10.1.1.1 10.1.1.2' });
});

test('dhcpcd gets its IPv6 address, renews it, confirms it at its next start, gives it back, and gets it again', async () => {
  const client = clientIn(await world.guestOf(port(1)));
  client.start({ family: 6 });
  expect(await client.next('BOUND6')).toMatchObject({ [address6]: own6, new_dhcp6_name_servers: '2001:db8::53' });
  expect(await client.renew('RENEW6')).toMatchObject({ [address6]: own6 });
  await client.stop();
  client.start({ family: 6 });
  expect(await client.next('REBOOT6', 'CONFIRM6', 'REBIND6', 'BOUND6')).toMatchObject({ [address6]: own6 });
  await client.release();
  client.start({ family: 6 });
  expect(await client.next('BOUND6')).toMatchObject({ [address6]: own6 });
});

test('systemd-networkd gets both addresses, gives them back, and gets them again', async () => {
  const guest = await world.guestOf(port(1));
  for (const _ of ['first', 'again']) {
    const client = startNetworkd(guest);
    try {
      expect(await client.lease()).toMatchObject({ ADDRESS: own, ROUTER: server, SERVER_ADDRESS: server });
      await world.until('it has its IPv6 address', () => guest.run('ip', '-6', 'address', 'show', 'dev', 'eth0').includes(own6));
    } finally {
      await client.stop();
    }
    expect(guest.run('ip', 'address', 'show', 'dev', 'eth0')).not.toMatch(new RegExp(`${own}/|${own6}`));
  }
  expect(await leaseOnce(guest)).toMatchObject({ ip: own });
});
