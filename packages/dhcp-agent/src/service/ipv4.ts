// DHCPv4 for one port.
import {
  addressBytes,
  addressFromBytes,
  type Cidr,
  cidrContains,
  cidrRange,
  familyOf,
  hostCidr,
  type IpAddress,
  prefixLength,
} from '@calico-openstack/addresses';
import type { HostRoute, Subnet } from '@calico-openstack/datamodel';
import { extraOptions } from './extra-options.ts';
import type { GuestName } from './names.ts';
import type { DhcpOption, Ipv4Service, OptionValue, PortFacts, Served } from './service.ts';
import { dnsServersOf, firstAddress, gatewayProblems, placeAddresses } from './subnets.ts';

/** Option codes (RFC 2132, RFC 3442; 249 is the same for older Windows). */
export const option4 = {
  netmask: 1,
  router: 3,
  dnsServers: 6,
  hostname: 12,
  domain: 15,
  mtu: 26,
  broadcast: 28,
  classlessRoutes: 121,
  classlessRoutesOfMicrosoft: 249,
} as const;

/**
 * The ranges on Dnsmasq's command line: all addresses that a host can have, in several prefixes, because a range needs a netmask. Dnsmasq uses a range on a tap that carries an address in
 * it, so no range covers `routeKeeper` (taps.ts). The netmask and broadcast address of a guest's own subnet are options of its port.
 */
export const ipv4Ranges = ['0.0.0.0/1', '128.0.0.0/2', '192.0.0.0/3'] as readonly string[] as readonly Cidr[];

const inOneRange = (a: IpAddress, b: IpAddress): boolean => ipv4Ranges.some((range) => cidrContains(range, a) && cidrContains(range, b));

/**
 * The DHCPv4 service of a port. It hands out one address (DHCPv4 has no more for a client): the first whose subnet is known. There is no service when no subnet is known, or when the host can
 * take no address to serve from.
 */
export function serveIpv4(port: PortFacts, guest: GuestName): Served<Ipv4Service> {
  const [placed] = placeAddresses(4, port.addresses, port.subnets);
  if (!placed) return { service: undefined, problems: [] };
  const { address, subnet } = placed;
  const serverAddress = chooseServerAddress(address, subnet, port);
  const refused = gatewayProblems(subnet, port);
  if (serverAddress === undefined) {
    return {
      service: undefined,
      problems: [
        ...refused,
        `${address} gets no DHCP: the host can take neither the gateway ${subnet.gatewayIp ?? '(none)'} nor the first address of ${subnet.cidr} on the tap`,
      ],
    };
  }
  const { routes, problems } = routesOf(subnet, port.subnets);
  const extra = extraOptions(4, port.extraOptions);
  const dns = dnsServersOf(4, subnet, [serverAddress]);
  const router = subnet.gatewayIp ?? defaultRouteOf(subnet);
  const { last } = cidrRange(subnet.cidr);
  const wide = prefixLength(subnet.cidr) <= 30;
  const options = withExtra(extra.options, [
    { code: option4.netmask, value: { kind: 'addresses', addresses: [netmask(subnet.cidr)] } },
    { code: option4.router, value: addressesOrWithheld(router === undefined ? [] : [router]) },
    { code: option4.dnsServers, value: addressesOrWithheld(dns.servers) },
    { code: option4.hostname, value: { kind: 'name', name: guest.hostname } },
    { code: option4.domain, value: guest.domain === undefined ? withheld : { kind: 'name', name: guest.domain } },
    { code: option4.mtu, value: { kind: 'number16', number: port.mtuBytes } },
    { code: option4.broadcast, value: addressesOrWithheld(wide ? [addressFromBytes(last)] : []) },
    ...routes,
  ]);
  return {
    service: { family: 4, leases: [address], serverAddresses: [{ address: serverAddress, prefixLength: 32 }], options },
    problems: [...refused, ...problems, ...extra.problems],
    resolvers: dns.isResolver ? dns.servers : [],
  };
}

/**
 * Merges the options, the more important ones first: the tenant's replace those of the subnet and the agent. The routes are the first, because a message of 576 bytes has room for 255 bytes in
 * one piece only if they come first; Dnsmasq puts small options into the fields for file and server name. Microsoft's copy of the routes is the last: no client needs both.
 */
function withExtra(extra: readonly DhcpOption[], own: readonly DhcpOption[]): readonly DhcpOption[] {
  const kept = own.filter(({ code }) => !extra.some((one) => one.code === code));
  const [first, last] = [option4.classlessRoutes, option4.classlessRoutesOfMicrosoft].map((code) => kept.filter((one) => one.code === code)) as [
    DhcpOption[],
    DhcpOption[],
  ];
  return [...first, ...kept.filter((one) => !first.includes(one) && !last.includes(one)), ...extra, ...last];
}

/**
 * The host's address on the tap, by which the guest knows its server and renews its lease: the gateway, which is this host in any case. Where there is none (or it is a guest's own,
 * outside the range, or reserved), the subnet's first address, which no port has.
 */
function chooseServerAddress(address: IpAddress, subnet: Subnet, { isTaken, obstacle }: PortFacts): IpAddress | undefined {
  const candidates = [subnet.gatewayIp, prefixLength(subnet.cidr) <= 30 ? firstAddress(subnet) : undefined];
  return candidates.find(
    (candidate): candidate is IpAddress =>
      candidate !== undefined &&
      familyOf(candidate) === 4 &&
      candidate !== address &&
      inOneRange(candidate, address) &&
      !isTaken(candidate) &&
      obstacle(candidate) === undefined,
  );
}

/** The netmask of an IPv4 prefix: `255.255.255.0` for a /24. */
export const netmask = (cidr: Cidr): IpAddress => {
  const { first, last } = cidrRange(cidr);
  return addressFromBytes(first.map((byte, index) => ~(byte ^ (last[index] as number)) & 0xff));
};

const withheld: OptionValue = { kind: 'withheld' };
const addressesOrWithheld = (addresses: readonly IpAddress[]): OptionValue => (addresses.length > 0 ? { kind: 'addresses', addresses } : withheld);

const everywhere = '0.0.0.0/0';
const onLink = '0.0.0.0' as IpAddress;

const defaultRouteOf = (subnet: Subnet): IpAddress | undefined => subnet.hostRoutes.find(({ destination }) => destination === everywhere)?.nexthop;

/** The address at which guests ask for their metadata. */
const metadata = '169.254.169.254/32' as Cidr;

/**
 * The options for the subnet's routes: an on-link route to a gateway outside the subnet, the default route, the subnet's host routes, and on-link routes to sibling subnets. By the last ones
 * a guest without a gateway reaches those subnets, and it gets an on-link route to the metadata's address too. The host answers for all of these (proxy ARP). A client that gets these options
 * ignores the router option (RFC 3442), so the default route is among them. There are no options when the default route is the only one.
 */
function routesOf(subnet: Subnet, siblings: readonly Subnet[]): { readonly routes: readonly DhcpOption[]; readonly problems: readonly string[] } {
  const own = subnet.hostRoutes.filter(({ destination, nexthop }) => familyOf(destination) === 4 && familyOf(nexthop) === 4 && destination !== everywhere);
  const others = siblings
    .filter(({ cidr }) => familyOf(cidr) === 4 && cidr !== subnet.cidr)
    .map(({ cidr }): HostRoute => ({ destination: cidr, nexthop: onLink }))
    .sort((a, b) => (a.destination < b.destination ? -1 : 1));
  const router = subnet.gatewayIp ?? defaultRouteOf(subnet);
  const toMetadata = router === undefined && !own.some(({ destination }) => destination === metadata) ? [{ destination: metadata, nexthop: onLink }] : [];
  const toRouter = router !== undefined && !cidrContains(subnet.cidr, router) ? [{ destination: hostCidr(router), nexthop: onLink }] : [];
  const all: HostRoute[] = [
    ...toRouter,
    ...(router === undefined ? [] : [{ destination: everywhere as Cidr, nexthop: router }]),
    ...toMetadata,
    ...own,
    ...others,
  ];
  if (toRouter.length + toMetadata.length + own.length + others.length === 0) return { routes: [], problems: [] };
  const fitting: HostRoute[] = [];
  let [bytes, characters] = [0, 0];
  for (const route of all) {
    bytes += routeBytes(route);
    characters += route.destination.length + route.nexthop.length + 2;
    if (bytes <= longestOption && characters <= longestList) fitting.push(route);
  }
  const value: OptionValue = { kind: 'routes', routes: fitting };
  return {
    routes: [
      { code: option4.classlessRoutes, value },
      { code: option4.classlessRoutesOfMicrosoft, value },
    ],
    problems:
      fitting.length < all.length
        ? [
            `${all.length - fitting.length} of ${all.length} routes of ${subnet.cidr} are not told to guests, since a DHCP option holds ${longestOption} bytes: ${all
              .filter((route) => !fitting.includes(route))
              .slice(0, namedMax)
              .map(({ destination, nexthop }) => `${destination} by ${nexthop}`)
              .join(', ')}${all.length - fitting.length > namedMax ? ' …' : ''}`,
          ]
        : [],
  };
}

const longestOption = 255;
/** The greatest number of routes that are named of those that are left out. */
const namedMax = 5;
/** The greatest number of characters of routes in one line for Dnsmasq. The line contains the tag as well (dnsmasq/files.ts). */
const longestList = 950;
/** The length of a route in the option, in bytes (RFC 3442): the prefix length, the bytes of the destination that it covers, the next hop. */
const routeBytes = ({ destination, nexthop }: HostRoute): number => 1 + Math.ceil(prefixLength(destination) / 8) + addressBytes(nexthop).length;
