// Translates a subnet to the value that the DHCP agents read.
import { type IpAddress, parseAddress, parseCidr } from '@calico-openstack/addresses';
import { type Decoded, decoded, encodeSubnet, type Ipv6Mode, ipv6Modes, refused } from '@calico-openstack/datamodel';
import type { SubnetRow } from '../rows.ts';

const mode = (text: string | undefined): Ipv6Mode | undefined => ipv6Modes.find((known) => known === text);

/** The value. It is undefined when DHCP is off, so that the agents do not learn of the subnet. A subnet that cannot be expressed is refused with the reason. */
export function subnetContent(subnet: SubnetRow): Decoded<string | undefined> {
  if (!subnet.enable_dhcp) return decoded(undefined);
  const cidr = parseCidr(subnet.cidr);
  if (!cidr) return refused(`cidr ${JSON.stringify(subnet.cidr)} is not a prefix`);
  const gatewayIp = subnet.gateway_ip === undefined ? undefined : parseAddress(subnet.gateway_ip);
  const hostRoutes = subnet.host_routes.flatMap((route) => {
    const [destination, nexthop] = [parseCidr(route.destination), parseAddress(route.nexthop)];
    return destination && nexthop ? [{ destination, nexthop }] : [];
  });
  const dnsServers = subnet.dns_nameservers.map(parseAddress).filter((address): address is IpAddress => address !== undefined);
  const [ipv6RaMode, ipv6AddressMode] = [mode(subnet.ipv6_ra_mode), mode(subnet.ipv6_address_mode)];
  return decoded(
    encodeSubnet({
      networkId: subnet.network_id,
      cidr,
      ...(gatewayIp && { gatewayIp }),
      hostRoutes,
      ...(dnsServers.length > 0 && { dnsServers }),
      ...(ipv6RaMode && ipv6AddressMode && { ipv6RaMode, ipv6AddressMode }),
    }),
  );
}
