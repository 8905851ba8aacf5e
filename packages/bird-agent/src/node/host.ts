// The host's own interfaces, addresses and default routes, kept current by the kernel's events.
import type { Cidr, IpFamily } from '@calico-openstack/datamodel';
import type { Links } from '@calico-openstack/kernel/links/link';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { openRoutes, type RouteTable } from '@calico-openstack/kernel/routes/netlink';
import { routeProtocol, routeTable } from '@calico-openstack/kernel/routes/route';
import { type HostInterface, heldAddresses, isHostInterface, ownAddress, ownNetworks } from './addresses.ts';

export interface HostView {
  /** The host's address as found on its interfaces, as `address/length`. */
  address(family: IpFamily): string | undefined;
  networks(): readonly Cidr[];
  /** All its addresses, as `address/length`, whatever state their interfaces are in. */
  heldAddresses(): readonly Cidr[];
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
    address: (family) => ownAddress(family, interfaces(), defaultInterface(routes, links, family)),
    networks: () => ownNetworks(interfaces()),
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

function defaultInterface(routes: RouteTable, links: Links, family: IpFamily): string | undefined {
  const defaults = defaultRouteMakers
    .flatMap((protocol) => routes.read({ table: routeTable.main, protocol }))
    .filter((route) => route.family === family && route.destination.endsWith('/0') && route.deviceIndex !== undefined)
    .sort((a, b) => a.metric - b.metric);
  return defaults[0] && links.nameOf(defaults[0].deviceIndex!);
}
