// Tests the driver with a real Neutron (uWSGI, MariaDB, Keystone) and a real etcd. The test plays Felix.
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { agentHeartbeat, agentStatusKey, felixStatusKey } from '@calico-openstack/datamodel';
import { stormSize } from '@calico-openstack/etcd/testing/storm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { makeUsers } from '../../../lab/services/etcd.ts';
import { until } from '../../../lab/wait.ts';
import { bringUpCloud, type Cloud } from './testing/cloud.ts';
import { driverUnderHostileValues } from './testing/hostile-storm.ts';
import { besideOtherServers } from './testing/other-servers.ts';
import { severalServers } from './testing/several-servers.ts';

let cloud: Cloud;
let project: string;
let network: string;
let subnet: string;
let group: string;
let vms = 0;
/** A port that has not changed for a long time. */
let oldPort: string;
/** The network of floating IPs. */
let outside: string;

beforeAll(async () => {
  cloud = await bringUpCloud(`nd${process.pid % 10_000}`);
  const { openstack } = cloud;
  await cloud.served();
  const made = await openstack.create('network', { name: 'blue net' });
  network = made.id;
  project = (made as unknown as { project_id: string }).project_id;
  subnet = (
    await openstack.create('subnet', {
      network_id: network,
      ip_version: 4,
      cidr: '10.65.0.0/16',
      allocation_pools: [{ start: '10.65.0.10', end: '10.65.200.0' }],
    })
  ).id;
  group = (await openstack.create('security_group', { name: 'web tier' })).id;
});
afterAll(() => cloud?.lab.down());
beforeEach(async () => {
  for (const host of ['cmp-1', 'cmp-2']) await cloud.felixReports(host);
});

/** A port as Nova creates it. */
async function vmPort(fields: Record<string, unknown> = {}) {
  vms += 1;
  const device = `6f1caa00-0000-4000-8000-${String(vms).padStart(12, '0')}`;
  const port = await cloud.openstack.create('port', {
    network_id: network,
    device_owner: 'compute:nova',
    device_id: device,
    'binding:host_id': 'cmp-1',
    security_groups: [group],
    ...fields,
  });
  return { ...port, device };
}
const escaped = (text: string): string => text.replaceAll('-', '--');

describe('what reaches etcd', () => {
  test('when the API call returns, a bound port is in etcd with every key and field, and its group before it', async () => {
    const port = await vmPort();
    oldPort = port.id;
    expect(port['binding:vif_type']).toBe('tap');
    expect(port['binding:vif_details']).toMatchObject({ port_filter: true, mac_address: `fe${port.mac_address.slice(2)}` });
    const address = port.fixed_ips[0]?.ip_address;
    const name = `cmp--1-openstack-${escaped(port.device)}-${escaped(port.id)}`;
    expect(Object.keys(await cloud.endpointsOf(port.id))).toEqual(['cmp-1']);
    await cloud.named();
    const endpoint = (await cloud.endpoints())[`/calico/resources/v3/projectcalico.org/workloadendpoints/openstack/${name}`];
    expect(endpoint).toEqual({
      kind: 'WorkloadEndpoint',
      apiVersion: 'projectcalico.org/v3',
      metadata: {
        name,
        namespace: 'openstack',
        uid: expect.stringMatching(/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/),
        creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        labels: {
          [`sg.projectcalico.org/openstack-${group}`]: 'web_tier',
          'sg-name.projectcalico.org/openstack-web_tier': group,
          'projectcalico.org/namespace': 'openstack',
          'projectcalico.org/orchestrator': 'openstack',
          'projectcalico.org/openstack-project-id': project,
          'projectcalico.org/openstack-project-name': 'admin',
          'projectcalico.org/openstack-project-parent-id': 'default',
          'projectcalico.org/openstack-network-name': 'blue_net',
        },
        annotations: {
          'openstack.projectcalico.org/network-id': network,
          'openstack.projectcalico.org/fqdn': `host-${address?.replaceAll('.', '-')}.lab.example.`,
        },
      },
      spec: {
        orchestrator: 'openstack',
        workload: port.device,
        node: 'cmp-1',
        endpoint: port.id,
        interfaceName: `tap${port.id.slice(0, 11)}`,
        mac: port.mac_address,
        ipNetworks: [`${address}/32`],
        allowedIps: [],
        ipv4Gateway: '10.65.0.1',
      },
    });
    expect((await cloud.contents('/calico/dhcp/'))[`/calico/dhcp/v2/no-region/subnet/${subnet}`]).toEqual({
      network_id: network,
      cidr: '10.65.0.0/16',
      host_routes: [],
      gateway_ip: '10.65.0.1',
    });
    expect(Object.values(await cloud.policies()).find(({ metadata }) => metadata.name === `ossg.default.${group}`)).toMatchObject({
      spec: {
        selector: `has(sg.projectcalico.org/openstack-${group})`,
        ingress: [],
        egress: expect.arrayContaining([
          { action: 'Allow', ipVersion: 4 },
          { action: 'Allow', ipVersion: 6 },
        ]),
      },
    });
  });

  test('added and removed rules arrive', async () => {
    const ingress = async (): Promise<unknown> => Object.values(await cloud.policies()).find(({ metadata }) => metadata.name.endsWith(group))?.spec['ingress'];
    const rule = await cloud.openstack.create('security_group_rule', {
      security_group_id: group,
      direction: 'ingress',
      ethertype: 'IPv4',
      protocol: 'tcp',
      port_range_min: 80,
      port_range_max: 80,
      remote_group_id: group,
    });
    expect(await ingress()).toEqual([
      {
        action: 'Allow',
        ipVersion: 4,
        protocol: 6,
        source: { selector: `has(sg.projectcalico.org/openstack-${group})` },
        destination: { ports: [80] },
      },
    ]);
    await cloud.openstack.remove('security_group_rule', rule.id);
    expect(await ingress()).toEqual([]);
  });

  test('a rule with a remote address group never becomes an allow from anywhere, and the addresses follow', async () => {
    const { openstack } = cloud;
    const office = await openstack.create('address_group', { name: 'office', addresses: ['192.0.2.0/24'] });
    const own = await openstack.create('security_group', { name: 'own' });
    await openstack.create('security_group_rule', { security_group_id: own.id, direction: 'ingress', ethertype: 'IPv4', remote_address_group_id: office.id });
    const label = `ag.projectcalico.org/openstack-${office.id}`;
    expect(Object.values(await cloud.policies()).find(({ metadata }) => metadata.name.endsWith(own.id))?.spec['ingress']).toEqual([
      { action: 'Allow', ipVersion: 4, source: { selector: `has(${label})` } },
    ]);
    const set = `/calico/resources/v3/projectcalico.org/networksets/openstack/osag.${office.id}`;
    expect((await cloud.contents(set))[set]).toMatchObject({ metadata: { labels: { [label]: 'office' } }, spec: { nets: ['192.0.2.0/24'] } });
    await openstack.request('PUT', `address-groups/${office.id}/add_addresses`, { addresses: ['198.51.100.0/24'] });
    expect((await cloud.contents(set))[set]).toMatchObject({ spec: { nets: ['192.0.2.0/24', '198.51.100.0/24'] } });
    await openstack.remove('security_group', own.id);
    await openstack.remove('address_group', office.id);
    expect(await cloud.contents(set)).toEqual({});
    expect(Object.keys(await cloud.policies()).filter((key) => key.endsWith(own.id))).toEqual([]);
  });

  test.each([
    ['ports on udplite', { protocol: 'udplite', port_range_min: 5, port_range_max: 6 }, /TCP, UDP and SCTP/],
    ['ICMP type 255', { protocol: 'icmp', port_range_min: 255 }, /ICMP type 255/],
  ])('a rule that cannot be enforced is refused with the reason, and does not exist: %s', async (_, fields, reason) => {
    const before = await cloud.openstack.list('security_group_rule');
    const answer = await cloud.openstack.request('POST', 'security-group-rules', {
      security_group_rule: { security_group_id: group, direction: 'ingress', ethertype: 'IPv4', ...fields },
    });
    expect(answer).toMatchObject({ status: 409, body: expect.stringMatching(reason) });
    expect(await cloud.openstack.list('security_group_rule')).toHaveLength(before.length);
  });

  test('stateless groups are not offered, and a port cannot join one that is older than the driver', async () => {
    const { openstack, lab } = cloud;
    const answer = await openstack.request('POST', 'security-groups', { security_group: { name: 'loose', stateful: false } });
    expect(answer).toMatchObject({ status: 400, body: expect.stringContaining('stateful') });
    const aliases = JSON.parse((await openstack.request('GET', 'extensions')).body) as { extensions: { alias: string }[] };
    expect(aliases.extensions.map(({ alias }) => alias)).not.toContain('stateful-security-group');
    const loose = await openstack.create('security_group', { name: 'loose' });
    await lab.mariadb.sql(`UPDATE neutron.securitygroups SET stateful = 0 WHERE id = '${loose.id}'`);
    await cloud.restartDriver();
    await until('the port to be refused', async () => {
      const refused = await openstack.request('POST', 'ports', { port: { network_id: network, security_groups: [loose.id] } });
      if (refused.status === 201) await openstack.remove('port', (JSON.parse(refused.body) as { port: { id: string } }).port.id);
      else expect(refused).toMatchObject({ status: 409, body: expect.stringMatching(/is stateless, which is not supported/) });
      return refused.status === 409 || undefined;
    });
    expect(await cloud.resync('--dry-run')).toMatchObject({ would_be_refused: [{ kind: 'security_group', id: loose.id }] });
    await openstack.remove('security_group', loose.id);
  });

  test('a port that is detached, deleted, or whose binding fails has no endpoint', async () => {
    const { openstack } = cloud;
    const detached = await vmPort();
    await openstack.update('port', detached.id, { device_owner: '', device_id: '', 'binding:host_id': '' });
    expect(await cloud.endpointsOf(detached.id)).toEqual({});
    const deleted = await vmPort();
    await openstack.remove('port', deleted.id);
    expect(await cloud.endpointsOf(deleted.id)).toEqual({});
    const failed = await vmPort({ 'binding:host_id': 'no-felix-here' });
    expect(failed['binding:vif_type']).toBe('binding_failed');
    expect(await cloud.endpointsOf(failed.id)).toEqual({});
  });

  test('when Nova clears the owner first, the endpoint is deleted; attached to another VM, the port gets an endpoint for that one alone', async () => {
    const port = await vmPort();
    await cloud.openstack.update('port', port.id, { device_owner: '' });
    expect(await cloud.endpointsOf(port.id)).toEqual({});
    await cloud.openstack.update('port', port.id, { device_owner: 'compute:nova', device_id: 'another-vm' });
    expect(await cloud.endpointsOf(port.id)).toMatchObject({ 'cmp-1': { spec: { workload: 'another-vm' } } });
    await cloud.openstack.update('port', port.id, { device_id: 'a-third' });
    expect(Object.keys(await cloud.endpoints()).filter((key) => key.endsWith(escaped(port.id)))).toEqual([expect.stringContaining('-a--third-')]);
  });

  test('extra DHCP options are carried to the DHCP agents, and follow', async () => {
    const port = await vmPort({ extra_dhcp_opts: [{ opt_name: 'mtu', opt_value: '1400' }] });
    const options = async (): Promise<unknown> =>
      (await cloud.endpointsOf(port.id))['cmp-1']?.metadata.annotations?.['openstack.projectcalico.org/extra-dhcp-options'];
    expect(await options()).toBe('[{"name":"mtu","value":"1400","ip_version":4}]');
    const more = [
      { opt_name: 'mtu', opt_value: '1300' },
      { opt_name: 'dns-server', opt_value: '2001:db8::53', ip_version: 6 },
    ];
    await cloud.openstack.update('port', port.id, { extra_dhcp_opts: more });
    expect(await options()).toBe('[{"name":"mtu","value":"1300","ip_version":4},{"name":"dns-server","value":"2001:db8::53","ip_version":6}]');
  });

  test('a port that is administratively down is not in etcd', async () => {
    const port = await vmPort();
    await cloud.openstack.update('port', port.id, { admin_state_up: false });
    expect(await cloud.endpointsOf(port.id)).toEqual({});
    await cloud.openstack.update('port', port.id, { admin_state_up: true });
    expect(Object.keys(await cloud.endpointsOf(port.id))).toEqual(['cmp-1']);
  });

  test('a move to another host leaves nothing behind; any other binding change keeps the endpoint, uid included', async () => {
    const { openstack } = cloud;
    const port = await vmPort();
    const before = await cloud.endpointsOf(port.id);
    await openstack.update('port', port.id, { 'binding:profile': { note: 'x' } });
    expect(await cloud.endpointsOf(port.id)).toEqual(before);
    await openstack.update('port', port.id, { 'binding:host_id': 'cmp-2' });
    expect(Object.keys(await cloud.endpointsOf(port.id))).toEqual(['cmp-2']);
  });

  test('during a live migration there are both endpoints and a LiveMigration; its end or abort does not change the remaining endpoint', async () => {
    const { openstack } = cloud;
    const migrations = async (port: string): Promise<string[]> =>
      Object.keys(await cloud.contents('/calico/resources/v3/projectcalico.org/livemigrations/')).filter((key) => key.endsWith(escaped(port)));
    const port = await vmPort();
    const source = (await cloud.endpointsOf(port.id))['cmp-1'];
    await openstack.update('port', port.id, { 'binding:profile': { migrating_to: 'cmp-2' } });
    expect(Object.keys(await cloud.endpointsOf(port.id))).toEqual(['cmp-1', 'cmp-2']);
    expect(await migrations(port.id)).toEqual([expect.stringContaining('/cmp--2-openstack-')]);
    await openstack.update('port', port.id, { 'binding:profile': {} });
    expect(await cloud.endpointsOf(port.id)).toEqual({ 'cmp-1': source });
    expect(await migrations(port.id)).toEqual([]);
    await openstack.update('port', port.id, { 'binding:profile': { migrating_to: 'cmp-2' } });
    const target = (await cloud.endpointsOf(port.id))['cmp-2'];
    await openstack.update('port', port.id, { 'binding:host_id': 'cmp-2', 'binding:profile': {} });
    expect(await cloud.endpointsOf(port.id)).toEqual({ 'cmp-2': target });
    expect(await migrations(port.id)).toEqual([]);
  });

  test('a live migration as Nova orders it ends with the one endpoint, also when steps that are concurrent come in another order', async () => {
    const { openstack } = cloud;
    const migrations = async (port: string): Promise<string[]> =>
      Object.keys(await cloud.contents('/calico/resources/v3/projectcalico.org/livemigrations/')).filter((key) => key.endsWith(escaped(port)));
    const ask = async (method: string, path: string, body?: unknown): Promise<number> => (await openstack.request(method, path, body)).status;
    for (const order of ['as recorded', 'as recorded, back', 'aborted', 'activated first', 'profile cleared at the same time']) {
      const back = order.endsWith('back');
      const port = await vmPort(back ? { 'binding:host_id': 'cmp-2' } : {});
      const [from, to] = back ? ['cmp-2', 'cmp-1'] : ['cmp-1', 'cmp-2'];
      const bindings = `ports/${port.id}/bindings`;
      const activate = () => ask('PUT', `${bindings}/${to}/activate`);
      const profile = (value: object) => ask('PUT', `ports/${port.id}`, { port: { 'binding:profile': value } });
      expect(await ask('POST', bindings, { binding: { host: to, vnic_type: 'normal', profile: { os_vif_delegation: true } } })).toBe(201);
      expect([Object.keys(await cloud.endpointsOf(port.id)), await migrations(port.id)], order).toEqual([[from], []]);
      const source = (await cloud.endpointsOf(port.id))[from];
      if (order !== 'activated first') {
        expect(await profile({ migrating_to: to })).toBe(200);
        expect(Object.keys(await cloud.endpointsOf(port.id)).sort(), order).toEqual(['cmp-1', 'cmp-2']);
        expect(await migrations(port.id)).toHaveLength(1);
      }
      if (order === 'aborted') expect(await profile({})).toBe(200);
      else {
        // Two threads of Nova activate the binding. Nova takes 409 for "the other was first", and any other error for the end of the migration.
        const [, ...answers] = await Promise.all([order.startsWith('profile') ? profile({}) : undefined, activate(), activate()]);
        expect(answers, order).toContain(200);
        expect(
          answers.filter((status) => status !== 200 && status !== 409),
          order,
        ).toEqual([]);
      }
      await ask('DELETE', `${bindings}/${order === 'aborted' ? to : from}`);
      await cloud.settled();
      const left = await cloud.endpointsOf(port.id);
      expect([Object.keys(left), await migrations(port.id)], order).toEqual([[order === 'aborted' ? from : to], []]);
      if (order === 'aborted') expect(left[from]).toEqual(source);
    }
  }, 300_000);

  test('a live migration to a host without a living Felix is refused when Nova asks for the binding, and nothing of it is left', async () => {
    const { openstack, lab } = cloud;
    const port = await vmPort();
    const before = await cloud.endpointsOf(port.id);
    await cloud.felixReports('cmp-dead');
    await lab.etcd.ctl('del', felixStatusKey(undefined, 'cmp-dead')); // a driver that is elected now would report it again
    await lab.mariadb.sql("UPDATE neutron.agents SET heartbeat_timestamp = '2020-01-01' WHERE host = 'cmp-dead'");
    const bind = (host: string) =>
      openstack.request('POST', `ports/${port.id}/bindings`, { binding: { host, vnic_type: 'normal', profile: { os_vif_delegation: true } } });
    for (const host of ['cmp-dead', 'no-felix-here']) {
      const { status, body } = await bind(host);
      expect([status, JSON.stringify(body)]).toEqual([500, expect.stringContaining('PortBindingError')]);
    }
    expect(await cloud.endpointsOf(port.id)).toEqual(before);
    expect((await openstack.get('port', port.id)).status).not.toBe('ERROR');
    // Nova asks again when the operator does, and then the host may be alive.
    await cloud.felixReports('cmp-dead');
    expect((await bind('cmp-dead')).status).toBe(201);
    await openstack.request('DELETE', `ports/${port.id}/bindings/cmp-dead`);
    expect(await cloud.endpointsOf(port.id)).toEqual(before);
  });

  test("changed names and gateways reach the ports' endpoints", async () => {
    const { openstack } = cloud;
    const port = await vmPort();
    const follows = (what: string, matches: object): Promise<unknown> =>
      until(what, async () => {
        expect((await cloud.endpointsOf(port.id))['cmp-1']).toMatchObject(matches);
        return true;
      });
    await openstack.update('security_group', group, { name: 'db tier' });
    await follows('the group to be renamed', { metadata: { labels: { [`sg.projectcalico.org/openstack-${group}`]: 'db_tier' } } });
    await openstack.update('security_group', group, { name: 'web tier' });
    await openstack.update('network', network, { name: 'green net' });
    await follows('the network to be renamed', { metadata: { labels: { 'projectcalico.org/openstack-network-name': 'green_net' } } });
    await openstack.update('network', network, { name: 'blue net' });
    await openstack.update('subnet', subnet, { gateway_ip: '10.65.255.254' });
    await follows('the gateway', { spec: { ipv4Gateway: '10.65.255.254' } });
    expect((await cloud.contents('/calico/dhcp/'))[`/calico/dhcp/v2/no-region/subnet/${subnet}`]).toMatchObject({ gateway_ip: '10.65.255.254' });
    await openstack.update('subnet', subnet, { gateway_ip: '10.65.0.1' });
    await follows('the names and the gateway that were there before', {
      metadata: { labels: { [`sg.projectcalico.org/openstack-${group}`]: 'web_tier', 'projectcalico.org/openstack-network-name': 'blue_net' } },
      spec: { ipv4Gateway: '10.65.0.1' },
    });
  });

  test('a subnet is in etcd while its DHCP is on', async () => {
    const { openstack } = cloud;
    const other = await openstack.create('subnet', { network_id: network, ip_version: 6, cidr: '2001:db8:65::/64', enable_dhcp: false });
    const key = `/calico/dhcp/v2/no-region/subnet/${other.id}`;
    expect(await cloud.contents(key)).toEqual({});
    await openstack.update('subnet', other.id, { enable_dhcp: true, dns_nameservers: ['2001:db8::53'] });
    expect((await cloud.contents(key))[key]).toMatchObject({ cidr: '2001:db8:65::/64', dns_servers: ['2001:db8::53'] });
    await openstack.remove('subnet', other.id);
    expect(await cloud.contents(key)).toEqual({});
  });

  test("a floating IP reaches its port's endpoint and leaves it again, deleted or disassociated", async () => {
    const { openstack } = cloud;
    outside = (await openstack.create('network', { name: 'outside', 'router:external': true })).id;
    await openstack.create('subnet', { network_id: outside, ip_version: 4, cidr: '203.0.113.0/24', enable_dhcp: false });
    const port = await vmPort();
    const withoutRouter = await cloud.endpointsOf(port.id);
    const router = await openstack.create('router', { name: 'r', external_gateway_info: { network_id: outside, enable_snat: true } });
    await openstack.request('PUT', `routers/${router.id}/add_router_interface`, { subnet_id: subnet });
    expect(await cloud.endpointsOf(port.id)).toEqual(withoutRouter);
    const nats = async (): Promise<unknown> => (await cloud.endpointsOf(port.id))['cmp-1']?.spec['ipNATs'];
    const floating = await openstack.create('floatingip', { floating_network_id: outside, port_id: port.id });
    expect(await nats()).toEqual([{ internalIP: port.fixed_ips[0]?.ip_address, externalIP: floating.floating_ip_address }]);
    await openstack.update('floatingip', floating.id, { port_id: null });
    expect(await nats()).toBeUndefined();
    await openstack.update('floatingip', floating.id, { port_id: port.id });
    expect(await nats()).toHaveLength(1);
    await openstack.remove('floatingip', floating.id);
    expect(await nats()).toBeUndefined();
  });

  test('a distributed router is stored by Neutron, and changes nothing in etcd', async () => {
    const { openstack } = cloud;
    const own = await openstack.create('network', { name: 'behind a distributed router' });
    const behind = await openstack.create('subnet', { network_id: own.id, ip_version: 4, cidr: '10.99.1.0/24' });
    const port = await vmPort({ network_id: own.id });
    const before = await cloud.endpointsOf(port.id);
    expect(Object.keys(before)).toEqual(['cmp-1']);
    const router = await openstack.create('router', { name: 'distributed', distributed: true });
    expect(router).toHaveProperty('distributed', true);
    const added = await openstack.request('PUT', `routers/${router.id}/add_router_interface`, { subnet_id: behind.id });
    expect(added.status).toBe(200);
    await cloud.settled();
    expect(await cloud.endpointsOf(port.id)).toEqual(before);
    await openstack.remove('port', port.id); // later tests look at the ports of one network
  });

  test('an HA router is refused, because Neutron would give it a network of link-local addresses, and nothing of it is left', async () => {
    const { openstack } = cloud;
    const refused = await openstack.request('POST', 'routers', { router: { name: 'highly available', ha: true } });
    expect([refused.status, refused.body]).toEqual([409, expect.stringMatching(/169\.254\.192\.0\/18 overlaps .* link-local/)]);
    expect(await openstack.list('router', { name: 'highly available' })).toEqual([]);
    expect((await openstack.list('subnet')).filter(({ cidr }) => cidr === '169.254.192.0/18')).toEqual([]);
  });

  test('a floating IP is ACTIVE while its port can be reached by it; at an address that its port has lost it is not translated', async () => {
    const { openstack } = cloud;
    const port = await vmPort();
    const becomes = (status: string): Promise<true> =>
      until(`the floating IP to be ${status}`, async () => (await openstack.get('floatingip', floating.id)).status === status || undefined);
    const nats = async (): Promise<unknown> => (await cloud.endpointsOf(port.id))['cmp-1']?.spec['ipNATs'];
    const floating = await openstack.create('floatingip', { floating_network_id: outside, port_id: port.id });
    expect(floating.status).toBe('DOWN');
    await cloud.portReport('cmp-1', port.device, port.id, 'up');
    await becomes('ACTIVE');
    await openstack.update('floatingip', floating.id, { port_id: null });
    await becomes('DOWN');
    await openstack.update('floatingip', floating.id, { port_id: port.id });
    await becomes('ACTIVE');
    const moved = await openstack.request('PUT', `ports/${port.id}`, { port: { fixed_ips: [{ subnet_id: subnet, ip_address: '10.65.201.7' }] } });
    if (moved.status === 200) {
      expect(await nats()).toBeUndefined();
      await becomes('DOWN');
    } else expect(moved.body).toMatch(/associated to a floating ip/); // newer releases of Neutron refuse the change
    await openstack.remove('floatingip', floating.id);
  });

  test('the floating IP of a port that is nowhere, such as a load balancer’s virtual IP, leads to the port that has its address as a pair', async () => {
    const { openstack } = cloud;
    const virtual = await openstack.create('port', { network_id: network, device_owner: 'Octavia', device_id: 'lb-1' });
    const address = virtual.fixed_ips[0]?.ip_address ?? '';
    const amphora = await vmPort({ allowed_address_pairs: [{ ip_address: address }] });
    const nats = async (port: string): Promise<unknown> => (await cloud.endpointsOf(port))['cmp-1']?.spec['ipNATs'];
    const leads = (port: string, expected: unknown): Promise<unknown> =>
      until('the floating IP to lead elsewhere', async () => {
        expect(await nats(port)).toEqual(expected);
        return true;
      });
    const floating = await openstack.create('floatingip', { floating_network_id: outside, port_id: virtual.id });
    const nat = [{ internalIP: address, externalIP: floating.floating_ip_address }];
    await leads(amphora.id, nat);
    await cloud.portReport('cmp-1', amphora.device, amphora.id, 'up');
    await until('the floating IP to be ACTIVE', async () => (await openstack.get('floatingip', floating.id)).status === 'ACTIVE' || undefined);
    const bound = { device_owner: 'compute:nova', device_id: 'no-longer-virtual', 'binding:host_id': 'cmp-1' };
    await openstack.update('port', virtual.id, bound);
    expect(await nats(virtual.id)).toEqual(nat);
    await leads(amphora.id, undefined);
    await openstack.remove('floatingip', floating.id);
    await openstack.remove('port', virtual.id);
  });

  test('the QoS policy of the port takes precedence over that of its network', async () => {
    const { openstack } = cloud;
    const policy = async (kbps: number): Promise<string> => {
      const { policy: made } = JSON.parse((await openstack.request('POST', 'qos/policies', { policy: { name: `q${kbps}` } })).body) as {
        policy: { id: string };
      };
      await openstack.request('POST', `qos/policies/${made.id}/bandwidth_limit_rules`, { bandwidth_limit_rule: { max_kbps: kbps } });
      return made.id;
    };
    const [slow, fast] = [await policy(1000), await policy(9000)];
    const port = await vmPort();
    const bandwidth = (expected: number | undefined): Promise<true> =>
      until(`a bandwidth of ${expected}`, async () => {
        const controls = (await cloud.endpointsOf(port.id))['cmp-1']?.spec['qosControls'] as Record<string, number> | undefined;
        return controls?.['egressBandwidth'] === expected || undefined;
      });
    await openstack.update('network', network, { qos_policy_id: slow });
    await bandwidth(1_000_000);
    await openstack.update('port', port.id, { qos_policy_id: fast });
    await bandwidth(9_000_000);
    const rules = JSON.parse((await openstack.request('GET', `qos/policies/${fast}/bandwidth_limit_rules`)).body) as {
      bandwidth_limit_rules: { id: string }[];
    };
    const limit = `qos/policies/${fast}/bandwidth_limit_rules/${rules.bandwidth_limit_rules[0]?.id}`;
    const changed = await openstack.request('PUT', limit, { bandwidth_limit_rule: { max_kbps: 8000 } });
    expect(changed.status).toBe(200);
    await bandwidth(8_000_000);
    await openstack.request('PUT', limit, { bandwidth_limit_rule: { max_burst_kbps: 4000 } });
    await openstack.request('POST', `qos/policies/${fast}/packet_rate_limit_rules`, { packet_rate_limit_rule: { max_kpps: 50, direction: 'ingress' } });
    await until('the burst and the packet rate', async () => {
      const endpoint = (await cloud.endpointsOf(port.id))['cmp-1'];
      expect(endpoint?.spec['qosControls']).toEqual({
        egressBandwidth: 8_000_000,
        egressBurst: 4_000_000,
        ingressPacketRate: 10_000,
        ingressPacketBurst: 5,
      });
      expect(endpoint?.metadata.annotations).toMatchObject({ 'openstack.projectcalico.org/packet-rates': '{"ingressPacketRate":50000}' });
      return true;
    });
    await openstack.update('port', port.id, { qos_policy_id: null });
    await bandwidth(1_000_000);
    await openstack.update('network', network, { qos_policy_id: null });
    await bandwidth(undefined);
  });
});

test('Neutron counts a revision of the port for all that belongs to it, so a port whose revision is the same is right without being read', async () => {
  const { openstack, lab } = cloud;
  const port = await vmPort();
  const other = (await openstack.create('security_group', { name: 'other' })).id;
  const { policy } = JSON.parse((await openstack.request('POST', 'qos/policies', { policy: { name: 'counted' } })).body) as { policy: { id: string } };
  const revision = async (): Promise<number> => {
    const said = await lab.mariadb.sql(
      `SELECT a.revision_number FROM neutron.ports p JOIN neutron.standardattributes a ON a.id = p.standard_attr_id WHERE p.id = '${port.id}'`,
    );
    return Number(/\d+\s*$/.exec(said)?.[0]);
  };
  const bindings = `ports/${port.id}/bindings`;
  const [first] = port.fixed_ips;
  const changes: readonly (readonly [string, Record<string, unknown> | readonly [string, string, unknown?]])[] = [
    ['a second address', { fixed_ips: [first, { subnet_id: subnet }] }],
    ['another address', { fixed_ips: [{ subnet_id: subnet, ip_address: '10.65.202.8' }] }],
    ['another group', { security_groups: [group, other] }],
    ['a group less', { security_groups: [other] }],
    ['an address pair', { allowed_address_pairs: [{ ip_address: '10.65.0.9' }] }],
    ['no address pair', { allowed_address_pairs: [] }],
    ['a DHCP option', { extra_dhcp_opts: [{ opt_name: 'mtu', opt_value: '1400' }] }],
    ['another value of it', { extra_dhcp_opts: [{ opt_name: 'mtu', opt_value: '1300' }] }],
    ['no DHCP option', { extra_dhcp_opts: [{ opt_name: 'mtu', opt_value: null }] }],
    ['a DNS name', { dns_name: 'counted' }],
    ['a QoS policy', { qos_policy_id: policy.id }],
    ['no QoS policy', { qos_policy_id: null }],
    ['no port security', { security_groups: [], port_security_enabled: false }],
    ['port security', { port_security_enabled: true }],
    ['a profile', { 'binding:profile': { migrating_to: 'cmp-2' } }],
    ['no profile', { 'binding:profile': {} }],
    ['a second binding', ['POST', bindings, { binding: { host: 'cmp-2', vnic_type: 'normal' } }]],
    ['the second binding activated', ['PUT', `${bindings}/cmp-2/activate`]],
    ['the first binding deleted', ['DELETE', `${bindings}/cmp-1`]],
    ['another host', { 'binding:host_id': 'cmp-1' }],
    ['administratively down', { admin_state_up: false }],
    ['administratively up', { admin_state_up: true }],
    ['detached', { device_id: '', device_owner: '', 'binding:host_id': '' }],
  ];
  for (const [what, change] of changes) {
    const before = await revision();
    const [method, path, body] = Array.isArray(change)
      ? (change as readonly [string, string, unknown?])
      : (['PUT', `ports/${port.id}`, { port: change }] as const);
    const answer = await openstack.request(method, path, body);
    expect(answer.status, `${what}: ${answer.body}`).toBeLessThan(300);
    expect(await revision(), what).toBeGreaterThan(before);
  }
});

describe('what reaches Neutron', () => {
  test("a port follows its Felix's reports, and no other host's", async () => {
    const port = await vmPort();
    expect(port.status).toBe('DOWN');
    await cloud.portReport('cmp-1', port.device, port.id, 'up');
    await cloud.portBecomes(port.id, 'ACTIVE');
    await cloud.portReport('cmp-2', port.device, port.id, 'error');
    await cloud.portReport('cmp-2', port.device, port.id, undefined);
    await cloud.portReport('cmp-1', port.device, port.id, 'down');
    await cloud.portBecomes(port.id, 'DOWN');
    await cloud.portReport('cmp-1', port.device, port.id, 'error');
    await cloud.portBecomes(port.id, 'ERROR');
    await cloud.portReport('cmp-1', port.device, port.id, 'up');
    await cloud.portBecomes(port.id, 'ACTIVE');
    await cloud.portReport('cmp-1', port.device, port.id, undefined);
    await cloud.portBecomes(port.id, 'ERROR');
  });

  test('a port that left its host rightly is not ERROR when it returns, before Felix there has reported it', async () => {
    const port = await vmPort();
    const bind = (host: string) => cloud.openstack.update('port', port.id, { 'binding:host_id': host });
    await cloud.portReport('cmp-1', port.device, port.id, 'up');
    await cloud.portBecomes(port.id, 'ACTIVE');
    await bind('cmp-2');
    await cloud.portReport('cmp-1', port.device, port.id, undefined);
    await cloud.portReport('cmp-2', port.device, port.id, 'up');
    await cloud.portBecomes(port.id, 'ACTIVE');
    await bind('cmp-1');
    await cloud.portReport('cmp-2', port.device, port.id, undefined);
    await cloud.portReport('cmp-1', port.device, port.id, 'up');
    await cloud.portBecomes(port.id, 'ACTIVE');
    expect(cloud.lab.driver?.said()).not.toMatch(new RegExp(`port=${port.id} host=cmp-\\d status=ERROR`));
  });

  test('a port that ML2 binds again on its host becomes ACTIVE again without a new report', async () => {
    const port = await vmPort();
    await cloud.portReport('cmp-1', port.device, port.id, 'up');
    await cloud.portBecomes(port.id, 'ACTIVE');
    const told = (): number => cloud.lab.driver?.said().split(`port=${port.id} host=cmp-1 status=ACTIVE`).length ?? 0;
    // The daemon logs the write after Neutron shows it.
    await until('the log line of the first write', () => told() > 1 || undefined);
    const before = told();
    await cloud.openstack.update('port', port.id, { 'binding:profile': { note: 'y' } }); // ML2 sets the port's status to DOWN
    await until('the port to be made ACTIVE once more', () => told() > before || undefined);
    await cloud.portBecomes(port.id, 'ACTIVE');
  });

  test('an agent is shown as Felix, alive', async () => {
    expect(await cloud.openstack.list('agent', { host: 'cmp-1' })).toEqual([
      expect.objectContaining({ agent_type: 'Calico per-host agent (felix)', binary: 'calico-felix', alive: true, host: 'cmp-1' }),
    ]);
  });

  test('DHCP and BIRD agents are shown, alive', async () => {
    const beat = agentHeartbeat(undefined, 'cmp-3', 'calico-dhcp-agent', 0).operations('0', Date.now())[0]!;
    await cloud.lab.etcd.ctl('put', beat.put, beat.value);
    await cloud.lab.etcd.ctl('put', agentStatusKey(undefined, 'cmp-3', 'calico-bird-agent'), beat.value);
    await until('both agents', async () => {
      const shown = (await cloud.openstack.list('agent', { host: 'cmp-3' })) as unknown as Record<string, unknown>[];
      expect(shown.map(({ agent_type, binary, alive }) => [agent_type, binary, alive]).sort()).toEqual([
        ['Calico BIRD agent', 'calico-bird-agent', true],
        ['Calico DHCP agent', 'calico-dhcp-agent', true],
      ]);
      return true;
    });
  });
});

describe('trouble', () => {
  const ports = async (device: string): Promise<readonly unknown[]> => cloud.openstack.list('port', { device_id: device });

  test('with etcd away, changes are refused with the reason and the remedy, and leave nothing half done', async () => {
    const { openstack, lab } = cloud;
    const port = await vmPort();
    const spare = await openstack.create('security_group', { name: 'spare' });
    const rules = await openstack.list('security_group_rule');
    const groups = await openstack.list('security_group');
    const other = await vmPort();
    const floating = await openstack.create('floatingip', { floating_network_id: outside, port_id: port.id });
    const before = await cloud.contents('/calico/resources/');
    lab.etcd.kill('SIGKILL');
    await lab.etcd.ended();
    const vm = { network_id: network, device_owner: 'compute:nova', device_id: 'never', 'binding:host_id': 'cmp-1' };
    const rule = { security_group_id: group, direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: 99, port_range_max: 99 };
    const refused = [
      await openstack.request('POST', 'ports', { port: vm }),
      await openstack.request('POST', 'subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.66.0.0/24' } }),
      await openstack.request('POST', 'security-group-rules', { security_group_rule: rule }),
      await openstack.request('POST', 'security-groups', { security_group: { name: 'never' } }),
      await openstack.request('PUT', `ports/${port.id}`, { port: { 'binding:host_id': 'cmp-2' } }),
      await openstack.request('DELETE', `ports/${port.id}`),
      await openstack.request('DELETE', `security-group-rules/${rules[0]?.id}`),
      await openstack.request('PUT', `security-groups/${spare.id}`, { security_group: { name: 'renamed' } }),
      await openstack.request('DELETE', `security-groups/${spare.id}`),
      await openstack.request('POST', 'floatingips', { floatingip: { floating_network_id: outside, port_id: other.id } }),
      await openstack.request('PUT', `floatingips/${floating.id}`, { floatingip: { port_id: null } }),
      await openstack.request('DELETE', `floatingips/${floating.id}`),
    ];
    for (const answer of refused) {
      expect(answer).toMatchObject({ status: 503, body: expect.stringMatching(/nothing was changed; see that etcd runs/) });
      expect(answer.body).not.toMatch(/callback/i);
    }
    await lab.etcd.start();
    expect(await openstack.get('floatingip', floating.id)).toMatchObject({ port_id: port.id });
    expect(await openstack.get('security_group', spare.id)).toMatchObject({ name: 'spare' });
    expect(await ports('never')).toEqual([]);
    expect(await openstack.list('security_group_rule')).toHaveLength(rules.length);
    expect(await openstack.list('security_group')).toHaveLength(groups.length);
    expect((await openstack.get('port', port.id))['binding:host_id']).toBe('cmp-1');
    await until(
      'etcd to serve the driver again',
      async () => (await openstack.request('PUT', `ports/${port.id}`, { port: { 'binding:host_id': 'cmp-2' } })).status === 200 || undefined,
    );
    // An earlier try may have been committed, and answered 503 nevertheless.
    await until('the endpoint on the other host', async () => {
      expect(Object.keys(await cloud.endpointsOf(port.id))).toEqual(['cmp-2']);
      return true;
    });
    expect(Object.keys(await cloud.contents('/calico/resources/'))).toHaveLength(Object.keys(before).length);
  });

  test('with the daemon away, changes are refused with the reason; after a kill and a restart it continues', async () => {
    const { openstack, lab } = cloud;
    lab.driver?.kill('SIGKILL');
    await lab.driver?.ended();
    const answer = await openstack.request('POST', 'ports', {
      port: { network_id: network, device_owner: 'compute:nova', device_id: 'never', 'binding:host_id': 'cmp-1' },
    });
    expect(answer).toMatchObject({ status: 503, body: expect.stringMatching(/calico-neutron-driver cannot be reached.*start it, then try again/) });
    expect(await ports('never')).toEqual([]);
    await cloud.restartDriver();
    await cloud.felixReports('cmp-1', true);
    expect(Object.keys(await cloud.endpointsOf((await vmPort()).id))).toEqual(['cmp-1']);
  });

  test('a call under way while the daemon is restarted waits for it', async () => {
    const { driver, neutron } = cloud.lab;
    driver?.kill('SIGTERM');
    await driver?.ended();
    await driver?.start();
    await cloud.served();
    // A busy machine may take longer for the start than Neutron waits (daemon_patience_secs). So the new daemon's socket is put aside, and the daemon is away for as long as that.
    const aside = `${neutron.driverSocket}.aside`;
    renameSync(neutron.driverSocket, aside);
    const call = vmPort();
    await delay(700);
    renameSync(aside, neutron.driverSocket);
    expect(Object.keys(await cloud.endpointsOf((await call).id))).toEqual(['cmp-1']);
  });

  test('after etcd and the daemon were killed repeatedly under load, etcd holds what Neutron holds', async () => {
    const { openstack, lab } = cloud;
    await cloud.served();
    let answered = 0;
    let refused = 0;
    let ending = false;
    const ask = async (method: string, path: string, body?: unknown): Promise<Record<string, string>> => {
      const answer = await openstack.request(method, path, body);
      answered += 1;
      if (answer.status >= 400) refused += 1;
      return answer.status < 300 && answer.body !== '' ? (Object.values(JSON.parse(answer.body))[0] as Record<string, string>) : {};
    };
    const user = async (name: string): Promise<void> => {
      for (let turn = 0; !ending; turn += 1) {
        const { id } = await ask('POST', 'ports', {
          port: { network_id: network, device_owner: 'compute:nova', device_id: `${name}-${turn}`, 'binding:host_id': 'cmp-1', security_groups: [group] },
        });
        if (id === undefined) continue;
        if (turn % 3 > 0) await ask('PUT', `ports/${id}`, { port: { 'binding:host_id': 'cmp-2' } });
        if (turn % 3 > 1) await ask('DELETE', `ports/${id}`);
      }
    };
    const users = Promise.allSettled([user('anna'), user('bert')]);
    try {
      for (const service of [lab.driver, lab.etcd, lab.driver, lab.etcd]) {
        const before = answered;
        await until('some calls', () => answered > before + 3 || undefined);
        service?.kill('SIGKILL');
        await service?.ended();
        await service?.start();
      }
      await until('some calls that succeed', () => answered > refused + 12 || undefined);
    } finally {
      ending = true;
      expect(await users).toEqual([
        { status: 'fulfilled', value: undefined },
        { status: 'fulfilled', value: undefined },
      ]);
    }
    await cloud.served();
    await until('etcd to say what Neutron says', async () => {
      const ports = (await openstack.list('port', { network_id: network })) as unknown as Record<string, string>[];
      const wanted = ports.filter((port) => port['device_owner']?.startsWith('compute:') && port['binding:vif_type'] === 'tap' && port['admin_state_up']);
      const says = wanted.map((port) => [port['binding:host_id'], 'openstack', port['device_id'], port['id']].map((part) => escaped(part ?? '')).join('-'));
      expect(
        Object.values(await cloud.endpoints())
          .map(({ metadata }) => metadata.name)
          .sort(),
      ).toEqual(says.sort());
      return true;
    });
  });

  test('an etcd that was restored from a backup or emptied is brought back to what Neutron holds, without a restart or a request', async () => {
    const { openstack, lab } = cloud;
    await cloud.served();
    const data = join(lab.directory, 'control/etcd/data');
    const backup = join(lab.directory, 'backup.db');
    const specs = async (): Promise<unknown> =>
      Object.fromEntries(Object.entries(await cloud.contents('/calico/resources/')).map(([key, value]) => [key, (value as { spec: unknown }).spec]));
    const replace = async (fill: () => Promise<unknown>): Promise<void> => {
      lab.etcd.kill('SIGKILL');
      await lab.etcd.ended();
      rmSync(data, { recursive: true });
      await fill();
      await lab.etcd.start();
    };
    const rule = { security_group_id: group, direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: 4444, port_range_max: 4444 };
    const { id } = await openstack.create('security_group_rule', rule);
    await lab.etcd.ctl('snapshot', 'save', backup);
    await openstack.remove('security_group_rule', id);
    await vmPort();
    const wanted = (await specs()) as Record<string, Record<string, unknown>>;
    const peers = 'http://127.0.0.1:2380';
    const restored = ['--name', 'lab', '--data-dir', data, '--initial-cluster', `lab=${peers}`, '--initial-advertise-peer-urls', peers];
    const agrees = (): Promise<boolean> =>
      until('etcd to say what Neutron says', async () => {
        const now = (await specs()) as Record<string, Record<string, unknown>>;
        for (const spec of [now, wanted]) delete spec['/calico/resources/v3/projectcalico.org/clusterinformations/default']?.['clusterGUID'];
        expect(now).toEqual(wanted);
        return true;
      });
    await replace(() => lab.etcd.ctl('snapshot', 'restore', backup, ...restored));
    await agrees();
    await replace(async () => {}); // the new etcd has no users, so it does not authenticate anybody
    await agrees();
    await makeUsers(lab.processes, lab.etcd, lab.plan);
  });

  test('at the start differences are corrected, what is not ours is left alone, and the log says what was done', async () => {
    const { lab } = cloud;
    await cloud.served();
    await cloud.settled(); // otherwise an entry of the journal might repair the drift before resync sees it
    const wanted = await cloud.contents('/calico/resources/');
    const right = await cloud.endpointsOf(oldPort);
    const root = '/calico/resources/v3/projectcalico.org';
    const endpoints = `${root}/workloadendpoints/openstack`;
    const key = Object.keys(await cloud.endpoints()).find((name) => name.endsWith(escaped(oldPort))) ?? '';
    const operators = `${root}/networkpolicies/openstack/default.operators-own`;
    lab.driver?.kill('SIGTERM');
    await lab.driver?.ended();
    const policy = `${root}/networkpolicies/openstack/ossg.default.${group}`;
    await lab.etcd.ctl('put', key, JSON.stringify({ ...right['cmp-1'], spec: { ...right['cmp-1']?.spec, ipNetworks: ['10.0.0.1/32'] } }));
    await lab.etcd.ctl('put', `${endpoints}/cmp--9-openstack-gone-gone`, '{}');
    await lab.etcd.ctl('put', `${endpoints}/cmp--9-openstack--gone`, '{}'); // upstream's driver writes such a name for a port without a device
    await lab.etcd.ctl('put', `${endpoints}/cmp--9-k8s-theirs-eth0`, '{}');
    await lab.etcd.ctl('put', operators, '{}');
    await lab.etcd.ctl('put', `/calico/dhcp/v2/no-region/subnet/gone`, '{}');
    await lab.etcd.ctl('del', policy);
    await lab.driver?.start();
    await cloud.served();
    const summary = JSON.parse(await until('the resync', () => /resync finished.* summary=(\{.*\})\n/.exec(lab.driver?.said() ?? '')?.[1]));
    expect(summary).toMatchObject({
      ok: true,
      error: null,
      phases: { subnets: { deleted: 1 }, policy: { created: 1 }, endpoints: { updated: 1, deleted: 2, created: 0 } },
    });
    const now = await cloud.contents('/calico/resources/');
    expect(now[key]).toEqual(right['cmp-1']);
    expect(now).toHaveProperty([`${endpoints}/cmp--9-k8s-theirs-eth0`]);
    expect(now).toHaveProperty([operators]);
    expect(Object.keys(now).sort()).toEqual([...Object.keys(wanted), operators, `${endpoints}/cmp--9-k8s-theirs-eth0`].sort());
    await lab.etcd.ctl('del', operators);
    await lab.etcd.ctl('del', `${endpoints}/cmp--9-k8s-theirs-eth0`);
  });
});

test('beside Neutron’s RPC server and its periodic workers, which load the driver too, each change is written once, and none of them fails', {
  timeout: 600_000,
}, async () => {
  await besideOtherServers(cloud, vmPort);
});

test('a port is written and its reports are followed, whatever other values etcd holds', async () => {
  const { id, device } = await vmPort();
  await driverUnderHostileValues(cloud, { id, device }, { values: 1200, batchValues: 400, seed: stormSize(1).seed });
});

test('three servers that are delayed, stopped and killed, while tenants change the same objects through all of them, end with what Neutron holds, and never allow more', {
  timeout: 600_000,
}, async () => {
  await severalServers(cloud, { changes: 40, faults: ['depose', 'kill a driver'] });
});
