// The floor of Felix's benches: the smallest program that follows the same values in etcd and makes the same changes in the kernel by netlink. It understands only the values that the benches
// write, checks nothing, shares nothing between endpoints and survives no failure.
//
// An endpoint of this host gets a route, a neighbour, the settings of its interface and an element of the map that leads to its group. A group of an endpoint of this host is a set of its
// members in the whole cluster and a chain. The members of the group `client` are a set. The group `shared` is a chain, whose rule comes and goes.
import { hostname } from 'node:os';
import { addressBytes, type IpAddress } from '@calico-openstack/addresses';
import { connectEtcd } from '@calico-openstack/etcd';
import {
  createNeighbourProgrammer,
  createRouteProgrammer,
  deviceRoute,
  type NftChain,
  neighbourKey,
  openLinks,
  openNeighbours,
  openRoutes,
  openTable,
  routeKey,
  writeSysctl,
} from '@calico-openstack/kernel';
import { equal, inSet, l4proto, nameBegins, port, rule } from '@calico-openstack/render/statements';

const UDP = 17;
const [ALLOWED, TOGGLED] = [7000, 7001];
const addresses = { name: 'addresses', key: ['ipv4_addr'], data: 'verdict' } as const;
const clients = { name: 'clients', key: ['ipv4_addr'] } as const;
const groupLabel = 'sg.projectcalico.org/openstack-';
const prefix = '/calico/resources/v3/projectcalico.org';
const host = process.env['FELIX_FELIXHOSTNAME'] ?? hostname();
const { FELIX_ETCDENDPOINTS: endpoints = 'http://127.0.0.1:2379', ETCD_USERNAME: username, ETCD_PASSWORD: password } = process.env;

const etcd = connectEtcd({ endpoints: endpoints.split(','), ...(username !== undefined && { username, password: password ?? '' }) });
const links = openLinks();
const table = openTable('inet', 'floor');
const routes = createRouteProgrammer({ table: openRoutes(), devices: links, owns: () => false });
const neighbours = createNeighbourProgrammer({ table: openNeighbours(), devices: links, owns: () => false });
links.watch(({ links: names }) => {
  for (const name of names) {
    routes.deviceChanged(name);
    neighbours.deviceChanged(name);
  }
});

const accept = { is: 'verdict', verdict: 'accept' } as const;
const toPort = (number: number) => [l4proto(UDP), equal('th dport', port(number))];
const shared = (toggled: boolean): NftChain => ({ name: 'shared', rules: toggled ? [rule(...toPort(TOGGLED), accept)] : [] });
table.setSet(addresses, []);
table.setSet(clients, []);
table.setChain(shared(false));
table.setChain({
  name: 'forward',
  hook: { type: 'filter', hook: 'forward', priority: 0, policy: 'drop' },
  rules: [rule(nameBegins('meta oifname', 'tap'), { is: 'verdict-map', fields: ['ip daddr'], map: addresses.name })],
});

type Held = { readonly device: string; readonly mac: string; readonly address: string; readonly isClient: boolean; readonly group: string };
const held = new Map<string, Held>();
/** The addresses of a group's members, and how many endpoints of this host are members. */
const groups = new Map<string, { readonly members: Set<string>; users: number }>();

const elementOf = (address: string) => ({ key: addressBytes(address as IpAddress) });
const setOf = (group: string) => ({ name: `members-${group}`, key: ['ipv4_addr'] }) as const;

/** Counts the endpoints of this host in a group. The first brings the group's set and chain, the last takes them away. */
function use(group: string, by: 1 | -1): void {
  const entry = groups.get(group)!;
  entry.users += by;
  if (by === 1 && entry.users === 1) {
    table.setSet(setOf(group), [...entry.members].map(elementOf));
    const toClients = rule(inSet(clients.name, ['ip saddr']), ...toPort(ALLOWED), accept);
    table.setChain({
      name: group,
      rules: [rule(inSet(setOf(group).name, ['ip saddr']), accept), toClients, rule({ is: 'verdict', verdict: 'jump', chain: 'shared' })],
    });
  } else if (entry.users === 0) {
    table.removeChain(group);
    table.removeSet(setOf(group).name);
  }
}

function join(group: string, address: string): void {
  const entry = groups.get(group) ?? { members: new Set(), users: 0 };
  groups.set(group, entry);
  if (entry.members.has(address)) return;
  entry.members.add(address);
  if (entry.users > 0) table.addElements(setOf(group).name, [elementOf(address)]);
}

function leave(group: string, address: string): void {
  const entry = groups.get(group)!;
  entry.members.delete(address);
  if (entry.users > 0) table.removeElements(setOf(group).name, [elementOf(address)]);
}

function objectsOf({ device, mac, address, group }: Omit<Held, 'isClient'>) {
  return {
    element: { key: addressBytes(address as IpAddress), verdict: { verdict: 'goto', chain: group } as const },
    client: elementOf(address),
    route: deviceRoute({ destination: `${address}/32`, device, metric: 1024, protocol: 3 }),
    neighbour: { kind: 'permanent', device, address, mac } as const,
  };
}

function add(key: string, endpoint: Held): void {
  const { element, client, route, neighbour } = objectsOf(endpoint);
  held.set(key, endpoint);
  use(endpoint.group, 1);
  if (endpoint.isClient) table.addElements(clients.name, [client]);
  table.addElements(addresses.name, [element]);
  routes.set(route);
  neighbours.set(neighbour);
  for (const [setting, value] of [
    ['route_localnet', 1],
    ['proxy_arp', 1],
    ['forwarding', 1],
    ['rp_filter', 1],
  ] as const)
    writeSysctl(['net', 'ipv4', 'conf', endpoint.device, setting], value);
}

function remove(key: string): void {
  const endpoint = held.get(key);
  if (!endpoint) return;
  const { element, client, route, neighbour } = objectsOf(endpoint);
  held.delete(key);
  table.removeElements(addresses.name, [element]);
  table.removeElements(clients.name, [client]);
  leave(endpoint.group, endpoint.address);
  use(endpoint.group, -1);
  routes.remove(routeKey(route));
  neighbours.remove(neighbourKey(neighbour));
}

function takeEndpoint(key: string, value: Uint8Array): void {
  const { metadata, spec } = JSON.parse(new TextDecoder().decode(value));
  const names = Object.keys(metadata.labels).flatMap((label) => (label.startsWith(groupLabel) ? [label.slice(groupLabel.length)] : []));
  const group = names.find((name) => /^g\d+$/.test(name)) ?? 'none';
  const address: string = spec.ipNetworks[0].split('/')[0];
  join(group, address);
  if (spec.node !== host) return;
  const endpoint: Held = { device: spec.interfaceName, mac: spec.mac, address, isClient: names.includes('client'), group };
  const { isClient } = endpoint;
  if (!held.has(key)) add(key, endpoint);
  else if (held.get(key)?.isClient !== isClient) {
    held.set(key, endpoint);
    if (isClient) table.addElements(clients.name, [elementOf(address)]);
    else table.removeElements(clients.name, [elementOf(address)]);
  }
}

function take(key: string, value: Uint8Array | undefined): void {
  if (key.startsWith(`${prefix}/workloadendpoints/`)) {
    if (value) takeEndpoint(key, value);
    else remove(key);
  } else if (key.endsWith('.shared') && value) table.setChain(shared(new TextDecoder().decode(value).includes(String(TOGGLED))));
}

function commit(): void {
  table.apply();
  neighbours.apply();
  routes.apply();
}

let inSync = false;
writeSysctl(['net', 'ipv4', 'ip_forward'], 1);
etcd.follow([prefix], {
  onChanges(changes) {
    for (const { key, value } of changes) take(key, value);
    if (inSync) commit();
  },
  onInSync() {
    inSync = true;
    commit();
  },
  onUnreadable: () => undefined,
  onState: () => undefined,
});
