// Routes made as they are wanted.
import { type Programmer, type ProgrammerOptions, programmer } from '../programmer/programmer.ts';
import { type KernelRoute, type Route, routeKind, routeProtocol } from './route.ts';

/** See `Programmer`; keys are `routeKey`'s. `set` throws RangeError for a value that is no route. A route that is somebody else's is never touched, nor replaced. */
export function routeProgrammer(options: Omit<ProgrammerOptions<Route, KernelRoute>, 'kind'>): Programmer<Route> {
  return programmer({ ...options, kind: routeKind });
}

/**
 * What is ours by protocol number, and everything on devices whose names start with one of the prefixes, except what the kernel itself keeps there (fe80::/64,
 * prefix routes, multicast). The usual answer to "after a restart, how do we know that it is ours?".
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
