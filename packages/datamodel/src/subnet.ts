// A subnet as the driver writes it for the DHCP agents: plain JSON without the envelope of a resource.
import { type Cidr, type IpAddress, parseAddress, parseCidr } from '@calico-openstack/addresses';
import { type Decoded, decoded, decodeJsonObject, isFields, refused, show } from './resource.ts';

/** A route that DHCP announces to guests. */
export type HostRoute = { readonly destination: Cidr; readonly nexthop: IpAddress };

/** Neutron's values of `ipv6_ra_mode` and `ipv6_address_mode`. */
export const ipv6Modes = ['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless'] as const;
/** One of `ipv6Modes`. */
export type Ipv6Mode = (typeof ipv6Modes)[number];

/** What the DHCP agent needs to know of a subnet. */
export type Subnet = {
  readonly networkId: string;
  readonly cidr: Cidr;
  readonly gatewayIp?: IpAddress;
  readonly hostRoutes: readonly HostRoute[];
  /** Absent when the subnet has none: then the agent's own DNS servers are offered. */
  readonly dnsServers?: readonly IpAddress[];
  readonly ipv6RaMode?: Ipv6Mode;
  readonly ipv6AddressMode?: Ipv6Mode;
};

const isMode = (value: unknown): value is Ipv6Mode => (ipv6Modes as readonly unknown[]).includes(value);

/** Decodes a subnet's value, as `encodeSubnet` and upstream's driver write it. */
export function decodeSubnet(bytes: Uint8Array): Decoded<Subnet> {
  const object = decodeJsonObject(bytes);
  if (!object.ok) return object;
  const { network_id, cidr: cidrText, gateway_ip, host_routes = [], dns_servers, ipv6_ra_mode, ipv6_address_mode } = object.value;
  if (typeof network_id !== 'string' || !/^[-0-9A-Za-z]{1,64}$/.test(network_id)) return refused(`network_id ${show(network_id)} is not an id`);
  const cidr = typeof cidrText === 'string' ? parseCidr(cidrText) : undefined;
  if (!cidr) return refused(`cidr ${show(cidrText)} is not a prefix`);
  const gatewayIp = typeof gateway_ip === 'string' && gateway_ip !== '' ? parseAddress(gateway_ip) : undefined;
  if (gateway_ip !== null && gateway_ip !== undefined && gateway_ip !== '' && !gatewayIp) return refused(`gateway_ip ${show(gateway_ip)} is not an address`);
  if (!Array.isArray(host_routes)) return refused('host_routes is not a list');
  const hostRoutes: HostRoute[] = [];
  for (const entry of host_routes as unknown[]) {
    const destination = isFields(entry) && typeof entry['destination'] === 'string' ? parseCidr(entry['destination']) : undefined;
    const nexthop = isFields(entry) && typeof entry['nexthop'] === 'string' ? parseAddress(entry['nexthop']) : undefined;
    if (!destination || !nexthop) return refused(`host_routes holds ${show(entry)}`);
    hostRoutes.push({ destination, nexthop });
  }
  const dnsServers: IpAddress[] = [];
  if (dns_servers !== undefined && dns_servers !== null) {
    if (!Array.isArray(dns_servers)) return refused('dns_servers is not a list');
    for (const entry of dns_servers as unknown[]) {
      const address = typeof entry === 'string' ? parseAddress(entry) : undefined;
      if (!address) return refused(`dns_servers holds ${show(entry)}`);
      dnsServers.push(address);
    }
  }
  return decoded({
    networkId: network_id,
    cidr,
    ...(gatewayIp && { gatewayIp }),
    hostRoutes,
    ...(dnsServers.length > 0 && { dnsServers }),
    ...(isMode(ipv6_ra_mode) && { ipv6RaMode: ipv6_ra_mode }),
    ...(isMode(ipv6_address_mode) && { ipv6AddressMode: ipv6_address_mode }),
  });
}

/** The JSON text of a subnet, with the fields in upstream's order. `dns_servers` is written only when there are some, the IPv6 modes only when both are set. */
export function encodeSubnet(subnet: Subnet): string {
  const { networkId, cidr, gatewayIp, hostRoutes, dnsServers, ipv6RaMode, ipv6AddressMode } = subnet;
  return JSON.stringify({
    network_id: networkId,
    cidr,
    host_routes: hostRoutes,
    gateway_ip: gatewayIp ?? null,
    ...(dnsServers && dnsServers.length > 0 && { dns_servers: dnsServers }),
    ...(ipv6RaMode && ipv6AddressMode && { ipv6_ra_mode: ipv6RaMode, ipv6_address_mode: ipv6AddressMode }),
  });
}
