// Routes as values. No I/O.
import { addressBytes, familyOf, type IpFamily, splitCidr } from '@calico-openstack/addresses';
import type { WantedKind } from '../programmer/programmer.ts';

/** The types of routes (RTN_*), in the kernel's order from 1 on. */
export const routeTypes = [
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'nat',
  'xresolve',
] as const;
/** One of `routeTypes`. */
export type RouteType = (typeof routeTypes)[number];

/** How far away the destination is (RT_SCOPE_*). IPv6 has only `universe`. */
export const routeScope = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;
/** The numbers of the usual tables (RT_TABLE_*). */
export const routeTable = { default: 253, main: 254, local: 255 } as const;
/** Numbers for the program that created a route (RTPROT_*). */
export const routeProtocol = { redirect: 1, kernel: 2, boot: 3, static: 4, routerAdvertisement: 9, bird: 12, dhcp: 16 } as const;

type RouteFields = {
  readonly family: IpFamily;
  /** A prefix in canonical text: `10.65.0.4/32`, `2001:db8::/64`; 0.0.0.0/0 or ::/0 for the default route. */
  readonly destination: string;
  /** The route with the lower metric is used. For IPv6 the kernel reads 0 as 1024. */
  readonly metric: number;
  readonly table: number;
  /** The program that created it: 0 to 255 (`routeProtocol`). */
  readonly protocol: number;
  readonly scope: number;
  readonly type: RouteType;
  /** The address of the next hop. */
  readonly via?: string;
  /** The source address that this host uses on the route. */
  readonly prefSource?: string;
};

/** A wanted route. It names its device. */
export type Route = RouteFields & { readonly device?: string };

/** A route in the kernel. The next hops of a route with several (`multipath`) are not known here. */
export type KernelRoute = RouteFields & { readonly deviceIndex?: number; readonly tos?: number; readonly multipath?: true };

/** The key of a route: the kernel accepts only one route with the same key. */
export const routeKey = (route: Pick<RouteFields, 'family' | 'table' | 'destination' | 'metric'>): string =>
  `${route.family} ${route.table} ${route.destination} ${kernelMetric(route)}`;

const ipv6DefaultMetric = 1024;
const kernelMetric = ({ family, metric }: Pick<RouteFields, 'family' | 'metric'>): number => (family === 6 && metric === 0 ? ipv6DefaultMetric : metric);

/** A route for a prefix out of a device, in the main table. Throws RangeError when `destination` is not a canonical prefix. */
export function deviceRoute(route: {
  readonly destination: string;
  readonly device: string;
  readonly metric: number;
  readonly protocol: number;
  readonly prefSource?: string;
}): Route {
  const { family } = splitCidr(route.destination);
  return { ...route, family, table: routeTable.main, scope: family === 4 ? routeScope.link : routeScope.universe, type: 'unicast' };
}

/** A route in the main table that drops packets to a prefix silently: the sender gets no ICMP error. Throws RangeError when `destination` is not a canonical prefix. */
export function blackholeRoute(route: { readonly destination: string; readonly metric: number; readonly protocol: number }): Route {
  return { ...route, family: splitCidr(route.destination).family, table: routeTable.main, scope: routeScope.universe, type: 'blackhole' };
}

/** Prints a route like iproute2, for messages. */
export function printRoute(route: Route | KernelRoute): string {
  const device = 'device' in route ? route.device : 'deviceIndex' in route ? `#${route.deviceIndex}` : undefined;
  const words = [
    ...(route.type === 'unicast' ? [] : [route.type]),
    route.destination,
    ...(route.via === undefined ? [] : ['via', route.via]),
    ...(device === undefined ? [] : ['dev', device]),
    `proto ${route.protocol} metric ${route.metric} table ${route.table}`,
    ...(route.prefSource === undefined ? [] : ['src', route.prefSource]),
  ];
  return words.join(' ');
}

/** What a programmer needs to know of routes. */
export const routeKind: WantedKind<Route, KernelRoute> = {
  wantedKey: routeKey,
  deviceName: (route) => route.device,
  place({ device: _, ...route }, deviceIndex) {
    const scope = route.family === 6 ? routeScope.universe : route.scope;
    return { ...route, scope, metric: kernelMetric(route), ...(deviceIndex === undefined ? {} : { deviceIndex }) };
  },
  key: (route) => (route.tos ? `${routeKey(route)} tos ${route.tos}` : routeKey(route)),
  same: (a, b) => sameFields.every((field) => a[field] === b[field]),
  deviceIndex: (route) => route.deviceIndex,
  // In a request to delete, the kernel reads metric 0 as "any".
  deleteMayMiss: (route) => route.family === 4 && route.metric === 0,
  check: checkRoute,
};

const sameFields = ['type', 'protocol', 'scope', 'via', 'prefSource', 'deviceIndex', 'multipath'] as const satisfies readonly (keyof KernelRoute)[];

/** Throws RangeError for a value that cannot be sent to the kernel, before a part of a batch has been sent. */
function checkRoute(route: Route): void {
  const { family } = splitCidr(route.destination);
  if (family !== route.family) throw new RangeError(`the route to ${route.destination} says that it is of family ${route.family}`);
  if (route.via !== undefined) addressBytes(route.via);
  if (route.prefSource !== undefined && familyOf(route.prefSource) !== family) {
    throw new RangeError(`${route.prefSource} cannot be the source of a route to ${route.destination}`);
  }
  const numbers = {
    metric: [route.metric, 0xffffffff],
    table: [route.table, 0xffffffff],
    protocol: [route.protocol, 0xff],
    scope: [route.scope, 0xff],
  } as const;
  for (const [name, [value, most]] of Object.entries(numbers)) {
    if (!Number.isInteger(value) || value < 0 || value > most)
      throw new RangeError(`the route to ${route.destination} has the ${name} ${value}: it must be 0 to ${most}`);
  }
}
