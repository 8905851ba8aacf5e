// What the demo's story is about: a network, two security groups and five VMs, and what becomes of them.
// Also without its telling: so that tests can look at what it leaves behind.
import type { Lab } from '../lab.ts';
import type { Fields, Network, SecurityGroup, Subnet } from '../openstack.ts';
import { createVm, powerOn, type Vm, type VmOptions } from '../vm.ts';

export const shop = {
  name: 'shop',
  cidr4: '10.65.0.0/24',
  gateway4: '10.65.0.1',
  dns4: '192.0.2.53',
  cidr6: '2001:db8:65::/64',
  gateway6: '2001:db8:65::1',
} as const;

export const groupNames = ['web', 'clients'] as const;
export type GroupName = (typeof groupNames)[number];

/** `host`: its number. */
export type Cast = { readonly name: string; readonly host: 1 | 2 | 3; readonly group: GroupName; readonly address4: string; readonly address6: string };

/** batch-1 will change to the other group; client-2, alone on its host, will be deleted. */
export const cast = {
  web1: { name: 'web-1', host: 1, group: 'web', address4: '10.65.0.11', address6: '2001:db8:65::11' },
  web2: { name: 'web-2', host: 2, group: 'web', address4: '10.65.0.12', address6: '2001:db8:65::12' },
  client1: { name: 'client-1', host: 1, group: 'clients', address4: '10.65.0.21', address6: '2001:db8:65::21' },
  client2: { name: 'client-2', host: 3, group: 'clients', address4: '10.65.0.22', address6: '2001:db8:65::22' },
  batch1: { name: 'batch-1', host: 2, group: 'web', address4: '10.65.0.31', address6: '2001:db8:65::31' },
} as const satisfies Record<string, Cast>;
export type Role = keyof typeof cast;
export const roles = Object.keys(cast) as Role[];

export type Groups = Readonly<Record<GroupName, SecurityGroup>>;
export type Subnets = Readonly<Record<4 | 6, Subnet>>;
export type Vms = Readonly<Record<Role, Vm>>;

/** As `openstack network create` makes it. */
export const createNetwork = (lab: Lab): Promise<Network> => lab.openstack.create('network', { name: shop.name });

export async function createSubnets({ openstack }: Lab, network: Pick<Network, 'id'>): Promise<Subnets> {
  const common = { network_id: network.id };
  const subnet4 = await openstack.create('subnet', {
    ...common,
    name: 'shop-4',
    ip_version: 4,
    cidr: shop.cidr4,
    gateway_ip: shop.gateway4,
    dns_nameservers: [shop.dns4],
  });
  const modes = { ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' };
  const subnet6 = await openstack.create('subnet', { ...common, name: 'shop-6', ip_version: 6, cidr: shop.cidr6, gateway_ip: shop.gateway6, ...modes });
  return { 4: subnet4, 6: subnet6 };
}

/** Whoever is in `clients` may ping those in `web`, and reach their TCP port 80; nothing else may come in. All may go out. */
export async function createGroups({ openstack }: Lab): Promise<Groups> {
  const [web, clients] = await Promise.all([openstack.create('security_group', { name: 'web' }), openstack.create('security_group', { name: 'clients' })]);
  const fromClients = (ethertype: 'IPv4' | 'IPv6', what: Fields): Promise<unknown> =>
    openstack.create('security_group_rule', { security_group_id: web.id, direction: 'ingress', ethertype, remote_group_id: clients.id, ...what });
  // One after the other: their order in the policy is that of their creation.
  for (const [ethertype, icmp] of [['IPv4', 'icmp'] as const, ['IPv6', 'ipv6-icmp'] as const]) {
    await fromClients(ethertype, { protocol: icmp });
    await fromClients(ethertype, { protocol: 'tcp', port_range_min: 80, port_range_max: 80 });
  }
  return { web, clients };
}

export type Create = (lab: Lab, options: VmOptions) => Promise<Vm>;

/** Their ports, in Neutron; nothing is plugged yet. `create`: how a VM of this role is made. */
export async function createVms(
  lab: Lab,
  network: Pick<Network, 'id'>,
  subnets: Subnets,
  groups: Groups,
  create: (role: Role) => Create = () => createVm,
): Promise<Vms> {
  const make = async (role: Role): Promise<readonly [Role, Vm]> => {
    const { name, host: number, group, address4, address6 } = cast[role];
    const host = lab.hosts.find((candidate) => candidate.number === number);
    if (host === undefined) throw new Error(`the story takes place on three hosts, and this lab has no host ${number}`);
    const fixed_ips = [
      { subnet_id: subnets[4].id, ip_address: address4 },
      { subnet_id: subnets[6].id, ip_address: address6 },
    ];
    return [role, await create(role)(lab, { name, host, network: network.id, securityGroups: [groups[group].id], port: { fixed_ips } })];
  };
  return Object.fromEntries(await Promise.all(roles.map(make))) as Vms;
}

export const isActive = async ({ openstack }: Lab, vm: Vm): Promise<boolean> => (await openstack.get('port', vm.facts.portId)).status === 'ACTIVE';

export async function moveTo({ openstack }: Lab, vm: Vm, group: SecurityGroup): Promise<void> {
  await openstack.update('port', vm.facts.portId, { security_groups: [group.id] });
}

export type Content = { readonly network: Network; readonly subnets: Subnets; readonly groups: Groups; readonly vms: Vms };

/** The whole story, untold: ends when every port that is left is ACTIVE and has its leases. */
export async function liveThrough(lab: Lab): Promise<Content> {
  const network = await createNetwork(lab);
  const [subnets, groups] = await Promise.all([createSubnets(lab, network), createGroups(lab)]);
  const vms = await createVms(lab, network, subnets, groups);
  await Promise.all(roles.map((role) => powerOn(vms[role])));
  await Promise.all(
    roles.map(async (role) => {
      const vm = vms[role];
      await Promise.all([vm.lease(4), vm.lease(6)]);
      await lab.processes.until(`that the port of ${vm.facts.name} is ACTIVE`, async () => (await isActive(lab, vm)) || undefined);
    }),
  );
  await moveTo(lab, vms.batch1, groups.clients);
  await vms.client2.remove();
  return { network, subnets, groups, vms };
}
