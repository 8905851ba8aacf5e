// What of an interface is to be in the kernel: its routes and neighbours. Pure.
import { familyOf } from '@calico-openstack/addresses';
import { deviceRoute, type Neighbour, neighbourKey, type Route, routeKey } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';

export type WantedObjects = { readonly routes: ReadonlyMap<string, Route>; readonly neighbours: ReadonlyMap<string, Neighbour> };

export type RoutingSettings = {
  readonly routeProtocol: number;
  readonly metric: Readonly<Record<4 | 6, number>>;
  readonly ipv6: boolean;
};

export const nothingWanted: WantedObjects = { routes: new Map(), neighbours: new Map() };

/** By the keys of the kernel room's programmers. */
export function wantedOf(device: WorkloadDevice, { routeProtocol: protocol, metric, ipv6 }: RoutingSettings): WantedObjects {
  const { interfaceName: name } = device;
  const supported = (address: string): boolean => ipv6 || !address.includes(':');
  const routes = device.routes
    .filter(supported)
    .map((destination) => deviceRoute({ destination, device: name, metric: metric[familyOf(destination)], protocol }));
  const permanent = device.neighbours
    .filter(({ address }) => supported(address))
    .map(({ address, mac }): Neighbour => ({ kind: 'permanent', device: name, address, mac }));
  const proxies = device.proxyNeighbours.filter(supported).map((address): Neighbour => ({ kind: 'proxy', device: name, address }));
  return {
    routes: new Map(routes.map((route) => [routeKey(route), route])),
    neighbours: new Map([...permanent, ...proxies].map((neighbour) => [neighbourKey(neighbour), neighbour])),
  };
}
