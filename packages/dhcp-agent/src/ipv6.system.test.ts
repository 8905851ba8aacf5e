// Tests IPv6 for guests in every mode of a subnet, with the kernel's own router discovery, a real DHCPv6 client, and messages byte by byte.
import { linkLocalOf } from '@calico-openstack/addresses';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { dhclient6 } from './testing/clients.ts';
import type { TestPort } from './testing/etcd-values.ts';
import { subnet } from './testing/facts.ts';
import { rawGuest } from './testing/raw-dhcp.ts';
import { type Guest, openWorld, type World } from './testing/world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
  await world.startAgent();
});
afterAll(() => world.close());
afterEach(() => world.clear());

/** A port of a network whose address in a /64 is the one that its guest makes itself. */
function port(number: number, prefix: string, some: Partial<TestPort> = {}): TestPort {
  const mac = `fa:16:3e:00:00:0${number}`;
  return {
    id: `port-${number}`,
    tap: `tap0000000${number}-aa`,
    mac,
    networkId: 'net-a',
    addresses: [linkLocalOf(mac).replace('fe80::', `${prefix}:`)],
    ...some,
  };
}
const putSubnet = (id: string, mode: 'slaac' | 'dhcpv6-stateless' | 'dhcpv6-stateful', cidr = '2001:db8:a::/64') =>
  world.putSubnet(id, subnet(cidr, { gatewayIp: cidr.replace('/64', '1'), dnsServers: ['2001:db8::53'], ipv6RaMode: mode, ipv6AddressMode: mode }));
const globals = (guest: Guest): string[] =>
  [...guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'global').matchAll(/inet6 (\S+)/g)].map(([, address]) => address!);
const routes = (guest: Guest): string => guest.run('ip', '-6', 'route', 'show', 'dev', 'eth0');

test.each(['slaac', 'dhcpv6-stateless'] as const)(
  '%s: the guest makes the address that Neutron computed, and has a default route and no route to its prefix',
  async (mode) => {
    await putSubnet('a6', mode);
    const one = port(1, '2001:db8:a:0');
    const guest = await world.guestOf(one);
    await world.until('the guest has its address', () => globals(guest).length > 0);
    expect(globals(guest)).toEqual([`${one.addresses[0]}/64`]);
    await world.until('the guest has a default route', () => routes(guest).includes('default'));
    expect(routes(guest)).toMatch(/default via fe80::\S+ proto ra .*expires (8[89]\d\d|9000)sec/);
    expect(routes(guest)).not.toContain('2001:db8:a::/64');
    await world.untilHolds(() => expect(guest.run('sh', '-c', 'ping -6 -c 1 -W 5 2001:db8:a::1 || true')).toContain(' 0% packet loss'));
    const raw = rawGuest(guest, one.mac);
    if (mode === 'slaac') expect(await raw.ask6({ type: 'solicit' }, 300)).toBeUndefined();
    else expect((await raw.ask6({ type: 'solicit' }))?.addresses).toEqual({});
    raw.close();
    if (mode === 'dhcpv6-stateless') expect((await dhclient6(guest, { stateless: true }))?.['new_dhcp6_name_servers']).toBe('2001:db8::53');
  },
);

test('a subnet’s addresses and those of its sibling in another mode reach one guest; of several stateful ones all', async () => {
  await putSubnet('a6', 'slaac');
  await putSubnet('b6', 'dhcpv6-stateful', '2001:db8:b::/64');
  const one = port(1, '2001:db8:a:0');
  const guest = await world.guestOf({ ...one, addresses: [...one.addresses, '2001:db8:b::11', '2001:db8:b::12'] });
  await world.until('the guest has made its address', () => globals(guest).includes(`${one.addresses[0]}/64`));
  const raw = rawGuest(guest, one.mac);
  expect((await raw.lease6())?.addresses).toEqual({ '2001:db8:b::11': 86_400, '2001:db8:b::12': 86_400 });
  raw.close();
});

test('a guest that was built anew, with another identifier under its MAC, gets its address at once by a real client', async () => {
  await putSubnet('a6', 'dhcpv6-stateful');
  const one = port(1, '', { addresses: ['2001:db8:a::11'] });
  const guest = await world.guestOf(one);
  for (const duid of ['00:01:00:01:01', '00:04:02', '00:01:00:01:01']) expect((await dhclient6(guest, { duid }))?.['new_ip6_address']).toBe('2001:db8:a::11');
});

test('a question that came before its port is answered when the port comes', async () => {
  await putSubnet('a6', 'dhcpv6-stateful');
  const one = port(1, '', { addresses: ['2001:db8:a::11'] });
  const guest = world.guest(one.tap, { mac: one.mac });
  const raw = rawGuest(guest, one.mac);
  await world.until('the tap has its link-local address', () => world.host('ip', '-6', 'addr', 'show', 'dev', one.tap).includes('fe80'));
  const asked = raw.ask6({ type: 'solicit' });
  await new Promise((resolve) => setTimeout(resolve, 200));
  await world.putPort(one);
  expect((await asked)?.addresses).toEqual({ '2001:db8:a::11': 86_400 });
  raw.close();
});

test('a port’s extra DHCPv6 options are sent, by name and by number', async () => {
  await putSubnet('a6', 'dhcpv6-stateful');
  const extra = [
    { name: 'bootfile-url', value: 'tftp://[2001:db8::1]/boot', family: 6 },
    { name: '31', value: '2001:db8::123', family: 6 },
    { name: 'bootfile-name', value: 'ipv4-only', family: 4 },
  ] as const;
  const one = port(1, '', { addresses: ['2001:db8:a::11'], extra });
  const raw = rawGuest(await world.guestOf(one), one.mac);
  const { options } = (await raw.lease6())!;
  expect(options[59]).toBe(Buffer.from('tftp://[2001:db8::1]/boot').toString('hex'));
  expect(options[31]).toBe('20010db8000000000000000000000123');
  raw.close();
});
