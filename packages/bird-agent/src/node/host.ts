// The host's own interfaces, addresses and default routes, kept current by the kernel's events.
import type { Cidr, IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { Links } from '@calico-openstack/kernel/links/link';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { openRoutes, type RouteTable } from '@calico-openstack/kernel/routes/netlink';
import { routeProtocol, routeTable } from '@calico-openstack/kernel/routes/route';
import {
  type DefaultWay,
  type FoundAddress,
  type HeldAddress,
  type HostInterface,
  heldAddress,
  heldAddresses,
  heldNetworks,
  type InterfaceNetwork,
  isHostInterface,
  ownAddress,
  ownNetworks,
} from './addresses.ts';

export interface HostView {
  /** The host's address as found on its interfaces. */
  address(family: IpFamily): FoundAddress;
  /** undefined: this host does not have it. */
  held(address: IpAddress): HeldAddress | undefined;
  networks(): readonly Cidr[];
  /** All its addresses, as `address/length`, whatever state their interfaces are in. */
  heldAddresses(): readonly Cidr[];
  /** The networks of those addresses. */
  heldNetworks(): readonly InterfaceNetwork[];
  /** Whether the kernel holds routes that a BIRD has programmed. */
  hasBirdRoutes(): boolean;
  close(): void;
}

/** Who may have made a default route. Those that BGP brings are not asked for: they follow from the address, and there may be a hundred thousand of BIRD's. */
const defaultRouteMakers = [routeProtocol.boot, routeProtocol.static, routeProtocol.dhcp, routeProtocol.routerAdvertisement];

/**
 * Looks at this network namespace.
 * @param onChange called when the host's own interfaces or their addresses have changed; workloads' interfaces come and go unheard
 */
export function openHost(workloadPrefixes: readonly string[], onChange: () => void): HostView {
  const links = openLinks();
  const routes = openRoutes();
  const subscription = links.watch((change) => {
    const concerned = [...change.links, ...change.addresses].some((name) => name === 'lo' || isHostInterface(name, workloadPrefixes));
    if (concerned) onChange();
  });
  const interfaces = (): readonly HostInterface[] => hostInterfaces(links, workloadPrefixes);
  return {
    address: (family) => ownAddress(family, interfaces(), defaultWay(routes, links, family), hostInterface(links, 'lo')[0]),
    held: (address) => heldAddress(address, [...interfaces(), ...hostInterface(links, 'lo')]),
    networks: () => ownNetworks(interfaces()),
    heldNetworks: () => heldNetworks(interfaces()),
    heldAddresses: () => heldAddresses([...interfaces(), ...hostInterface(links, 'lo')]),
    hasBirdRoutes: () => routes.read({ table: routeTable.main, protocol: routeProtocol.bird }).length > 0,
    close() {
      subscription.close();
      links.close();
      routes.close();
    },
  };
}

const hostInterfaces = (links: Links, workloadPrefixes: readonly string[]): readonly HostInterface[] =>
  [...links.links.values()].filter(({ name }) => isHostInterface(name, workloadPrefixes)).map((link) => ({ link, addresses: links.addresses(link.name) }));

function hostInterface(links: Links, name: string): readonly HostInterface[] {
  const link = links.link(name);
  return link ? [{ link, addresses: links.addresses(name) }] : [];
}

/** By the default route with the lowest metric. */
function defaultWay(routes: RouteTable, links: Links, family: IpFamily): DefaultWay {
  const defaults = defaultRouteMakers
    .flatMap((protocol) => routes.read({ table: routeTable.main, protocol }))
    .filter((route) => route.family === family && route.destination.endsWith('/0') && (route.multipath || route.deviceIndex !== undefined))
    .sort((a, b) => a.metric - b.metric);
  const best = defaults.filter(({ metric }) => metric === defaults[0]?.metric);
  const isSeveral = best.some(({ multipath }) => multipath) || new Set(best.map(({ deviceIndex }) => deviceIndex)).size > 1;
  const index = isSeveral ? undefined : best[0]?.deviceIndex;
  return { interface: index === undefined ? undefined : links.nameOf(index), isSeveral };
}
