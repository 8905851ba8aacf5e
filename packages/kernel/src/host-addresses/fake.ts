// The host's own addresses and next hops in memory, over the fakes of links and routes.

import { familyOf } from '@calico-openstack/addresses';
import type { Links } from '../links/link.ts';
import type { FakeRoutes } from '../routes/fake.ts';
import { type KernelRoute, routeTable } from '../routes/route.ts';
import type { RouteAddresses } from './hops.ts';
import type { HostAddresses } from './host-address.ts';
import { type HostAddressesOptions, hostAddressesFrom } from './host-addresses.ts';

/** Host addresses as the fakes of links and routes report them. */
export function fakeHostAddresses(links: Links, routes: FakeRoutes, options: HostAddressesOptions = {}): HostAddresses {
  const table = routes.open({});
  return hostAddressesFrom(
    links,
    {
      read: () => table.read({}).map(addressesOf),
      readInSlices: (visit) => table.readInSlices((route) => visit(addressesOf(route))),
      watch: (onChanges, onLost) => table.watch((changes) => onChanges(changes.map(({ is, object }) => ({ is, object: addressesOf(object) }))), onLost),
      close: () => table.close(),
    },
    options,
  );
}

function addressesOf({ type, table, destination, via, deviceIndex }: KernelRoute): RouteAddresses {
  const own = table === routeTable.local && ['local', 'broadcast'].includes(type);
  const addresses = own
    ? [{ is: 'own', prefix: destination, deviceIndex } as const]
    : via === undefined
      ? []
      : [{ is: 'next-hop', prefix: `${via}/${familyOf(via) === 4 ? 32 : 128}`, deviceIndex } as const];
  // Like the kernel, the fake does not report which route was replaced: any route may have replaced another.
  return { addresses, replaced: true };
}
