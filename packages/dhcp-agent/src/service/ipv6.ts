// DHCPv6 for one port, and the router advertisements that go with it.
import { cidrContains, type IpAddress, parseCidr, prefixLength } from '@calico-openstack/addresses';
import type { Ipv6Mode, Subnet } from '@calico-openstack/datamodel';
import { extraOptions } from './extra-options.ts';
import type { GuestName } from './names.ts';
import type { Ipv6Service, PortFacts, RawOption, Served, ServerAddress } from './service.ts';
import { dnsServersOf, gatewayProblems, mostTold, placeAddresses } from './subnets.ts';

/** Option codes (RFC 3646). */
export const option6 = { dnsServers: 23, domainSearch: 24 } as const;

/** The only length of prefixes from which guests make addresses themselves (RFC 4862 5.5.3, with identifiers of 64 bits). */
const autonomousBits = 64;

/** How a subnet's guests get their addresses. A subnet without a mode is served by DHCPv6, because its addresses are assigned by Neutron. */
const modeOf = ({ ipv6AddressMode, ipv6RaMode }: Subnet): Ipv6Mode => ipv6AddressMode ?? ipv6RaMode ?? 'dhcpv6-stateful';

/**
 * The IPv6 service of a port, for all its addresses whose subnet is known. Addresses in stateful subnets are handed out by DHCPv6. In other subnets the guest makes its address itself from the
 * advertised prefix and its MAC, the way Neutron computed it. There is no service when no subnet is known.
 */
export function serveIpv6(port: PortFacts, guest: GuestName): Served<Ipv6Service> {
  const placed = placeAddresses(6, port.addresses, port.subnets);
  if (placed.length === 0) return { service: undefined, problems: [] };
  const problems = new Set<string>();
  const leases: IpAddress[] = [];
  const autonomous = new Set<Subnet['cidr']>();
  const subnets = new Set<Subnet>();
  const serverAddresses = new Map<IpAddress, ServerAddress>();
  let stateless = false;
  for (const { address, subnet } of placed) {
    const mode = modeOf(subnet);
    const isStateful = mode === 'dhcpv6-stateful' || prefixLength(subnet.cidr) !== autonomousBits;
    if (isStateful && mode !== 'dhcpv6-stateful')
      problems.add(`${address} is handed out by DHCPv6 although ${subnet.cidr} says ${mode}: guests make addresses only in prefixes of ${autonomousBits} bits`);
    if (isStateful && leases.length >= mostTold) {
      problems.add(`${address} gets no DHCPv6: a port has at most ${mostTold} addresses by it`);
      continue;
    }
    if (isStateful) leases.push(address);
    else autonomous.add(subnet.cidr);
    stateless ||= mode === 'dhcpv6-stateless';
    subnets.add(subnet);
    const gateway = gatewayOnTap(address, subnet, port);
    if (gateway !== undefined) serverAddresses.set(gateway, { address: gateway, prefixLength: 128 });
    if (subnet.gatewayIp !== undefined && cidrContains(around(address), subnet.gatewayIp))
      for (const problem of gatewayProblems(subnet, port)) problems.add(problem);
  }
  const dns = [...subnets].map((subnet) => dnsServersOf(6, subnet, [...serverAddresses.keys()]));
  const dnsServers = [...new Set(dns.flatMap(({ servers }) => servers))].slice(0, mostTold);
  const extra = extraOptions(6, port.extraOptions);
  return {
    service: {
      family: 6,
      mac: port.mac,
      addresses: placed.map(({ address }) => address),
      leases,
      autonomous: [...autonomous],
      dhcp: leases.length > 0 ? 'stateful' : stateless ? 'stateless' : 'none',
      serverAddresses: [...serverAddresses.values()],
      mtuBytes: port.mtuBytes,
      dnsServers,
      domain: guest.domain,
      options: extra.options.flatMap(({ code, value }): readonly RawOption[] => (value.kind === 'bytes' ? [{ code, hex: value.hex }] : [])),
    },
    problems: [...problems, ...extra.problems],
    resolvers: dns.some(({ isResolver }) => isResolver) ? [...serverAddresses.keys()] : [],
  };
}

/**
 * The host's addresses on the tap: the gateway, if the host may have it, for guests with a static configuration. Other guests use the tap's link-local address from the advertisements.
 * A gateway outside the address's 64 bits (a link-local one) is never put on the tap.
 */
function gatewayOnTap(address: IpAddress, { gatewayIp }: Subnet, { isTaken, obstacle }: PortFacts): IpAddress | undefined {
  if (gatewayIp === undefined || gatewayIp === address || !cidrContains(around(address), gatewayIp)) return undefined;
  return isTaken(gatewayIp) || obstacle(gatewayIp) !== undefined ? undefined : gatewayIp;
}

const around = (address: IpAddress): Subnet['cidr'] => parseCidr(`${address}/64`) as Subnet['cidr'];
