// Tests the agent as an operator starts it, with a real etcd, real Dnsmasqs and real DHCP clients, in network namespaces.
import { agentStatusKey } from '@calico-openstack/datamodel';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dhclient6, type LeaseHolder, leaseOnce, udhcpc } from './testing/clients.ts';
import { hostName, type TestPort } from './testing/etcd-values.ts';
import { subnet } from './testing/facts.ts';
import { rawGuest } from './testing/raw-dhcp.ts';
import { type Guest, openWorld, type World } from './testing/world.ts';

const pages = [
  'dhcp_agent_health_enabled = true',
  'dhcp_agent_health_host = 127.0.0.1',
  'dhcp_agent_metrics_enabled = true',
  'dhcp_agent_metrics_host = 127.0.0.1',
];

let world: World;
let clients: LeaseHolder[] = [];
beforeAll(async () => {
  world = await openWorld();
  await world.startAgent('', { calico: pages.join('\n') });
});
afterAll(() => world.close());
beforeEach(() => world.putSubnets());
afterEach(async () => {
  for (const client of clients) client.stop();
  clients = [];
  await world.clear();
});

let lastPort = 0;
/** A port of net-a with an address of each family unless `some` says otherwise. Each call counts up the port's number. */
function port(some: Partial<TestPort> = {}): TestPort {
  lastPort += 1;
  const [hex, last] = [lastPort.toString(16).padStart(2, '0'), lastPort + 10];
  return {
    id: `port-${lastPort}`,
    tap: `tap000000${hex}-aa`,
    mac: `fa:16:3e:00:00:${hex}`,
    networkId: 'net-a',
    addresses: [`10.65.0.${last}`, `2001:db8:a::${last}`],
    ...some,
  };
}

/** Starts a client. Resolves with the client and its lease when it has one. */
async function holder(guest: Guest) {
  const client = udhcpc(guest);
  clients.push(client);
  const lease = await client.next();
  expect(lease['event']).toBe('bound');
  return { client, lease };
}

async function renewed(client: LeaseHolder) {
  client.renew();
  return client.next();
}

const noAnswer = { attempts: 2 };

test('the agent’s heartbeat is in etcd, under a lease, for Neutron’s list of agents', async () => {
  let leases: readonly number[] = [];
  await world.until('the heartbeat is there', async () => {
    const found = await world.etcd.etcdctl('get', agentStatusKey(undefined, hostName, 'calico-dhcp-agent'), '-w', 'json');
    leases = ((JSON.parse(found) as { kvs?: { lease?: number }[] }).kvs ?? []).map(({ lease = 0 }) => lease);
    return leases.length > 0;
  });
  expect(leases.map((lease) => lease !== 0)).toEqual([true]);
});

test('a DHCPv4 client gets address, mask, gateway, DNS, routes, MTU, hostname and domain', async () => {
  const one = port({ fqdn: 'vm-1.cloud.example.' });
  const lease = await leaseOnce(await world.guestOf(one, 1442));
  expect(lease).toEqual({
    event: 'bound',
    ip: one.addresses[0],
    mask: '24',
    subnet: '255.255.255.0',
    broadcast: '10.65.0.255',
    router: '10.65.0.1',
    serverid: '10.65.0.1',
    siaddr: '10.65.0.1',
    dns: '10.1.1.1 10.1.1.2',
    hostname: 'vm-1',
    domain: 'cloud.example',
    mtu: '1442',
    staticroutes: '0.0.0.0/0 10.65.0.1 10.99.0.0/16 10.65.0.7',
    msstaticroutes: '0.0.0.0/0 10.65.0.1 10.99.0.0/16 10.65.0.7',
    lease: '86400',
  });
});

test('health is served, and metrics by network', async () => {
  const page = (port: number, path: string): string => world.host('busybox', 'wget', '-qO-', `http://127.0.0.1:${port}${path}`);
  await leaseOnce(await world.guestOf(port()));
  await world.until('the agent is ready', () => world.host('sh', '-c', 'busybox wget -qO- http://127.0.0.1:9095/readiness || true').includes('Ports'));
  expect(page(9095, '/liveness')).toMatch(/^Dnsmasq \(dhcp\) +\| 30s +\| reporting live +\| reporting ready/m);
  for (const metric of [
    /^calico_dhcp_agent_ports\{network="net-a",family="ipv4"\} 1$/m,
    /^calico_dhcp_agent_requests_total\{network="net-a",protocol="dhcpv4"\} ([2-9]|\d\d)/m, // the agent may see a request later than Dnsmasq
    /^calico_dhcp_agent_in_sync 1$/m,
  ])
    await world.untilHolds(() => expect(page(9094, '/metrics')).toMatch(metric));
});

test('a port’s extra options replace those of its subnet, and whatever a tenant writes into one is its value', async () => {
  const options = { mtu: '1400', router: '10.65.0.9', 'server-ip-address': '10.65.0.66', 'tftp-server': '10.65.0.66', 'ntp-server': '10.1.1.3,10.1.1.4' };
  const extra = [
    ...Object.entries(options).map(([name, value]) => ({ name, value, family: 4 as const })),
    { name: 'bootfile-name', value: 'http://10.65.0.66/a,tag:x,3 #b', family: 4 as const },
    { name: '224', value: '7', family: 4 as const },
    { name: '66,set:x', value: 'never', family: 4 as const },
    { name: 'lease-time', value: '60', family: 4 as const },
    { name: 'domain-name', value: 'a\ntag:x,3,10.65.0.66', family: 4 as const },
  ];
  const lease = await leaseOnce(await world.guestOf(port({ extra })));
  expect(lease).toMatchObject({ event: 'bound', router: '10.65.0.9', mtu: '1400', siaddr: '10.65.0.66', tftp: '10.65.0.66', ntpsrv: '10.1.1.3 10.1.1.4' });
  expect(lease).toMatchObject({ bootfile: 'http://10.65.0.66/a,tag:x,3 #b', opt224: '07', lease: '86400', domain: 'openstacklocal', dns: '10.1.1.1 10.1.1.2' });
  await world.until('what is not sent is logged', () => world.logged('extra DHCPv4 option \\"lease-time\\" is not sent'));
});

test('a DHCPv6 client gets address, DNS and domain, and its default route by advertisement', async () => {
  const one = port({ fqdn: 'vm-1.cloud.example.' });
  const guest = await world.guestOf(one);
  const lease = await dhclient6(guest);
  expect(lease).toMatchObject({ new_ip6_address: one.addresses[1], new_dhcp6_name_servers: '2001:db8::53', new_dhcp6_domain_search: 'cloud.example.' });
  await world.until('the guest has a default route', () => guest.run('ip', '-6', 'route', 'show', 'default').includes('proto ra'));
  await world.untilHolds(() => expect(guest.run('sh', '-c', 'ping -6 -c 1 -W 5 2001:db8:a::1 || true')).toContain(' 0% packet loss'));
});

test('every guest’s default route is refreshed, though they share a prefix', async () => {
  const guests = await Promise.all([port(), port()].map((one) => world.guestOf(one)));
  const expiry = (guest: Guest): number => Number(/expires (\d+)sec/.exec(guest.run('ip', '-6', 'route', 'show', 'default'))?.[1] ?? 0);
  const lowest = new Map(guests.map((guest) => [guest, Number.POSITIVE_INFINITY]));
  // The guest may have solicited the first advertisement. The next one is unsolicited.
  await world.until('each has had a second advertisement', () =>
    guests.every((guest) => {
      const now = expiry(guest);
      if (now > 0) lowest.set(guest, Math.min(lowest.get(guest)!, now));
      return now > lowest.get(guest)!;
    }),
  );
});

describe('nobody is answered', () => {
  test('on a tap without port', async () => {
    const guest = world.guest('tap999999ff-aa', { mac: 'fa:16:3e:00:00:ff' });
    expect((await leaseOnce(guest, noAnswer))['event']).toBe('leasefail');
  });

  test('with another MAC than the port’s, not by DHCPv6 either', async () => {
    const one = port();
    await world.putPort(one);
    const guest = world.guest(one.tap, { mac: 'fa:16:3e:00:00:fe', addresses: one.addresses });
    expect((await leaseOnce(guest, noAnswer))['event']).toBe('leasefail');
    expect(await dhclient6(guest, { seconds: 4 })).toBeUndefined();
  });

  test('who uses the MAC of a port behind another tap, and that port keeps its lease', async () => {
    const [victim, attacker] = [port(), port()];
    const { client } = await holder(await world.guestOf(victim));
    await world.putPort(attacker);
    const guest = world.guest(attacker.tap, { mac: victim.mac, addresses: attacker.addresses });
    expect((await leaseOnce(guest, noAnswer))['event']).toBe('leasefail');
    expect(await renewed(client)).toMatchObject({ event: 'renew', ip: victim.addresses[0] });
  });

  test('who sends another guest’s client identifier gets its own address, and that guest keeps its lease', async () => {
    const [victim, attacker] = [port(), port()];
    const { client } = await holder(await world.guestOf(victim));
    const identifier = `0x3d:01${victim.mac.replaceAll(':', '')}`;
    expect((await leaseOnce(await world.guestOf(attacker), { arguments: ['-C', '-x', identifier] }))['ip']).toBe(attacker.addresses[0]);
    expect(await renewed(client)).toMatchObject({ event: 'renew', ip: victim.addresses[0] });
  });
});

test('while ports come, change and go, the others’ unicast renewals are all answered', async () => {
  const steady = await Promise.all([port(), port(), port()].map(async (one) => ({ one, ...(await holder(await world.guestOf(one))) })));
  for (let round = 0; round < 6; round++) {
    const other = port();
    const guest = await world.guestOf(other);
    expect((await leaseOnce(guest))['ip']).toBe(other.addresses[0]);
    await world.putPort({ ...other, fqdn: `round-${round}.example` });
    const answers = await Promise.all(steady.map(({ client }) => renewed(client)));
    expect(answers.map(({ event, ip }) => [event, ip])).toEqual(steady.map(({ one }) => ['renew', one.addresses[0]]));
    await world.deletePort(other);
    guest.close();
  }
  expect(await Promise.all(steady.map(({ client }) => renewed(client)))).toMatchObject(steady.map(() => ({ event: 'renew' })));
});

test('a port’s change reaches its guest at the next renewal', async () => {
  const one = port({ fqdn: 'before.example' });
  const { client, lease } = await holder(await world.guestOf(one));
  await world.served(one); // a change before that would be logged with it, in one line
  expect(lease['hostname']).toBe('before');
  await world.putPort({ ...one, fqdn: 'after.example' });
  await world.until('the agent has seen it', () => world.logged(`port served in another way: its addresses or options have changed tap=${one.tap}`));
  expect(await renewed(client)).toMatchObject({ event: 'renew', hostname: 'after' });
});

test('a subnet’s new DNS servers and routes reach a guest at its next renewal', async () => {
  const one = port();
  const { client, lease } = await holder(await world.guestOf(one));
  await world.served(one); // a change before that would be logged with it, in one line
  expect(lease['dns']).toBe('10.1.1.1 10.1.1.2');
  await world.putSubnet('a4', subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: ['10.1.1.9'] }));
  await world.until('the agent has seen it', () => world.logged(`port served in another way: its addresses or options have changed tap=${one.tap}`));
  expect(await renewed(client)).toMatchObject({ event: 'renew', dns: '10.1.1.9' });
  // Dnsmasq applies new lines of a file at once, and drops removed ones with the reload, some milliseconds later.
  await world.until('the former routes are gone', async () => (await renewed(client))['staticroutes'] === undefined);
});

test('the next port gets a former port’s address at once, though its lease still runs', async () => {
  const former = port();
  const guest = await world.guestOf(former);
  expect((await leaseOnce(guest))['ip']).toBe(former.addresses[0]);
  expect((await dhclient6(guest))?.['new_ip6_address']).toBe(former.addresses[1]);
  await world.deletePort(former);
  guest.close();
  const next = port({ addresses: former.addresses });
  const successor = await world.guestOf(next);
  expect((await leaseOnce(successor))['ip']).toBe(former.addresses[0]);
  expect((await dhclient6(successor))?.['new_ip6_address']).toBe(former.addresses[1]);
});

test('a question that came before its port is answered when the port comes', async () => {
  const one = port();
  const raw = rawGuest(world.guest(one.tap, { mac: one.mac, addresses: one.addresses }), one.mac);
  const asked = raw.ask4({ kind: 'discover' });
  await new Promise((resolve) => setTimeout(resolve, 200));
  await world.putPort(one);
  expect(await asked).toMatchObject({ kind: 'offer', address: one.addresses[0] });
  raw.close();
});

test('guests who ask once, before their ports come, with addresses that other ports had a moment before, are all answered', async () => {
  const formers = Array.from({ length: 4 }, () => port());
  const nexts = formers.map(({ addresses }) => port({ addresses }));
  for (const former of formers) await world.guestOf(former);
  for (const former of formers) await world.served(former);
  const guests = nexts.map((next) => rawGuest(world.guest(next.tap, next), next.mac));
  for (const former of formers) await world.deletePort(former);
  const offers = guests.map((guest) => guest.ask4({ kind: 'discover' }));
  await Promise.all(nexts.map((next) => world.putPort(next))); // together, because the agent keeps a message for ten seconds only
  for (const [index, offer] of (await Promise.all(offers)).entries()) expect(offer).toMatchObject({ kind: 'offer', address: nexts[index]!.addresses[0] });
  for (const guest of guests) guest.close();
});

describe('two networks', () => {
  test('with subnets of their own get each its own', async () => {
    await world.putSubnet('b4', subnet('192.168.7.0/26', { gatewayIp: '192.168.7.1', dnsServers: ['10.2.2.2'] }), 'net-b');
    const [a, b] = [port(), port({ networkId: 'net-b', addresses: ['192.168.7.20'] })];
    const [{ client: clientA, lease: leaseA }, { client: clientB, lease: leaseB }] = await Promise.all([
      holder(await world.guestOf(a)),
      holder(await world.guestOf(b)),
    ]);
    expect(leaseA).toMatchObject({ ip: a.addresses[0], mask: '24', router: '10.65.0.1', serverid: '10.65.0.1', dns: '10.1.1.1 10.1.1.2' });
    expect(leaseB).toMatchObject({
      ip: '192.168.7.20',
      mask: '26',
      router: '192.168.7.1',
      serverid: '192.168.7.1',
      dns: '10.2.2.2',
      broadcast: '192.168.7.63',
    });
    expect(await renewed(clientA)).toMatchObject({ event: 'renew', serverid: '10.65.0.1' });
    expect(await renewed(clientB)).toMatchObject({ event: 'renew', serverid: '192.168.7.1' });
  });

  test('with one prefix and one gateway get each its own', async () => {
    await world.putSubnet('b4', subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: ['10.2.2.2'] }), 'net-b');
    const [a, b] = [port(), port({ networkId: 'net-b' })];
    const [{ client: clientA, lease: leaseA }, { client: clientB, lease: leaseB }] = await Promise.all([
      holder(await world.guestOf(a)),
      holder(await world.guestOf(b)),
    ]);
    expect([leaseA['dns'], leaseB['dns']]).toEqual(['10.1.1.1 10.1.1.2', '10.2.2.2']);
    expect([await renewed(clientA), await renewed(clientB)].map(({ dns }) => dns)).toEqual(['10.1.1.1 10.1.1.2', '10.2.2.2']);
  });

  test('with one MAC: the older port is served, the newer is not, and the log names both', async () => {
    const older = port({ createdAt: '2026-01-01T00:00:00Z' });
    const newer = port({ createdAt: '2026-01-02T00:00:00Z', mac: older.mac, networkId: 'net-b' });
    await world.putSubnet('b4', subnet('10.66.0.0/24', { gatewayIp: '10.66.0.1' }), 'net-b');
    const { client } = await holder(await world.guestOf(older));
    expect((await leaseOnce(await world.guestOf({ ...newer, addresses: ['10.66.0.20'] }), noAnswer))['event']).toBe('leasefail');
    expect(await renewed(client)).toMatchObject({ event: 'renew', ip: older.addresses[0] });
    await world.until('the log names both', () => world.logged(`which is older, has its MAC ${older.mac}`));
  });
});

test('a subnet without gateway is served, by its first address, and its guests get no router', async () => {
  await world.putSubnet('b4', subnet('10.70.0.0/24'), 'net-b');
  const one = port({ networkId: 'net-b', addresses: ['10.70.0.20'] });
  const { client, lease } = await holder(await world.guestOf(one));
  expect(lease).toMatchObject({ ip: '10.70.0.20', serverid: '10.70.0.0' });
  expect(lease['router']).toBeUndefined();
  expect(lease['staticroutes']).toBe('169.254.169.254/32 0.0.0.0');
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.70.0.20' });
});

test.each([
  { cidr: '10.70.0.20/32', gatewayIp: '10.71.0.1', told: { mask: '32', staticroutes: '10.71.0.1/32 0.0.0.0 0.0.0.0/0 10.71.0.1' } },
  { cidr: '10.70.0.20/31', gatewayIp: '10.70.0.21', told: { mask: '31' } },
])('a subnet $cidr with the gateway $gatewayIp is served', async ({ cidr, gatewayIp, told }) => {
  await world.putSubnet('b4', subnet(cidr, { gatewayIp }), 'net-b');
  const { client, lease } = await holder(await world.guestOf(port({ networkId: 'net-b', addresses: ['10.70.0.20'] })));
  expect(lease).toMatchObject({ ip: '10.70.0.20', router: gatewayIp, serverid: gatewayIp, ...told });
  expect(await renewed(client)).toMatchObject({ event: 'renew', ip: '10.70.0.20' });
});

test('a port whose subnet comes later is served then', async () => {
  const one = port({ networkId: 'net-c', addresses: ['10.71.0.20'] });
  const client = udhcpc(await world.guestOf(one));
  clients.push(client);
  await world.putSubnet('c4', subnet('10.71.0.0/24', { gatewayIp: '10.71.0.1' }), 'net-c');
  expect(await client.next()).toMatchObject({ event: 'bound', ip: '10.71.0.20' });
});

describe('a name is only ever a name', () => {
  test.each([
    { fqdn: 'ignore.example', hostname: 'ignore', domain: 'example' },
    { fqdn: 'infinite.example', hostname: 'infinite', domain: 'example' },
    { fqdn: '60.example', hostname: '60', domain: 'example' },
    { fqdn: '5m', hostname: '5m', domain: 'openstacklocal' },
    { fqdn: '10.0.0.9', hostname: '10', domain: '0.0.9' },
    { fqdn: 'set.known', hostname: 'set', domain: 'known' },
    { fqdn: 'a,10.65.0.99', domain: 'openstacklocal' },
    { fqdn: 'a\ntag:x,3,10.65.0.66', domain: 'openstacklocal' },
    { fqdn: 'a"b', domain: 'openstacklocal' },
    { fqdn: '$(reboot)', domain: 'openstacklocal' },
  ])('$fqdn', async ({ fqdn, hostname, domain }) => {
    const one = port({ fqdn });
    const lease = await leaseOnce(await world.guestOf(one));
    expect(lease).toMatchObject({
      event: 'bound',
      ip: one.addresses[0],
      router: '10.65.0.1',
      lease: '86400',
      domain,
      hostname: hostname ?? `host-${one.addresses[0]!.replaceAll('.', '-')}`,
    });
  });
});
