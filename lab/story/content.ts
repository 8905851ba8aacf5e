// The content of the demo's story: a network, two security groups and five VMs, and what happens to them.
// It does not print anything, so that tests can run the story and look at the result.
import type { Lab } from '../lab.ts';
import type { Fields, Network, SecurityGroup, Subnet } from '../openstack.ts';
import { createVm, powerOn, type Vm, type VmOptions } from '../vm.ts';

/** The network and its subnets. */
export const shop = {
  name: 'shop',
  cidr4: '10.65.0.0/24',
  gateway4: '10.65.0.1',
  dns4: '192.0.2.53',
  cidr6: '2001:db8:65::/64',
  gateway6: '2001:db8:65::1',
} as const;

/** The security groups. */
export const groupNames = ['web', 'clients'] as const;
/** One of `groupNames`. */
export type GroupName = (typeof groupNames)[number];

/** A VM of the story. `host`: the number of its host. */
export type Cast = { readonly name: string; readonly host: 1 | 2 | 3; readonly group: GroupName; readonly address4: string; readonly address6: string };

/** The VMs. batch-1 moves to the other group later; client-2, alone on its host, is deleted. */
export const cast = {
  web1: { name: 'web-1', host: 1, group: 'web', address4: '10.65.0.11', address6: '2001:db8:65::11' },
  web2: { name: 'web-2', host: 2, group: 'web', address4: '10.65.0.12', address6: '2001:db8:65::12' },
  client1: { name: 'client-1', host: 1, group: 'clients', address4: '10.65.0.21', address6: '2001:db8:65::21' },
  client2: { name: 'client-2', host: 3, group: 'clients', address4: '10.65.0.22', address6: '2001:db8:65::22' },
  batch1: { name: 'batch-1', host: 2, group: 'web', address4: '10.65.0.31', address6: '2001:db8:65::31' },
} as const satisfies Record<string, Cast>;
/** A VM's key in `cast`. */
export type Role = keyof typeof cast;
/** All of them. */
export const roles = Object.keys(cast) as Role[];

/** The created security groups. */
export type Groups = Readonly<Record<GroupName, SecurityGroup>>;
/** The created subnets, by family. */
export type Subnets = Readonly<Record<4 | 6, Subnet>>;
/** The created VMs. */
export type Vms = Readonly<Record<Role, Vm>>;

/** Creates the network, as `openstack network create` does. */
export const createNetwork = (lab: Lab): Promise<Network> => lab.openstack.create('network', { name: shop.name });

/** Creates its two subnets, with DHCP. */
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

/** Creates the groups. Members of `clients` may ping members of `web` and reach their TCP port 80; no other ingress is allowed. All egress is. */
export async function createGroups({ openstack }: Lab): Promise<Groups> {
  const [web, clients] = await Promise.all([openstack.create('security_group', { name: 'web' }), openstack.create('security_group', { name: 'clients' })]);
  const fromClients = (ethertype: 'IPv4' | 'IPv6', what: Fields): Promise<unknown> =>
    openstack.create('security_group_rule', { security_group_id: web.id, direction: 'ingress', ethertype, remote_group_id: clients.id, ...what });
  // The rules are created one after the other, because that decides their order in the policy.
  for (const [ethertype, icmp] of [['IPv4', 'icmp'] as const, ['IPv6', 'ipv6-icmp'] as const]) {
    await fromClients(ethertype, { protocol: icmp });
    await fromClients(ethertype, { protocol: 'tcp', port_range_min: 80, port_range_max: 80 });
  }
  return { web, clients };
}

/** A function that creates a VM. */
export type Create = (lab: Lab, options: VmOptions) => Promise<Vm>;

/** Creates the VMs' ports in Neutron; nothing is plugged in yet. `create` says how a VM of this role is created. */
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

/** Whether the VM's port is ACTIVE in Neutron. */
export const isActive = async ({ openstack }: Lab, vm: Vm): Promise<boolean> => (await openstack.get('port', vm.facts.portId)).status === 'ACTIVE';

/** Makes this group the only one of the VM's port. */
export async function moveTo({ openstack }: Lab, vm: Vm, group: SecurityGroup): Promise<void> {
  await openstack.update('port', vm.facts.portId, { security_groups: [group.id] });
}

/** Everything that the story creates. */
export type Content = { readonly network: Network; readonly subnets: Subnets; readonly groups: Groups; readonly vms: Vms };

/** Runs the whole story without printing it. It ends when every remaining port is ACTIVE and has its leases. */
export async function liveThrough(lab: Lab): Promise<Content> {
  const network = await createNetwork(lab);
  const [subnets, groups] = await Promise.all([createSubnets(lab, network), createGroups(lab)]);
  const vms = await createVms(lab, network, subnets, groups);
  await Promise.all(roles.map((role) => powerOn(vms[role])));
  await Promise.all(
    roles.map(async (role) => {
      const vm = vms[role];
      await Promise.all([vm.lease(4), vm.lease(6)]);
      await lab.processes.until(`the port of ${vm.facts.name} to be ACTIVE`, async () => (await isActive(lab, vm)) || undefined);
    }),
  );
  await moveTo(lab, vms.batch1, groups.clients);
  await vms.client2.remove();
  return { network, subnets, groups, vms };
}
