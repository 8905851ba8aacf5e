// The host's own addresses and next hops by rtnetlink.
import type { Links } from '../links/link.ts';
import { openNetlinkTable } from '../programmer/netlink.ts';
import { dumpRoutes, routeGroups } from '../routes/messages.ts';
import { type RouteAddresses, readRouteAddresses } from './hops.ts';
import type { HostAddresses } from './host-address.ts';
import { type HostAddressesOptions, hostAddressesFrom } from './host-addresses.ts';

/**
 * Opens the addresses of the calling thread's network namespace, which must be that of `links`; its sockets stay in it (see `inNamespace`). Keeps the process alive until closed.
 * Throws NetlinkError when the kernel cannot be read.
 */
export function openHostAddresses(links: Links, options: Pick<HostAddressesOptions, 'onTrouble' | 'leavesOut'> = {}): HostAddresses {
  const words = {
    plural: 'the routes',
    groups: routeGroups,
    parse: readRouteAddresses,
    write: (): never => {
      throw new TypeError('the host addresses are read, never written');
    },
  };
  const dumps = ([4, 6] as const).map((family) => (sequence: number) => dumpRoutes(sequence, family, {}));
  return hostAddressesFrom(links, openNetlinkTable<RouteAddresses>(words, dumps), options);
}
