// Tests what operators of upstream's driver have in neutron.conf and type: core_plugin = calico, and calico-resync's options.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bringUpCloud, type Cloud } from './testing/cloud.ts';

let cloud: Cloud;
beforeAll(async () => {
  cloud = await bringUpCloud(`t${process.pid}core`, { corePlugin: true });
});
afterAll(() => cloud?.lab.down());

/** A port on the lab's host, as Nova creates it. */
async function createPort(network: string): Promise<string> {
  const bound = { device_owner: 'compute:nova', device_id: randomUUID(), 'binding:host_id': 'host-1' };
  return (await cloud.openstack.create('port', { network_id: network, ...bound })).id;
}

test('with core_plugin = calico, ports are bound and written, and calico-resync repairs the objects that it is told', async () => {
  await cloud.felixReports('host-1');
  const network = await cloud.openstack.create('network', { name: 'one' });
  await cloud.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.65.0.0/24' });
  const [one, two] = [await createPort(network.id), await createPort(network.id)];
  for (const port of [one, two]) expect(Object.keys(await cloud.endpointsOf(port))).toEqual(['host-1']);
  expect(await cloud.openstack.list('router')).toEqual([]); // the router plugin is loaded although the file does not name it
  await cloud.settled();
  const keys = Object.keys(await cloud.endpoints());
  for (const key of keys) await cloud.lab.etcd.ctl('del', key);
  expect(await cloud.resync('--port', one)).toMatchObject({ ok: true, scope: { all: false, ports: [one] }, phases: { endpoints: { created: 1 } } });
  expect(Object.keys(await cloud.endpointsOf(one))).toEqual(['host-1']);
  expect(await cloud.endpointsOf(two)).toEqual({});
  expect(await cloud.resync('--network', network.id)).toMatchObject({ ok: true, phases: { subnets: { correct: 1 }, endpoints: { correct: 1, created: 1 } } });
  expect(Object.keys(await cloud.endpointsOf(two))).toEqual(['host-1']);
});

test('what Calico does not carry out is refused with the reason: trunks, port forwarding, QoS policies of floating IPs, DSCP marks, guaranteed bandwidth, templates of rules', async () => {
  const { openstack } = cloud;
  const refused = async (path: string, body: object, reason: RegExp): Promise<void> =>
    expect(await openstack.request('POST', path, body)).toMatchObject({ status: 409, body: expect.stringMatching(reason) });
  const network = await openstack.create('network', { name: 'two' });
  const subnet = await openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.66.0.0/24' });
  const outside = await openstack.create('network', { name: 'outside', 'router:external': true });
  await openstack.create('subnet', { network_id: outside.id, ip_version: 4, cidr: '203.0.113.0/24', enable_dhcp: false });
  const router = await openstack.create('router', { name: 'r', external_gateway_info: { network_id: outside.id } });
  await openstack.request('PUT', `routers/${router.id}/add_router_interface`, { subnet_id: subnet.id });
  const port = await openstack.create('port', { network_id: network.id });
  await refused('trunks', { trunk: { port_id: port.id } }, /trunks are not supported/);
  const floating = await openstack.create('floatingip', { floating_network_id: outside.id });
  const forwarding = { protocol: 'tcp', internal_ip_address: port.fixed_ips[0]?.ip_address, internal_port: 80, internal_port_id: port.id, external_port: 8080 };
  await refused(`floatingips/${floating.id}/port_forwardings`, { port_forwarding: forwarding }, /port forwarding is not supported/);
  const { policy } = JSON.parse((await openstack.request('POST', 'qos/policies', { policy: { name: 'q' } })).body) as { policy: { id: string } };
  await openstack.update('port', port.id, { qos_policy_id: policy.id });
  const unsupported = /(dscp_marking|minimum_bandwidth).*not supported|not supported.*(dscp_marking|minimum_bandwidth)/;
  await refused(`qos/policies/${policy.id}/dscp_marking_rules`, { dscp_marking_rule: { dscp_mark: 26 } }, unsupported);
  await refused(`qos/policies/${policy.id}/minimum_bandwidth_rules`, { minimum_bandwidth_rule: { min_kbps: 1000, direction: 'egress' } }, unsupported);
  await refused('floatingips', { floatingip: { floating_network_id: outside.id, qos_policy_id: policy.id } }, /a floating IP cannot have a QoS policy/);
  const udplite = { direction: 'ingress', ethertype: 'IPv4', protocol: 'udplite', port_range_min: 5, port_range_max: 6 };
  const template = { default_security_group_rule: { ...udplite, used_in_default_sg: true, used_in_non_default_sg: true } };
  const hasTemplates = (await openstack.request('GET', 'default-security-group-rules')).status === 200; // since Neutron 24
  if (hasTemplates) await refused('default-security-group-rules', template, /TCP, UDP and SCTP/);
  expect(hasTemplates).toBe(process.env['LAB_NEUTRON'] !== undefined);
});

test('calico-resync --dry-run writes nothing; without a daemon calico-resync does the work itself', async () => {
  const { lab } = cloud;
  await cloud.settled();
  const [key = '', port = ''] = Object.entries(await cloud.endpoints()).map(([name, { spec }]) => [name, String(spec['endpoint'])])[0] ?? [];
  const felixConfiguration = '/calico/resources/v3/projectcalico.org/felixconfigurations/default';
  const right = await cloud.contents(felixConfiguration);
  await lab.etcd.ctl('del', key);
  await lab.etcd.ctl('del', felixConfiguration);
  expect(await cloud.resync('--dry-run')).toMatchObject({ ok: true, dry_run: true, phases: { endpoints: { created: 1 } } });
  expect(await cloud.endpointsOf(port)).toEqual({});
  lab.driver?.kill('SIGTERM');
  await lab.driver?.ended();
  expect(await cloud.resync()).toMatchObject({ ok: true, dry_run: false, phases: { endpoints: { created: 1 } } });
  expect(Object.keys(await cloud.endpointsOf(port))).toEqual(['host-1']);
  expect(await cloud.contents(felixConfiguration)).toMatchObject({ [felixConfiguration]: { spec: (right[felixConfiguration] as { spec: object }).spec } });
  await lab.driver?.start();
});
