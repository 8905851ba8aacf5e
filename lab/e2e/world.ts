// The common part of the end-to-end tests: a lab for each file, and a network for its VMs.
import { afterAll, beforeAll, beforeEach, onTestFailed } from 'vitest';
import { bringUp, type Lab, type LabOptions } from '../lab.ts';
import type { Fields, Network, SecurityGroup, SecurityGroupRule, Subnet } from '../openstack.ts';
import { ping } from '../traffic.ts';
import { troubleOf } from '../trouble.ts';
import { bootVm, type NamespaceVm, type Vm, type VmOptions } from '../vm.ts';

/** The address family. */
export type Family = 4 | 6;
/** Both families. */
export const families = [4, 6] as const satisfies Family[];
/** Neutron's names of the families. */
export const etherTypes = { 4: 'IPv4', 6: 'IPv6' } as const satisfies Record<Family, string>;

/** The lab of a test file, and its network. */
export interface World {
  readonly lab: Lab;
  readonly network: Network;
  readonly subnets: Readonly<Record<Family, Subnet>>;
}

/** The subnets. VMs get addresses of the pools only, so tests may invent others. */
export const plan = {
  4: {
    cidr: '10.65.0.0/24',
    pool: { start: '10.65.0.10', end: '10.65.0.90' },
    gateway: '10.65.0.1',
    dns: '192.0.2.53',
    route: { destination: '198.51.100.0/24', nexthop: '10.65.0.254' },
  },
  6: { cidr: '2001:db8:65::/64', pool: { start: '2001:db8:65::1000', end: '2001:db8:65::ffff' }, gateway: '2001:db8:65::1', dns: '2001:db8:53::53' },
} as const;

/** Brings a lab up before the tests of a file, with a network of two subnets, and removes it after them, whether they pass or fail. */
export function labOfThisFile(name: string, options: Omit<LabOptions, 'prefix'> = {}): World {
  let world: World | undefined;
  const there = (): World => {
    if (world === undefined) throw new Error('the lab is up only while tests run');
    return world;
  };
  beforeAll(async () => {
    const lab = await bringUp({ prefix: `t${process.pid}${name}`, ...options });
    try {
      world = { lab, ...(await makeNetwork(lab)) };
    } catch (error) {
      await lab.down();
      throw error;
    }
  });
  let told = false;
  beforeEach(() => {
    onTestFailed(() => {
      if (world === undefined || told) return;
      told = true;
      const trouble = troubleOf(world.lab).map((line) => `${line.slice(0, 300)}\n`);
      process.stderr.write(`Complaints of the services when the first test failed:\n${trouble.join('')}`);
    });
  });
  afterAll(async () => {
    await world?.lab.down();
  });
  return {
    get lab() {
      return there().lab;
    },
    get network() {
      return there().network;
    },
    get subnets() {
      return there().subnets;
    },
  };
}

async function makeNetwork({ openstack }: Lab): Promise<Pick<World, 'network' | 'subnets'>> {
  const network = await openstack.create('network', { name: 'ground' });
  const subnet = (family: Family, more: Fields): Promise<Subnet> => {
    const { cidr, pool, gateway, dns } = plan[family];
    const common = { network_id: network.id, ip_version: family, cidr, allocation_pools: [pool], gateway_ip: gateway, dns_nameservers: [dns] };
    return openstack.create('subnet', { ...common, ...more });
  };
  return {
    network,
    subnets: {
      4: await subnet(4, { host_routes: [plan[4].route] }),
      6: await subnet(6, { ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' }),
    },
  };
}

let groups = 0;

/** Creates a security group with these rules only: Neutron's own two (all egress is allowed) are removed. */
export async function groupOf({ openstack }: Lab, ...rules: readonly Fields[]): Promise<SecurityGroup> {
  groups += 1;
  const group = await openstack.create('security_group', { name: `group-${groups}` });
  for (const rule of group.security_group_rules) await openstack.remove('security_group_rule', rule.id);
  for (const rule of rules) await addRule({ openstack }, group, rule);
  return group;
}

/** Adds a rule to a group. */
export const addRule = ({ openstack }: Pick<Lab, 'openstack'>, group: SecurityGroup, rule: Fields): Promise<SecurityGroupRule> =>
  openstack.create('security_group_rule', { security_group_id: group.id, ...rule });

/** Rules that allow everything in this direction, in both families. */
export const everything = (direction: 'ingress' | 'egress'): Fields[] => families.map((family) => ({ direction, ethertype: etherTypes[family] }));

/** Boots a VM on the lab's host with this number and waits for its leases: the IPv4 one, or those of `families`. */
export async function vmOn(
  { lab, network }: World,
  number: number,
  options: Pick<VmOptions, 'name'> & Partial<VmOptions>,
  wanted: readonly Family[] = [4],
): Promise<NamespaceVm> {
  const host = lab.hosts.find((candidate) => candidate.number === number);
  if (host === undefined) throw new Error(`this lab has no host ${number}`);
  const vm = await bootVm(lab, { host, network: network.id, ...options });
  await Promise.all(wanted.map((family) => vm.online(family)));
  return vm;
}

/**
 * Waits until each of these VMs, whose groups allow pings, is answered by each other one. A lease does not imply that: the routes to a VM, and its addresses in the rules of others, reach each
 * host by ways of their own.
 */
export async function untilTheyTalk({ lab }: World, vms: readonly Vm[], wanted: readonly Family[] = families): Promise<void> {
  for (const from of vms)
    for (const to of vms)
      for (const family of from === to ? [] : wanted)
        await lab.processes.until(
          `an answer of ${to.facts.name} to ${from.facts.name} by IPv${family}`,
          async () => (await ping(lab, from, addressOf(to, family), { count: 1 })).received === 1 || undefined,
        );
}

/** The VM's address of a family. Throws when it has none. */
export function addressOf(vm: Vm, family: Family): string {
  const address = family === 4 ? vm.address4 : vm.address6;
  if (address === undefined) throw new Error(`${vm.facts.name} has no IPv${family} address`);
  return address;
}
