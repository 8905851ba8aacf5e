// Derives the desired routes and neighbours of an interface. Pure.
import { type Cidr, familyOf, isHostCidr } from '@calico-openstack/addresses';
import { blackholeMetric, leavingMetric } from '@calico-openstack/datamodel';
import { blackholeRoute, deviceRoute, type Neighbour, neighbourKey, type Route, routeKey, routeTable } from '@calico-openstack/kernel';
import type { PlacedDevice } from './arrivals.ts';

/** Desired routes and neighbours, by the keys of the room `kernel` (`routeKey`, `neighbourKey`). */
export type WantedObjects = { readonly routes: ReadonlyMap<string, Route>; readonly neighbours: ReadonlyMap<string, Neighbour> };

/** The settings that decide about routes and neighbours. */
export type RoutingSettings = {
  /** The protocol number of our routes (RTPROT). */
  readonly routeProtocol: number;
  /** The metric of our routes by address family. */
  readonly metric: Readonly<Record<4 | 6, number>>;
  /** The metric of routes to a workload that has just arrived by live migration. */
  readonly elevatedMetric: Readonly<Record<4 | 6, number>>;
  readonly ipv6: boolean;
};

/** The desired objects of an endpoint that is gone. */
export const nothingWanted: WantedObjects = { routes: new Map(), neighbours: new Map() };

/** The desired objects of a device. IPv6 addresses are left out when IPv6 is switched off. */
export function wantedOf(device: PlacedDevice, { routeProtocol: protocol, metric, elevatedMetric, ipv6 }: RoutingSettings): WantedObjects {
  const { interfaceName: name } = device;
  const metricOf = (family: 4 | 6): number => {
    if (device.routing === 'leaving') return leavingMetric(metric[family]);
    return device.routing === 'elevated' ? elevatedMetric[family] : metric[family];
  };
  const supported = (address: string): boolean => ipv6 || !address.includes(':');
  const destinations = device.routes.filter(supported);
  const routes = destinations.map((destination) => deviceRoute({ destination, device: name, metric: metricOf(familyOf(destination)), protocol }));
  // A prefix is not blackholed, because other workloads may have parts of it.
  const blackholed = device.routing === 'leaving' ? destinations.filter(isHostCidr) : [];
  const blackholes = blackholed.map((destination) => blackholeRoute({ destination, metric: blackholeMetric, protocol }));
  const permanent = device.neighbours
    .filter(({ address }) => supported(address))
    .map(({ address, mac }): Neighbour => ({ kind: 'permanent', device: name, address, mac }));
  const proxies = device.proxyNeighbours.filter(supported).map((address): Neighbour => ({ kind: 'proxy', device: name, address }));
  return {
    routes: new Map([...routes, ...blackholes].map((route) => [routeKey(route), route])),
    neighbours: new Map([...permanent, ...proxies].map((neighbour) => [neighbourKey(neighbour), neighbour])),
  };
}

/** Whether a route is one of our blackholes. @param protocol the protocol number of our routes */
export const isOurBlackhole = (route: Pick<Route, 'type' | 'table' | 'metric' | 'protocol' | 'destination'>, protocol: number): boolean =>
  route.type === 'blackhole' &&
  route.table === routeTable.main &&
  route.metric === blackholeMetric &&
  route.protocol === protocol &&
  isHostCidr(route.destination as Cidr);
