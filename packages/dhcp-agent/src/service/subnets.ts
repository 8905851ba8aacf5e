// Which subnet an address belongs to, and which address the host takes in it.
import { addressOf, cidrContains, familyOf, type IpAddress, type IpFamily, prefixLength } from '@calico-openstack/addresses';
import type { Subnet } from '@calico-openstack/datamodel';
import type { ServiceOptions } from '../option-table.ts';
import type { PortFacts } from './service.ts';

export type Placed = { readonly address: IpAddress; readonly subnet: Subnet };

/** The addresses of a family whose subnet is known (in Neutron's order): the others' subnets have DHCP switched off, or are yet to come. */
export function placeAddresses(family: IpFamily, addresses: readonly IpAddress[], subnets: readonly Subnet[]): readonly Placed[] {
  return addresses.flatMap((address): Placed[] => {
    if (familyOf(address) !== family) return [];
    // Neutron lets no two subnets of a network overlap; if they did, the narrower one would be meant.
    const [subnet] = subnets.filter(({ cidr }) => cidrContains(cidr, address)).sort((a, b) => prefixLength(b.cidr) - prefixLength(a.cidr));
    return subnet ? [{ address, subnet }] : [];
  });
}

/** A subnet's first address: no port has it, but in the smallest subnets. */
export const firstAddress = (subnet: Subnet): IpAddress => addressOf(subnet.cidr);

/** What is to be told where the host may not have the subnet's gateway on the tap. */
export function gatewayProblems({ gatewayIp, cidr }: Subnet, { obstacle }: Pick<PortFacts, 'obstacle'>): readonly string[] {
  const why = gatewayIp === undefined ? undefined : obstacle(gatewayIp);
  return why === undefined ? [] : [`the host does not take ${gatewayIp}, the gateway of ${cidr}, on the tap: it ${why}`];
}

/** How a subnet says that guests are to be told of no DNS server (Neutron's own convention). */
const none = { 4: '0.0.0.0', 6: '::' } as const;

/** More of one kind are told to nobody: Dnsmasq's lines are limited, and so are DHCP's packets. */
export const mostTold = 16;

/** The DNS servers that guests in the subnet are told: its own, else the agent's. */
export function dnsServersOf(family: IpFamily, subnet: Subnet, options: ServiceOptions): readonly IpAddress[] {
  const ofFamily = (servers: readonly IpAddress[]): readonly IpAddress[] => servers.filter((server) => familyOf(server) === family);
  const own = ofFamily(subnet.dnsServers ?? []);
  if (own.some((server) => server === none[family])) return [];
  return (own.length > 0 ? own : ofFamily(options.dnsServers)).slice(0, mostTold);
}
