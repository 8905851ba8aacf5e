// The host's own interfaces, addresses and default routes, updated by the kernel's events.
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

/** The present state of the host. */
export interface HostView {
  /** The host's address in a family, as it is found on the interfaces. */
  address(family: IpFamily): FoundAddress;
  /** An address of this host; undefined when the host does not have it. */
  held(address: IpAddress): HeldAddress | undefined;
  networks(): readonly Cidr[];
  /** All addresses as `address/length`, whatever the state of their interfaces. */
  heldAddresses(): readonly Cidr[];
  /** The networks of these addresses. */
  heldNetworks(): readonly InterfaceNetwork[];
  /** Whether the kernel has routes that a BIRD has programmed. */
  hasBirdRoutes(): boolean;
  close(): void;
}

/** The protocols whose default routes count. BGP's are excluded: they follow from the address, and BIRD may have a hundred thousand routes. */
const defaultRouteMakers = [routeProtocol.boot, routeProtocol.static, routeProtocol.dhcp, routeProtocol.routerAdvertisement];

/**
 * Watches the network namespace of this process.
 * @param onChange called when the host's own interfaces or their addresses change; workloads' interfaces are ignored
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

/** Finds the default route with the lowest metric. */
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
