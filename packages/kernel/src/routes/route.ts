// Routes as values. No I/O.
import { familyOf, type IpFamily, ipBytes, splitPrefix } from '../addresses/ip.ts';
import type { WantedKind } from '../programmer/programmer.ts';

/** RTN_*, in the kernel's order from 1 on. */
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
export type RouteType = (typeof routeTypes)[number];

/** RT_SCOPE_*: how far away the destination is. IPv6 knows only `universe`. */
export const routeScope = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;
/** RT_TABLE_* */
export const routeTable = { default: 253, main: 254, local: 255 } as const;
/** RTPROT_*: who made a route. */
export const routeProtocol = { redirect: 1, kernel: 2, boot: 3, static: 4, routerAdvertisement: 9, bird: 12, dhcp: 16 } as const;

type RouteFields = {
  readonly family: IpFamily;
  /** Canonical text of a prefix: `10.65.0.4/32`, `2001:db8::/64`; 0.0.0.0/0 and ::/0 for the default. */
  readonly destination: string;
  /** The lower is taken. For IPv6 the kernel reads 0 as 1024. */
  readonly metric: number;
  readonly table: number;
  /** Who made it: 0 to 255 (`routeProtocol`). */
  readonly protocol: number;
  readonly scope: number;
  readonly type: RouteType;
  /** Address of the next hop. */
  readonly via?: string;
  /** The address that this host takes as its own when it speaks on this route. */
  readonly prefSource?: string;
};

/** A route as it is wanted. */
export type Route = RouteFields & { readonly device?: string };

/** A route as the kernel has it. Of one with several next hops (`multipath`) these are not known. */
export type KernelRoute = RouteFields & { readonly deviceIndex?: number; readonly tos?: number; readonly multipath?: true };

/** The key of a route: of two with the same key the kernel takes only one. */
export const routeKey = (route: Pick<RouteFields, 'family' | 'table' | 'destination' | 'metric'>): string =>
  `${route.family} ${route.table} ${route.destination} ${kernelMetric(route)}`;

const ipv6DefaultMetric = 1024;
const kernelMetric = ({ family, metric }: Pick<RouteFields, 'family' | 'metric'>): number => (family === 6 && metric === 0 ? ipv6DefaultMetric : metric);

/** The route that leads the packets for a prefix out of a device, in the main table. RangeError when `destination` is no canonical prefix. */
export function deviceRoute(route: {
  readonly destination: string;
  readonly device: string;
  readonly metric: number;
  readonly protocol: number;
  readonly prefSource?: string;
}): Route {
  const { family } = splitPrefix(route.destination);
  return { ...route, family, table: routeTable.main, scope: family === 4 ? routeScope.link : routeScope.universe, type: 'unicast' };
}

/** As iproute2 would say it, for people. */
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
  // The kernel reads metric 0 in a request to delete as "any".
  deleteMayMiss: (route) => route.family === 4 && route.metric === 0,
  check: checkRoute,
};

const sameFields = ['type', 'protocol', 'scope', 'via', 'prefSource', 'deviceIndex', 'multipath'] as const satisfies readonly (keyof KernelRoute)[];

/** RangeError when the value is none that the kernel could be asked for: said here, before half of a batch has been sent. */
function checkRoute(route: Route): void {
  const { family } = splitPrefix(route.destination);
  if (family !== route.family) throw new RangeError(`the route to ${route.destination} says that it is of family ${route.family}`);
  if (route.via !== undefined) ipBytes(route.via);
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
