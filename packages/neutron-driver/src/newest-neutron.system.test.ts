// A short part of the driver's tests on the newest Neutron, which is installed from PyPI. All of them: npm run test:neutron -- 29
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isLabError } from '../../../lab/errors.ts';
import { environmentOf, neutronReleases } from '../../../lab/neutron-releases.ts';
import { bringUpCloud, type Cloud } from './testing/cloud.ts';
import { besideOtherServers } from './testing/other-servers.ts';

let cloud: Cloud | undefined;
/** Why there is no newest Neutron to test. */
let away: string | undefined;
beforeAll(async () => {
  try {
    const neutronEnvironment = await environmentOf(neutronReleases.at(-1)!);
    cloud = await bringUpCloud(`nn${process.pid % 10_000}`, { neutronEnvironment });
  } catch (error) {
    if (!isLabError(error, 'REGISTRY_AWAY')) throw error;
    away = error.message;
    console.warn(`skipped: ${away}`);
  }
});
afterAll(() => cloud?.lab.down());

test('on the newest Neutron, ports with their subnet and group reach etcd, are refused while etcd is away, and follow Felix’s reports', async ({ skip }) => {
  if (cloud === undefined) return skip(away);
  const { openstack, lab } = cloud;
  await cloud.felixReports('cmp-1');
  const network = await openstack.create('network', { name: 'blue' });
  const subnet = await openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.65.0.0/24' });
  const group = await openstack.create('security_group', { name: 'web' });
  const http = { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: 80, port_range_max: 80 };
  await openstack.create('security_group_rule', { security_group_id: group.id, ...http });
  const device = randomUUID();
  const bound = { network_id: network.id, device_owner: 'compute:nova', 'binding:host_id': 'cmp-1', security_groups: [group.id] };
  const port = await openstack.create('port', { ...bound, device_id: device });
  expect(port['binding:vif_type']).toBe('tap');
  expect((await cloud.endpointsOf(port.id))['cmp-1']).toMatchObject({
    metadata: { labels: { [`sg.projectcalico.org/openstack-${group.id}`]: 'web' } },
    spec: { ipNetworks: [`${port.fixed_ips[0]?.ip_address}/32`], mac: port.mac_address },
  });
  const policy = Object.values(await cloud.policies()).find(({ metadata }) => metadata.name === `ossg.default.${group.id}`);
  expect(policy?.spec['ingress']).toEqual([{ action: 'Allow', ipVersion: 4, protocol: 6, destination: { ports: [80] } }]);
  expect(await cloud.contents('/calico/dhcp/')).toHaveProperty([`/calico/dhcp/v2/no-region/subnet/${subnet.id}`]);
  await cloud.portReport('cmp-1', device, port.id, 'up');
  await cloud.portBecomes(port.id, 'ACTIVE');

  await besideOtherServers(cloud, () => openstack.create('port', { ...bound, device_id: randomUUID() }));

  lab.etcd.kill('SIGKILL');
  await lab.etcd.ended();
  for (const [method, path, body] of [
    ['POST', 'ports', { port: { ...bound, device_id: 'never' } }],
    ['POST', 'security-groups', { security_group: { name: 'never' } }],
    ['DELETE', `ports/${port.id}`, undefined],
  ] as const)
    expect(await openstack.request(method, path, body)).toMatchObject({ status: 503, body: expect.stringMatching(/nothing was changed; see that etcd runs/) });
  await lab.etcd.start();
  await cloud.settled();
  expect(await cloud.resync('--dry-run')).toMatchObject({ ok: true, phases: { endpoints: { correct: 2, created: 0, updated: 0, deleted: 0 } } });
  await openstack.remove('port', port.id);
  expect(await cloud.endpointsOf(port.id)).toEqual({});
});
