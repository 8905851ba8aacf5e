// Programs the wanted routes.
import { type Programmer, type ProgrammerOptions, programmer } from '../programmer/programmer.ts';
import { type KernelRoute, type Route, routeKind, routeProtocol } from './route.ts';

/** A programmer of routes (see `Programmer`), keyed by `routeKey`. `set` throws RangeError for a value that is not a route. Routes of other programs are never changed or replaced. */
export function createRouteProgrammer(options: Omit<ProgrammerOptions<Route, KernelRoute>, 'kind'>): Programmer<Route> {
  return programmer({ ...options, kind: routeKind });
}

/**
 * Decides which routes are ours: those with one of our protocol numbers, and all on devices with one of our name prefixes, except those that the kernel itself keeps there
 * (fe80::/64, prefix routes, multicast). So a programmer recognises its routes after a restart.
 */
export function ownsRoutes(ours: {
  readonly protocols?: readonly number[];
  readonly devicePrefixes?: readonly string[];
}): (route: KernelRoute, deviceName: string | undefined) => boolean {
  const { protocols = [], devicePrefixes = [] } = ours;
  return ({ protocol, type }, deviceName) => {
    if (protocols.includes(protocol)) return true;
    if (protocol === routeProtocol.kernel || type === 'local' || type === 'broadcast' || type === 'anycast' || type === 'multicast') return false;
    return deviceName !== undefined && devicePrefixes.some((prefix) => deviceName.startsWith(prefix));
  };
}
