// Tests with a real DHCPv6 client that a guest keeps its address when it is migrated to another host, whether its client renews, rebinds or starts again.
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { dhclient6, leaseOnce, udhcpc } from './testing/clients.ts';
import type { TestPort } from './testing/etcd-values.ts';
import { rawGuest } from './testing/raw-dhcp.ts';
import { type Guest, openWorld, type World } from './testing/world.ts';

let worlds: readonly [World, World];
beforeAll(async () => {
  worlds = [await openWorld(), await openWorld()];
  for (const world of worlds) {
    await world.startAgent();
    await world.putSubnets();
    await world.until('Dnsmasq runs', () => world.runs());
  }
});
afterEach(async () => {
  for (const world of worlds) await world.clear();
  for (const world of worlds) await world.putSubnets();
});
afterAll(async () => {
  for (const world of worlds) await world.close();
});

const port: TestPort = { id: 'port-1', tap: 'tap00000001-aa', mac: 'fa:16:3e:00:00:01', networkId: 'net-a', addresses: ['10.65.0.11', '2001:db8:a::11'] };
async function guestOn(world: World): Promise<Guest> {
  await world.putPort(port);
  return world.guest(port.tap, { mac: port.mac, addresses: port.addresses });
}

// A lease lasts a day, so the client renews after 43 200 s and rebinds after 75 600 s.
test.each([
  { when: 'renews', agedSeconds: 50_000, reason: 'RENEW6' },
  { when: 'rebinds', agedSeconds: 80_000, reason: 'REBIND6' },
])('a guest that $when on its host keeps its address', async ({ agedSeconds, reason }) => {
  const guest = await guestOn(worlds[0]);
  const leaseFile = join(worlds[0].directory, `leases-${agedSeconds}`);
  expect((await dhclient6(guest, { leaseFile }))?.['new_ip6_address']).toBe(port.addresses[1]);
  const again = await dhclient6(guest, { leaseFile, agedSeconds });
  expect([again?.['reason'], again?.['new_ip6_address'], again?.['new_dhcp6_name_servers'], again?.['new_dhcp6_domain_search']]).toEqual([
    reason,
    port.addresses[1],
    '2001:db8::53',
    'openstacklocal.',
  ]);
});

test('a guest that rebinds on the host that it was moved to keeps its address', async () => {
  const leaseFile = join(worlds[0].directory, 'moved');
  const before = await guestOn(worlds[0]);
  expect((await dhclient6(before, { leaseFile }))?.['new_ip6_address']).toBe(port.addresses[1]);
  await worlds[0].deletePort(port);
  before.close();
  const after = await guestOn(worlds[1]);
  const again = await dhclient6(after, { leaseFile, agedSeconds: 80_000 });
  expect([again?.['reason'], again?.['new_ip6_address'], again?.['new_dhcp6_name_servers']]).toEqual(['REBIND6', port.addresses[1], '2001:db8::53']);
});

test('a guest that renews on the host that it was moved to is answered at once, by the server that it knows, with its address', async () => {
  const before = rawGuest(await guestOn(worlds[0]), port.mac);
  const address = { addresses: [port.addresses[1]!] };
  const { server } = (await before.lease6())!;
  before.close();
  await worlds[0].deletePort(port);
  const after = rawGuest(await guestOn(worlds[1]), port.mac);
  await worlds[1].served(port);
  expect(await after.ask6({ type: 'renew', ...address, server })).toMatchObject({ server, addresses: { [port.addresses[1]!]: 86_400 } });
  after.close();
});

test('a guest that was moved is answered by DHCPv4 with the address that it had', async () => {
  expect((await leaseOnce(await guestOn(worlds[0])))['ip']).toBe(port.addresses[0]);
  await worlds[0].deletePort(port);
  const client = udhcpc(await guestOn(worlds[1]), { arguments: ['-r', port.addresses[0]!] });
  expect((await client.next())['ip']).toBe(port.addresses[0]);
  client.renew();
  expect(await client.next()).toMatchObject({ event: 'renew', ip: port.addresses[0] });
  client.stop();
});
