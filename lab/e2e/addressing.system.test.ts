// A member of a project requests addresses from Neutron that belong to others or to the cloud itself. Each request is refused with the reason, and nothing changes on the hosts.
import { beforeAll, expect, test } from 'vitest';
import type { HttpAnswer } from '../http.ts';
import { createMember, type Member } from '../member.ts';
import { ipJson } from '../namespace.ts';
import type { Host } from '../plan.ts';
import { ping } from '../traffic.ts';
import type { NamespaceVm } from '../vm.ts';
import { addressOf, everything, groupOf, labOfThisFile, plan, untilTheyTalk, vmOn } from './world.ts';

const world = labOfThisFile('addressing', { hosts: 2 });

let mallory: Member;
let network: string;
/** The victim is on host 1; its friend and the attacker are on host 2. */
let victim: NamespaceVm;
let friend: NamespaceVm;
let attacker: NamespaceVm;
let etcd: string;
let nextHop: string;

const post = async (path: string, kind: string, fields: object): Promise<string> => {
  const { status, body } = await mallory.request('POST', path, { [kind]: fields });
  expect(status, body).toBe(201);
  return (JSON.parse(body) as Record<string, { id: string }>)[kind]!.id;
};
const subnetOf = (fields: object): Promise<HttpAnswer> => mallory.request('POST', 'subnets', { subnet: { network_id: network, ip_version: 4, ...fields } });
const pairOf = (ip_address: string): Promise<HttpAnswer> =>
  mallory.request('PUT', `ports/${attacker.facts.portId}`, { port: { allowed_address_pairs: [{ ip_address }] } });

beforeAll(async () => {
  const { lab } = world;
  etcd = lab.plan.control.link.machine4;
  nextHop = lab.plan.hosts[1]!.link.router4;
  mallory = await createMember(lab, 'mallory');
  network = await post('networks', 'network', { name: 'mine' });
  await post('subnets', 'subnet', { network_id: network, ip_version: 4, cidr: '10.66.0.0/24' });
  const open = await groupOf(lab, ...everything('ingress'), ...everything('egress'));
  const boot = (name: string, host: number, more: object = {}): Promise<NamespaceVm> => vmOn(world, host, { name, securityGroups: [open.id], ...more });
  [victim, friend, attacker] = await Promise.all([
    boot('victim', 1),
    boot('friend', 2),
    boot('attacker', 2, { network, port: { tenant_id: mallory.project } }),
  ]);
  await untilTheyTalk(world, [victim, friend], [4]);
});

/** The route of the attacker's host to this address. */
async function wayTo(address: string): Promise<string | undefined> {
  const host: Host = world.lab.plan.hosts[1]!;
  const [route] = (await ipJson(world.lab.processes, host, 'route', 'get', address)) as { dev?: string }[];
  return route?.dev;
}

test.each([
  ['a subnet whose gateway is etcd’s address', () => subnetOf({ cidr: '172.20.0.0/24', gateway_ip: etcd }), /is an endpoint of this cloud's etcd/],
  ['a subnet whose gateway is the host’s next hop', () => subnetOf({ cidr: '172.20.0.0/24', gateway_ip: nextHop }), /is a BGP peer of this cloud/],
  [
    'a subnet around a host',
    () => subnetOf({ cidr: `${world.lab.plan.hosts[0]!.link.machine4}/32`, gateway_ip: null, enable_dhcp: false }),
    /is an address of a host of this cloud/,
  ],
  ['another project’s prefix', () => subnetOf({ cidr: plan[4].cidr }), /overlaps 10\.65\.0\.0\/24, another subnet's prefix/],
  ['a pair that is the host’s next hop', () => pairOf(nextHop), /is a BGP peer of this cloud/],
  ['a pair that is another project’s VM', () => pairOf(addressOf(victim, 4)), /lies outside of the network's subnets \(10\.66\.0\.0\/24\)/],
  ['a pair that is everybody', () => pairOf('0.0.0.0/0'), /which no host can have/],
  ['a pair that is half of the hosts’ default route', () => pairOf('128.0.0.0/1'), /which no host can have/],
])('%s is refused', async (_, attack, reason) => {
  const { status, body } = await attack();
  expect({ status, body }).toMatchObject({ status: 409, body: expect.stringMatching(reason) });
});

test('after all attacks, the hosts have the same routes, VMs reach one another, and changes arrive', async () => {
  const { lab } = world;
  for (const address of [etcd, nextHop, addressOf(victim, 4)]) expect(await wayTo(address)).toBe('fabric');
  expect(await wayTo(addressOf(attacker, 4))).toBe(attacker.facts.tap);
  expect(await ping(lab, friend, addressOf(victim, 4), { count: 2, timeoutMs: 5_000 })).toMatchObject({ received: 2 });
  const closed = await groupOf(lab);
  await lab.openstack.update('port', friend.facts.portId, { security_groups: [closed.id] });
  await lab.processes.until('a change of policy to take effect on the host of the attacker', async () =>
    (await ping(lab, victim, addressOf(friend, 4), { count: 1 })).received === 0 ? true : undefined,
  );
});
