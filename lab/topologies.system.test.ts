// Each topology with real parts: VMs on different hosts reach one another in both families, also when a reflector is gone.
import { afterEach, expect, test } from 'vitest';
import { bringUp, type Lab } from './lab.ts';
import { type Topology, topologies } from './plan.ts';
import { ping } from './traffic.ts';
import { bootVm, type NamespaceVm } from './vm.ts';

let lab: Lab | undefined;
afterEach(async () => {
  await lab?.down();
  lab = undefined;
});

const wayOf: Readonly<Record<Topology, (lab: Lab) => string>> = {
  router: ({ hosts }) => `via ${hosts[0]!.link.router4}`,
  mesh: ({ hosts }) => `via ${hosts[2]!.link.machine4}`,
  reflectors: ({ hosts }) => `via ${hosts[2]!.link.machine4}`,
  racks: ({ hosts }) => `via ${hosts[0]!.link.router4}`,
};

const reaches = async (from: NamespaceVm, to: NamespaceVm): Promise<void> => {
  for (const address of [to.address4!, to.address6!])
    await lab!.processes.until(`an answer of ${address}`, async () => (await ping(lab!, from, address, { count: 1 })).received === 1 || undefined);
};

test.each(topologies)('%s', async (topology) => {
  lab = await bringUp({ prefix: `t${process.pid}${topology}`, hosts: 4, topology });
  const network = await lab.openstack.create('network', { name: 'ground' });
  await lab.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.65.0.0/24' });
  await lab.openstack.create('subnet', {
    network_id: network.id,
    ip_version: 6,
    cidr: '2001:db8:65::/64',
    ipv6_ra_mode: 'dhcpv6-stateful',
    ipv6_address_mode: 'dhcpv6-stateful',
  });
  const group = await lab.openstack.create('security_group', { name: 'open' });
  for (const ethertype of ['IPv4', 'IPv6']) await lab.openstack.create('security_group_rule', { security_group_id: group.id, direction: 'ingress', ethertype });
  const vms = await Promise.all(
    [0, 2, 3].map((index) => bootVm(lab!, { name: `vm${index}`, host: lab!.hosts[index]!, network: network.id, securityGroups: [group.id] })),
  );
  const [first, third, fourth] = vms as [NamespaceVm, NamespaceVm, NamespaceVm];
  for (const vm of vms) await Promise.all([vm.online(4), vm.online(6)]);
  await reaches(first, third);
  await reaches(fourth, first);
  const way = await lab.processes.run('ip', ['-n', lab.hosts[0]!.namespace, 'route', 'get', third.address4!]);
  expect(way).toContain(wayOf[topology](lab));
  if (topology !== 'reflectors') return;
  // Routes come by reflection, and one of two reflectors is enough.
  await lab.processes.until('a reflected route', async () => {
    expect(await lab!.hosts[3]!.bird.ctl('show', 'route', 'all', 'for', third.address4!)).toContain('cluster_list');
    return true;
  });
  for (const part of [lab.hosts[1]!.birdAgent!, lab.hosts[1]!.bird]) {
    part.kill('SIGKILL');
    await part.ended();
  }
  await reaches(third, fourth);
});
