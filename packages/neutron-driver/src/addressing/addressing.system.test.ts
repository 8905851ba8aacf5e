// Tests which addresses a real Neutron gives to a member of a project and to an administrator. The test plays Felix.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { HttpAnswer } from '../../../../lab/http.ts';
import { createMember, type Member } from '../../../../lab/member.ts';
import { until } from '../../../../lab/wait.ts';
import { bringUpCloud, type Cloud } from '../testing/cloud.ts';

let cloud: Cloud;
let member: Member;
let other: Member;
let etcd: string;
let router: string;
let network: string;
let subnet: string;
/** The member's own network. */
let own: string;
let vms = 0;

const made = async (answer: HttpAnswer | Promise<HttpAnswer>): Promise<{ id: string } & Record<string, unknown>> => {
  const { status, body } = await answer;
  expect({ status, body: status < 300 ? '' : body }).toMatchObject({ status: 201 });
  return Object.values(JSON.parse(body) as Record<string, { id: string } & Record<string, unknown>>)[0]!;
};
const ask = (who: Member, fields: object): Promise<HttpAnswer> =>
  who.request('POST', 'subnets', {
    subnet: { network_id: own, ip_version: JSON.stringify(fields).includes(':') && /::/.test(JSON.stringify(fields)) ? 6 : 4, ...fields },
  });
const free = async (...fields: object[]): Promise<void> => {
  for (const one of fields) expect((await member.request('DELETE', `subnets/${(await made(ask(member, one))).id}`)).status).toBe(204);
};

beforeAll(async () => {
  cloud = await bringUpCloud(`na${process.pid % 10_000}`);
  const { openstack, lab } = cloud;
  etcd = lab.plan.control.link.machine4;
  router = lab.plan.hosts[0]!.link.router4;
  await cloud.served();
  const put = (plural: string, spec: object, name = 'one'): Promise<string> =>
    lab.etcd.ctl('put', `/calico/resources/v3/projectcalico.org/${plural}/${name}`, JSON.stringify({ metadata: { name }, spec }));
  await put('nodes', { bgp: { ipv4Address: '10.9.9.9/32', ipv6Address: '2001:db8:9::9/128' } });
  await put('bgppeers', { peerIP: router, asNumber: 64500 });
  await put('bgpconfigurations', { localWorkloadPeeringIPV4: '10.9.9.7' }, 'default');
  network = (await openstack.create('network', { name: 'shop', shared: true })).id;
  subnet = (await openstack.create('subnet', { network_id: network, ip_version: 4, cidr: '10.65.0.0/16' })).id;
  [member, other] = [await createMember(lab, 'mallory'), await createMember(lab, 'oscar')];
  own = (await made(member.request('POST', 'networks', { network: { name: 'mine' } }))).id;
});
afterAll(() => cloud?.lab.down());
beforeEach(() => cloud.felixReports('cmp-1'));

describe('a subnet is refused with the reason, and does not exist', () => {
  const cases: readonly (readonly [string, () => object, RegExp])[] = [
    ["etcd's address as gateway", () => ({ cidr: '10.70.0.0/24', gateway_ip: etcd }), /gateway 172\.16\.0\.2 is an endpoint of this cloud's etcd/],
    ["the router's address as gateway", () => ({ cidr: '10.70.0.0/24', gateway_ip: router }), /gateway 172\.16\.1\.1 is a BGP peer/],
    ["a host's address as gateway", () => ({ cidr: '10.70.0.0/24', gateway_ip: '10.9.9.9' }), /gateway 10\.9\.9\.9 is an address of a host/],
    [
      'the address from which hosts speak BGP with workloads as gateway',
      () => ({ cidr: '10.70.0.0/24', gateway_ip: '10.9.9.7' }),
      /gateway 10\.9\.9\.7 is an address of every host/,
    ],
    ["a VM's address as gateway", () => ({ cidr: '10.70.0.0/24', gateway_ip: '10.65.3.3' }), /gateway 10\.65\.3\.3 overlaps 10\.65\.0\.0\/16, another subnet/],
    ['the metadata address as gateway', () => ({ cidr: '10.70.0.0/24', gateway_ip: '169.254.169.254' }), /169\.254\.0\.0\/16, the link-local addresses/],
    ['etcd in it', () => ({ cidr: '172.16.0.0/24' }), /172\.16\.0\.0\/24 holds 172\.16\.0\.[12]/],
    ['a host in it', () => ({ cidr: '2001:db8:9::/64' }), /holds 2001:db8:9::9, an address of a host/],
    ["another project's subnet around it", () => ({ cidr: '10.65.7.0/24' }), /10\.65\.7\.0\/24 overlaps 10\.65\.0\.0\/16, another subnet's prefix/],
    ["another project's subnet in it", () => ({ cidr: '10.64.0.0/15' }), /10\.64\.0\.0\/15 overlaps 10\.65\.0\.0\/16/],
    ['link-local addresses', () => ({ cidr: '169.254.7.0/24' }), /link-local addresses, which no host can have/],
    ['addresses without a use', () => ({ cidr: '240.0.0.0/24' }), /addresses without a use/],
    ['link-local addresses of IPv6', () => ({ cidr: 'fe80::/64' }), /fe80::\/10, the link-local addresses/],
  ];
  test.each(cases)('%s', async (_, fields, reason) => {
    const before = await cloud.openstack.list('subnet');
    const answer = await ask(member, fields());
    expect(answer).toMatchObject({ status: 409, body: expect.stringMatching(reason) });
    expect(answer.body).not.toMatch(/Node|BGPPeer|callback|precommit/);
    expect(await cloud.openstack.list('subnet')).toHaveLength(before.length);
  });

  test('an administrator’s is refused, too', async () => {
    const answer = await cloud.openstack.request('POST', 'subnets', { subnet: { network_id: network, ip_version: 4, cidr: '172.16.0.0/16' } });
    expect(answer).toMatchObject({ status: 409, body: expect.stringMatching(/172\.16\.0\.0\/16 holds/) });
  });

  test("a prefix from the member's own subnet pool, two that overlap in one request", async () => {
    const pool = await made(member.request('POST', 'subnetpools', { subnetpool: { name: 'p', prefixes: ['10.65.128.0/17'], default_prefixlen: 24 } }));
    const second = (await made(member.request('POST', 'networks', { network: { name: 'second' } }))).id;
    expect(await ask(member, { network_id: second, subnetpool_id: pool.id })).toMatchObject({
      status: 409,
      body: expect.stringMatching(/overlaps 10\.65\.0\.0\/16/),
    });
    const common = { ip_version: 4 };
    const bulk = await member.request('POST', 'subnets', {
      subnets: [
        { ...common, network_id: own, cidr: '10.71.0.0/24' },
        { ...common, network_id: second, cidr: '10.71.0.0/16' },
      ],
    });
    expect(bulk).toMatchObject({ status: 409, body: expect.stringMatching(/10\.71\.0\.0\/16 overlaps 10\.71\.0\.0\/24/) });
    expect((await cloud.openstack.list('subnet')).filter(({ cidr }) => cidr.startsWith('10.71.'))).toEqual([]);
  });

  test('a gateway that an existing subnet is to get', async () => {
    const { id } = await made(ask(member, { cidr: '10.70.0.0/24' }));
    for (const gateway_ip of [etcd, '10.65.3.3'])
      expect(await member.request('PUT', `subnets/${id}`, { subnet: { gateway_ip } })).toMatchObject({
        status: 409,
        body: expect.stringMatching(/the subnet's gateway/),
      });
    expect(
      (await member.request('PUT', `subnets/${id}`, { subnet: { gateway_ip: '10.70.0.9', allocation_pools: [{ start: '10.70.0.20', end: '10.70.0.30' }] } }))
        .status,
    ).toBe(200);
    const key = `/calico/dhcp/v2/no-region/subnet/${id}`;
    expect((await cloud.contents(key))[key]).toMatchObject({ gateway_ip: '10.70.0.9' });
    expect((await member.request('DELETE', `subnets/${id}`)).status).toBe(204);
  });
});

test('allowed subnets are created: any free prefix, no gateway, a link-local one, one outside of its subnet, addresses by router advertisement', async () => {
  await free(
    { cidr: '10.70.0.0/24' },
    { cidr: '10.70.0.0/24', gateway_ip: null },
    { cidr: '10.70.0.0/24', gateway_ip: '10.72.0.1' },
    { cidr: '2001:db8:70::/64', gateway_ip: 'fe80::1' },
    { cidr: '2001:db8:70::/64', ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' },
  );
});

test('of overlapping subnets that are created at the same time, two never stay', async () => {
  const theirs = (await made(other.request('POST', 'networks', { network: { name: 'theirs' } }))).id;
  for (let turn = 0; turn < 6; turn += 1) {
    const prefix = (length: number): object => ({ ip_version: 4, cidr: `10.${100 + turn}.0.0/${length}` });
    const answers = await Promise.all([
      member.request('POST', 'subnets', { subnet: { network_id: own, ...prefix(16) } }),
      other.request('POST', 'subnets', { subnet: { network_id: theirs, ...prefix(24) } }),
    ]);
    const there = (await cloud.openstack.list('subnet')).filter(({ cidr }) => cidr.startsWith(`10.${100 + turn}.`));
    expect(there.length).toBeLessThanOrEqual(1);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(there.length);
    for (const { id } of there) await cloud.openstack.remove('subnet', id);
    for (const { status, body } of answers)
      if (status !== 201) expect({ status, body }).toMatchObject({ status: 409, body: expect.stringMatching(/another subnet/) });
  }
  const left = Object.values(await cloud.contents('/calico/dhcp/v2/no-region/subnet/')).map((value) => (value as { cidr: string }).cidr);
  expect(left.filter((cidr) => cidr.startsWith('10.10'))).toEqual([]);
});

/** A VM's port on the member's network, as Nova creates it. */
async function vmPort(fields: Record<string, unknown> = {}): Promise<{ id: string; mac_address: string }> {
  vms += 1;
  const device = `6f1caa00-0000-4000-9000-${String(vms).padStart(12, '0')}`;
  return cloud.openstack.create('port', {
    network_id: own,
    tenant_id: member.project,
    device_owner: 'compute:nova',
    device_id: device,
    'binding:host_id': 'cmp-1',
    ...fields,
  });
}
const endpoint = async (port: string) => (await cloud.endpointsOf(port))['cmp-1'];

describe('a port', () => {
  let victim: string;
  let attacker: string;
  beforeAll(async () => {
    await cloud.felixReports('cmp-1');
    await made(ask(member, { cidr: '10.66.0.0/24' }));
    await made(ask(member, { cidr: '2001:db8:66::/64' }));
    victim = (await cloud.openstack.create('port', { network_id: network, device_owner: 'compute:nova', device_id: 'victim' })).fixed_ips[0]!.ip_address;
    attacker = (await vmPort()).id;
  });

  const pairs: readonly (readonly [string, () => string, RegExp])[] = [
    ["another project's VM", () => victim, /10\.65\..* lies outside of the network's subnets \(.*10\.66\.0\.0\/24/],
    ["the host's next hop", () => router, /172\.16\.1\.1 is a BGP peer of this cloud/],
    ["etcd's address", () => etcd, /172\.16\.0\.2 is an endpoint of this cloud's etcd/],
    ["a host's address", () => '10.9.9.9', /10\.9\.9\.9 is an address of a host of this cloud/],
    ["the network's gateway", () => '10.66.0.1', /10\.66\.0\.1 is the network's gateway/],
    ['everything', () => '0.0.0.0/0', /0\.0\.0\.0\/0 overlaps 0\.0\.0\.0\/8, the unspecified addresses/],
    ['everything, in IPv6', () => '::/0', /::\/0 overlaps/],
    ['half of everything', () => '128.0.0.0/1', /overlaps 169\.254\.0\.0\/16/],
    ['more than a subnet', () => '10.66.0.0/23', /lies outside of the network's subnets/],
    ['a loopback address', () => '127.0.0.1', /127\.0\.0\.0\/8, the loopback addresses/],
    ['a multicast address', () => 'ff02::1', /multicast addresses/],
    ['a link-local address', () => 'fe80::1', /link-local addresses/],
  ];
  test.each(pairs)('is refused the address pair of %s', async (_, address, reason) => {
    const allowed_address_pairs = [{ ip_address: '10.66.0.201' }, { ip_address: address() }];
    const answer = await member.request('PUT', `ports/${attacker}`, { port: { allowed_address_pairs } });
    // Newer releases of Neutron refuse by themselves what holds multicast addresses.
    const neutrons = process.env['LAB_NEUTRON'] !== undefined && answer.status === 400;
    expect(answer).toMatchObject(neutrons ? { body: expect.stringMatching(/multicast/i) } : { status: 409, body: expect.stringMatching(reason) });
  });

  test('that is refused a pair is unchanged; a new one is not created', async () => {
    expect((await endpoint(attacker))?.spec).toMatchObject({ allowedIps: [], ipNetworks: [expect.stringMatching(/^10\.66/), expect.stringMatching(/^2001/)] });
    expect((await cloud.openstack.get('port', attacker)) as unknown).toMatchObject({ allowed_address_pairs: [] });
    const port = { network_id: own, name: 'never', allowed_address_pairs: [{ ip_address: victim }] };
    expect(await member.request('POST', 'ports', { port })).toMatchObject({ status: 409, body: expect.stringMatching(/lies outside/) });
    expect(await cloud.openstack.list('port', { name: 'never' })).toEqual([]);
  });

  test("is refused a fixed address that is a host's by now", async () => {
    // Neutron itself checks only that the address lies in the subnet. A host may have got it since.
    await cloud.lab.etcd.ctl('put', '/calico/resources/v3/projectcalico.org/nodes/two', JSON.stringify({ spec: { bgp: { ipv4Address: '10.66.0.77/24' } } }));
    const refused = { status: 409, body: expect.stringMatching(/10\.66\.0\.77 is an address of a host/) };
    const setPairs = (...pairs: readonly { ip_address: string }[]): Promise<HttpAnswer> =>
      member.request('PUT', `ports/${attacker}`, { port: { allowed_address_pairs: pairs } });
    /** Sets a new pair each time, because a pair that the port already has is not checked again. */
    const askForPair = async (): Promise<HttpAnswer> => {
      const answer = await setPairs({ ip_address: '10.66.0.77' });
      if (answer.status === 200) await setPairs();
      return answer;
    };
    // The driver's knowledge of hosts may be a second old.
    await until('the pair to be refused', async () => {
      expect(await askForPair()).toMatchObject(refused);
      return true;
    });
    const port = { network_id: own, fixed_ips: [{ ip_address: '10.66.0.77' }] };
    expect(await member.request('POST', 'ports', { port })).toMatchObject(refused);
    expect(await cloud.openstack.request('POST', 'ports', { port })).toMatchObject(refused);
    await cloud.lab.etcd.ctl('del', '/calico/resources/v3/projectcalico.org/nodes/two');
    await until('the pair to be allowed', async () => (await askForPair()).status === 200 || undefined);
  });

  test("may have pairs in its own network's subnets, and a pair's own MAC reaches the endpoint", async () => {
    const port = await vmPort();
    const vip = JSON.parse((await member.request('POST', 'ports', { port: { network_id: own } })).body).port.fixed_ips[0].ip_address as string;
    const allowed_address_pairs = [
      { ip_address: vip, mac_address: '00:00:5E:00:01:0A' },
      { ip_address: '10.66.0.202' },
      { ip_address: '10.66.0.128/25', mac_address: '00:00:5e:00:01:0b' },
    ];
    expect((await member.request('PUT', `ports/${port.id}`, { port: { allowed_address_pairs } })).status).toBe(200);
    const written = await endpoint(port.id);
    expect(written?.spec['allowedIps']).toEqual(expect.arrayContaining(['10.66.0.202/32', `${vip}/32`]));
    expect(written?.spec['allowSpoofedSourcePrefixes']).toEqual(['10.66.0.128/25']);
    const macs = written?.metadata.annotations?.['openstack.projectcalico.org/address-pair-macs'];
    expect(JSON.parse(macs ?? '')).toEqual({ [vip]: ['00:00:5e:00:01:0a'], '10.66.0.128/25': ['00:00:5e:00:01:0b'] });
  });

  test('without port security may use all of its own network, also a subnet that is added later', async () => {
    const port = await vmPort({ port_security_enabled: false, security_groups: [] });
    const prefixes = async (): Promise<unknown> => (await endpoint(port.id))?.spec['allowSpoofedSourcePrefixes'];
    const before = await prefixes();
    expect(before).toEqual(['10.66.0.0/24', '2001:db8:66::/64']);
    const { id } = await made(ask(member, { cidr: '10.67.0.0/24' }));
    const follows = (wanted: string[]): Promise<boolean> =>
      until('the port to follow its network', async () => {
        expect(await prefixes()).toEqual(wanted);
        return true;
      });
    await follows(['10.66.0.0/24', '10.67.0.0/24', '2001:db8:66::/64']);
    expect((await member.request('DELETE', `subnets/${id}`)).status).toBe(204);
    await follows(['10.66.0.0/24', '2001:db8:66::/64']);
  });

  test('whose forbidden pairs are in the database nevertheless may use none of them, and resync lists it', async () => {
    const port = await vmPort();
    const { lab } = cloud;
    const sql = `INSERT INTO neutron.allowedaddresspairs VALUES ('${port.id}', '${port.mac_address}', '${etcd}'), ('${port.id}', '${port.mac_address}', '10.66.0.203')`;
    await lab.mariadb.sql(sql);
    await lab.mariadb.sql(`UPDATE neutron.subnets SET gateway_ip = '${router}' WHERE id = '${subnet}'`);
    const summary = await cloud.resync();
    const written = await endpoint(port.id);
    expect(written?.spec['allowedIps']).toEqual(['10.66.0.203/32']);
    expect((await cloud.contents('/calico/dhcp/'))[`/calico/dhcp/v2/no-region/subnet/${subnet}`]).toMatchObject({ gateway_ip: null });
    expect(summary).toMatchObject({ ok: true });
    expect(summary['would_be_refused']).toEqual(
      expect.arrayContaining([
        { kind: 'port', id: port.id, what: expect.stringMatching(/172\.16\.0\.2 is an endpoint/) },
        { kind: 'subnet', id: subnet, what: expect.stringMatching(/gateway 172\.16\.1\.1 is a BGP peer/) },
      ]),
    );
    expect(lab.driver?.said()).toMatch(new RegExp(`would be refused today: the allowed address pair ${etcd}.*${port.id}|${port.id}.*would be refused today`));
    await lab.mariadb.sql(`UPDATE neutron.subnets SET gateway_ip = '10.65.0.1' WHERE id = '${subnet}'`);
  });
});

test('a floating IP comes from a subnet like any other', async () => {
  const { openstack } = cloud;
  const outside = await openstack.create('network', { name: 'outside', 'router:external': true });
  const subnetOf = (fields: object): Promise<HttpAnswer> =>
    openstack.request('POST', 'subnets', { subnet: { network_id: outside.id, ip_version: 4, enable_dhcp: false, ...fields } });
  expect(await subnetOf({ cidr: '10.65.9.0/24' })).toMatchObject({ status: 409, body: expect.stringMatching(/another subnet/) });
  expect(await subnetOf({ cidr: '203.0.113.0/24', gateway_ip: router })).toMatchObject({ status: 409, body: expect.stringMatching(/BGP peer/) });
  await made(subnetOf({ cidr: '203.0.113.0/24' }));
  expect(await ask(member, { cidr: '203.0.113.0/25' })).toMatchObject({ status: 409, body: expect.stringMatching(/another subnet/) });
});

test("with the policy.yaml of the operators' page a member gets subnets from the cloud's pool, and cannot choose addresses", async () => {
  const { openstack, lab } = cloud;
  const pool = await made(
    openstack.request('POST', 'subnetpools', { subnetpool: { name: 'cloud', shared: true, prefixes: ['10.128.0.0/12'], default_prefixlen: 26 } }),
  );
  const page = readFileSync(join(import.meta.dirname, '../../../../docs/addressing.md'), 'utf8');
  const lines = /```yaml\n(.*?)```/s.exec(page)?.[1] ?? '';
  const file = join(dirname(lab.neutron.configuration), 'policy.yaml');
  const post = (path: string, body: object): Promise<HttpAnswer> => member.request('POST', path, body);
  const network_id = (await made(post('networks', { network: { name: 'third' } }))).id;
  try {
    writeFileSync(file, lines.replaceAll('POOL_ID', pool.id));
    await until('Neutron to read its policy', async () => (await ask(member, { network_id, cidr: '10.73.0.0/24' })).status === 403 || undefined);
    expect(await made(ask(member, { network_id, subnetpool_id: pool.id }))).toMatchObject({ cidr: '10.128.0.0/26' });
    const { id } = await made(ask(member, { network_id, subnetpool_id: pool.id, cidr: '10.129.0.0/24' }));
    expect((await ask(member, { network_id, use_default_subnetpool: true })).status).toBe(403);
    expect((await post('subnetpools', { subnetpool: { name: 'mine', prefixes: ['10.73.0.0/16'] } })).status).toBe(403);
    expect((await post('address-scopes', { address_scope: { name: 'mine', ip_version: 4 } })).status).toBe(403);
    expect((await member.request('PUT', `subnets/${id}`, { subnet: { gateway_ip: '10.129.0.9' } })).status).toBe(403);
    await made(post('ports', { port: { network_id, allowed_address_pairs: [{ ip_address: '10.129.0.99' }] } }));
    expect((await post('ports', { port: { network_id, port_security_enabled: false } })).status).toBe(403);
    expect((await post('ports', { port: { network_id: network, allowed_address_pairs: [{ ip_address: '10.65.0.99' }] } })).status).toBe(403);
    expect((await openstack.request('POST', 'subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.74.0.0/24' } })).status).toBe(201);
  } finally {
    writeFileSync(file, '{}\n'); // Neutron answers 500 when a policy file that it has read before is gone
  }
});

test("with the operator's options, an administrator's subnet may share the fabric, overlaps are allowed, and pairs may lie elsewhere", async () => {
  const { openstack, lab } = cloud;
  const options = join(dirname(lab.neutron.configuration), 'addressing.conf');
  const lines = [
    'reserved_prefixes = 10.250.0.0/16',
    'reserved_prefix_subnets = administrators',
    'address_overlaps = warn',
    'allowed_address_pair_prefixes = 10.251.0.0/16',
  ];
  writeFileSync(options, `[calico]\n${lines.join('\n')}\n`);
  lab.driver?.kill('SIGTERM');
  await lab.driver?.ended();
  const driver = lab.processes.service({
    name: 'control/other-driver',
    on: lab.plan.control,
    command: process.execPath,
    args: [join(import.meta.dirname, '../bin/calico-neutron-driver.ts'), '--config-file', lab.neutron.configuration, '--config-file', options],
    env: { PYTHONPATH: lab.neutron.pythonPath },
  });
  await driver.start();
  await until('the driver to serve', () => driver.said().includes('rows process has connected') || undefined, { timeoutMs: 300_000 });
  const fabric = (more: object): object => ({ network_id: network, ip_version: 4, cidr: '172.16.0.0/24', gateway_ip: '172.16.0.254', ...more });
  const pools = { allocation_pools: [{ start: '172.16.0.100', end: '172.16.0.120' }] };
  const refused = (reason: RegExp): object => ({ status: 409, body: expect.stringMatching(reason) });
  const admin = (fields: object): Promise<HttpAnswer> => openstack.request('POST', 'subnets', { subnet: fields });
  expect(await ask(member, fabric({ network_id: own, ...pools }))).toMatchObject(refused(/172\.16\.0\.0\/24 holds/));
  expect(await ask(member, { cidr: '10.250.0.0/24' })).toMatchObject(refused(/10\.250\.0\.0\/16, which is reserved for the cloud itself/));
  expect(await admin(fabric({}))).toMatchObject(refused(/allocation pool .* holds 172\.16\.0\.2/));
  expect(await admin(fabric({ ...pools, gateway_ip: etcd }))).toMatchObject(refused(/gateway 172\.16\.0\.2 is an endpoint/));
  await made(admin(fabric(pools)));
  const port = { network_id: network, fixed_ips: [{ ip_address: etcd }] };
  expect(await openstack.request('POST', 'ports', { port })).toMatchObject(refused(/the address 172\.16\.0\.2 is an endpoint/));
  await made(ask(member, { cidr: '10.65.7.0/24' }));
  expect(driver.said()).toMatch(/10\.65\.7\.0\/24 overlaps 10\.65\.0\.0\/16.*allowed, because address_overlaps is warn/);
  await made(member.request('POST', 'ports', { port: { network_id: own, allowed_address_pairs: [{ ip_address: '10.251.0.9' }] } }));
  await driver.stop();
});
