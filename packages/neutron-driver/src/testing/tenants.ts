// Tenants who change the same few objects at the same time, and what etcd may hold of these objects at any moment.
import { randomInt } from 'node:crypto';
import type { HttpAnswer } from '../../../../lab/http.ts';
import type { OpenStack } from '../../../../lab/openstack.ts';
import type { Resource } from './cloud.ts';

const slots = [0, 1, 2, 3, 4];
const groupNumbers = [0, 1, 2];
const hosts = ['cmp-1', 'cmp-2'];
const deviceRoot = '5e7e0000-0000-4000-8000-00000000000';
const device = (slot: number): string => `${deviceRoot}${slot}`;
const addresses = (slot: number): string[] => [1, 2, 3].map((last) => `10.77.${slot}.${last}`);
const pairs = (slot: number): string[] => [201, 202].map((last) => `10.77.${slot}.${last}`);
const officeNets = ['192.0.2.192/28', '192.0.2.208/28', '192.0.2.224/28'];
const sourceOf = (group: number): string => `192.0.2.${16 * group}/28`;
const portOf = (group: number): number => 1000 * (group + 1) + randomInt(8);

const pick = <T>(list: readonly T[]): T => list[randomInt(list.length)] as T;
const some = <T>(list: readonly T[]): T[] => list.filter(() => randomInt(2) === 0);

/** What `makeTenants` returns. */
export type Tenants = Awaited<ReturnType<typeof makeTenants>>;

/** Makes the tenants' networks, groups and policies. */
export async function makeTenants(openstack: OpenStack) {
  const network = (await openstack.create('network', { name: 'shared' })).id;
  const pools = { allocation_pools: [{ start: '10.77.200.1', end: '10.77.200.99' }] };
  const subnet = (await openstack.create('subnet', { network_id: network, ip_version: 4, cidr: '10.77.0.0/16', gateway_ip: '10.77.255.254', ...pools })).id;
  const outside = (await openstack.create('network', { name: 'world', 'router:external': true })).id;
  await openstack.create('subnet', { network_id: outside, ip_version: 4, cidr: '203.0.112.0/24', enable_dhcp: false });
  const router = (await openstack.create('router', { name: 'edge', external_gateway_info: { network_id: outside } })).id;
  await openstack.request('PUT', `routers/${router}/add_router_interface`, { subnet_id: subnet });
  const groups: string[] = [];
  for (const number of groupNumbers) groups.push((await openstack.create('security_group', { name: `tier ${number}` })).id);
  const office = (await openstack.create('address_group', { name: 'office', addresses: [officeNets[0]] })).id;
  const made = async (path: string, body: object): Promise<string> =>
    (Object.values(JSON.parse((await openstack.request('POST', path, body)).body))[0] as { id: string }).id;
  const qos = await made('qos/policies', { policy: { name: 'gold' } });
  const limit = await made(`qos/policies/${qos}/bandwidth_limit_rules`, { bandwidth_limit_rule: { max_kbps: 1000, direction: 'egress' } });
  const groupsOf = (slot: number): string[] => (slot % 2 === 0 ? groups.slice(0, 2) : groups.slice(1));
  const change = (slot: number): object =>
    pick([
      { security_groups: some(groupsOf(slot)) },
      { 'binding:host_id': pick(hosts) },
      { fixed_ips: [{ subnet_id: subnet, ip_address: pick(addresses(slot)) }] },
      { admin_state_up: randomInt(3) > 0 },
      { allowed_address_pairs: some(pairs(slot)).map((ip_address) => ({ ip_address })) },
      { name: `vm ${randomInt(100)}` },
      { qos_policy_id: pick([qos, null]) },
    ]);

  /** Sends one request of a tenant. */
  async function act(asked: OpenStack): Promise<HttpAnswer> {
    const { request } = asked;
    const idOf = async (path: string): Promise<string | undefined> => {
      const [found] = Object.values(JSON.parse((await request('GET', path)).body)) as [{ id: string }[]];
      return found.length > 0 ? pick(found).id : undefined;
    };
    const slot = pick(slots);
    const group = pick(groupNumbers);
    const number = portOf(group);
    switch (randomInt(9)) {
      case 0: {
        const id = await idOf(`floatingips?floating_network_id=${outside}`);
        const port = await idOf(`ports?device_id=${device(slot)}`);
        if (id === undefined) return request('POST', 'floatingips', { floatingip: { floating_network_id: outside, port_id: port ?? null } });
        return randomInt(3) === 0
          ? request('DELETE', `floatingips/${id}`)
          : request('PUT', `floatingips/${id}`, { floatingip: { port_id: pick([port, null]) ?? null } });
      }
      case 1:
        return request('PUT', `address-groups/${office}/${pick(['add', 'remove'])}_addresses`, { addresses: [pick(officeNets)] });
      case 2:
        return request('PUT', `qos/policies/${qos}/bandwidth_limit_rules/${limit}`, { bandwidth_limit_rule: { max_kbps: 1000 + randomInt(1000) } });
      case 3:
      case 4: {
        const rules = `security-group-rules?security_group_id=${groups[group]}&direction=ingress`;
        const id = randomInt(2) === 0 ? await idOf(rules) : undefined;
        if (id !== undefined) return request('DELETE', `security-group-rules/${id}`);
        const from = pick([{ remote_ip_prefix: sourceOf(group) }, { remote_address_group_id: office }]);
        const tcp = { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: number, port_range_max: number };
        return request('POST', 'security-group-rules', { security_group_rule: { security_group_id: groups[group], ...tcp, ...from } });
      }
      case 5:
        return request('PUT', `security-groups/${groups[group]}`, { security_group: { name: `tier ${randomInt(100)}` } });
      default: {
        const id = await idOf(`ports?device_id=${device(slot)}`);
        if (id !== undefined) return randomInt(5) === 0 ? request('DELETE', `ports/${id}`) : request('PUT', `ports/${id}`, { port: change(slot) });
        const place = { network_id: network, device_owner: 'compute:nova', device_id: device(slot), 'binding:host_id': pick(hosts) };
        const fixed = { fixed_ips: [{ subnet_id: subnet, ip_address: pick(addresses(slot)) }] };
        return request('POST', 'ports', { port: { ...place, ...fixed, security_groups: some(groupsOf(slot)) } });
      }
    }
  }

  /** The reason why no moment of this history allows a value in etcd; undefined when it is allowed, or not about these tenants. */
  function objection({ kind, metadata, spec }: Resource): string | undefined {
    const outsideOf = (found: readonly string[], allowed: readonly string[]): string | undefined => found.find((one) => !allowed.includes(one));
    if (kind === 'WorkloadEndpoint' && String(spec['workload']).startsWith(deviceRoot)) {
      const slot = Number(String(spec['workload']).slice(deviceRoot.length));
      const held = Object.keys(metadata.labels ?? {}).flatMap((label) => /^sg\.projectcalico\.org\/openstack-(.*)$/.exec(label)?.[1] ?? []);
      const nats = (spec['ipNATs'] ?? []) as { internalIP: string; externalIP: string }[];
      return (
        outsideOf(held, groupsOf(slot)) ??
        outsideOf(
          spec['ipNetworks'] as string[],
          [...addresses(slot), ...pairs(slot)].map((address) => `${address}/32`),
        ) ??
        outsideOf(
          spec['allowedIps'] as string[],
          pairs(slot).map((address) => `${address}/32`),
        ) ??
        outsideOf(
          nats.map(({ internalIP }) => internalIP),
          addresses(slot),
        ) ??
        nats.find(({ externalIP }) => !externalIP.startsWith('203.0.112.'))?.externalIP
      );
    }
    const group = groups.findIndex((id) => metadata.name === `ossg.default.${id}`);
    if (kind === 'NetworkPolicy' && group >= 0) {
      const right = new RegExp(
        `^\\{"nets":\\["${sourceOf(group).replaceAll('.', '\\.')}"\\]\\}$|^\\{"selector":"has\\(ag\\.projectcalico\\.org/openstack-${office}\\)"\\}$`,
      );
      const wrong = (spec['ingress'] as Record<string, { ports?: number[] }>[]).find(
        ({ protocol, source, destination }) =>
          Number(protocol) !== 6 ||
          !right.test(JSON.stringify(source ?? {})) ||
          destination?.ports?.length !== 1 ||
          Math.floor(destination.ports[0]! / 1000) !== group + 1,
      );
      return wrong && JSON.stringify(wrong);
    }
    return kind === 'NetworkSet' && metadata.name === `osag.${office}` ? outsideOf(spec['nets'] as string[], officeNets) : undefined;
  }
  return { network, subnet, groups, act, objection };
}
