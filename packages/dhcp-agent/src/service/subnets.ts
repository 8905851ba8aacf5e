// Finds the subnet to which an address belongs, and the address that the host takes in it.
import { addressOf, cidrContains, familyOf, type IpAddress, type IpFamily, prefixLength } from '@calico-openstack/addresses';
import type { Subnet } from '@calico-openstack/datamodel';
import type { PortFacts } from './service.ts';

/** An address and the subnet that it belongs to. */
export type Placed = { readonly address: IpAddress; readonly subnet: Subnet };

/** The addresses of a family whose subnet is known, in Neutron's order. The subnets of the others have DHCP switched off, or have not been read yet. */
export function placeAddresses(family: IpFamily, addresses: readonly IpAddress[], subnets: readonly Subnet[]): readonly Placed[] {
  return addresses.flatMap((address): Placed[] => {
    if (familyOf(address) !== family) return [];
    // Neutron lets no two subnets of a network overlap. If two did, the narrower one counts.
    const [subnet] = subnets.filter(({ cidr }) => cidrContains(cidr, address)).sort((a, b) => prefixLength(b.cidr) - prefixLength(a.cidr));
    return subnet ? [{ address, subnet }] : [];
  });
}

/** A subnet's first address. No port has it, except in subnets of one or two addresses. */
export const firstAddress = (subnet: Subnet): IpAddress => addressOf(subnet.cidr);

/** The problem to report where the host may not have the subnet's gateway on the tap. Empty when it may, or when there is no gateway. */
export function gatewayProblems({ gatewayIp, cidr }: Subnet, { obstacle }: Pick<PortFacts, 'obstacle'>): readonly string[] {
  const why = gatewayIp === undefined ? undefined : obstacle(gatewayIp);
  return why === undefined ? [] : [`the host does not take ${gatewayIp}, the gateway of ${cidr}, on the tap: it ${why}`];
}

/** The address by which a subnet says that guests get no DNS server (Neutron's convention). */
const none = { 4: '0.0.0.0', 6: '::' } as const;

/** At most this many values of one option are sent: Dnsmasq's lines are limited, and so are DHCP's packets. */
export const mostTold = 16;

/**
 * The DNS servers that guests in the subnet get: the subnet's own, else the agent itself at the addresses that it has on the tap. `isResolver` is true in the latter case.
 * A subnet can also say that its guests get none.
 */
export function dnsServersOf(
  family: IpFamily,
  subnet: Subnet,
  onTap: readonly IpAddress[],
): { readonly servers: readonly IpAddress[]; readonly isResolver: boolean } {
  const own = (subnet.dnsServers ?? []).filter((server) => familyOf(server) === family);
  if (own.some((server) => server === none[family])) return { servers: [], isResolver: false };
  return own.length > 0 ? { servers: own.slice(0, mostTold), isResolver: false } : { servers: onTap, isResolver: onTap.length > 0 };
}
