// A subnet as the driver writes it for the DHCP agents: plain JSON without the envelope of a resource.
import { type Cidr, familyOf, type IpAddress, type IpFamily, parseAddress, parseCidr } from '@calico-openstack/addresses';
import { type Decoded, decoded, decodeJsonObject, isFields, refused, show } from './resource.ts';

/** A route that DHCP announces to guests. */
export type HostRoute = { readonly destination: Cidr; readonly nexthop: IpAddress };

/** Neutron's values of `ipv6_ra_mode` and `ipv6_address_mode`. */
export const ipv6Modes = ['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless'] as const;
/** One of `ipv6Modes`. */
export type Ipv6Mode = (typeof ipv6Modes)[number];

/** The properties of a subnet that the DHCP agent needs. */
export type Subnet = {
  readonly networkId: string;
  readonly cidr: Cidr;
  readonly gatewayIp?: IpAddress;
  readonly hostRoutes: readonly HostRoute[];
  /** Absent when the subnet has none: then the agent's own DNS servers are offered. */
  readonly dnsServers?: readonly IpAddress[];
  readonly ipv6RaMode?: Ipv6Mode;
  readonly ipv6AddressMode?: Ipv6Mode;
  /** The parts of the value that could not be read and count as absent, as phrases. Absent when all could be read. `encodeSubnet` does not write it. */
  readonly leftOut?: readonly string[];
};

const isMode = (value: unknown): value is Ipv6Mode => (ipv6Modes as readonly unknown[]).includes(value);

/**
 * Decodes a subnet's value, as `encodeSubnet` and upstream's driver write it. Only a subnet without a readable network or prefix is refused. What else cannot be read is left out and named in
 * `leftOut`: one bad entry must not keep the subnet's guests from their leases.
 */
export function decodeSubnet(bytes: Uint8Array): Decoded<Subnet> {
  const object = decodeJsonObject(bytes);
  if (!object.ok) return object;
  const { network_id, cidr: cidrText, gateway_ip, host_routes, dns_servers, ipv6_ra_mode, ipv6_address_mode } = object.value;
  if (typeof network_id !== 'string' || !/^[-0-9A-Za-z]{1,64}$/.test(network_id)) return refused(`network_id ${show(network_id)} is not an id`);
  const cidr = typeof cidrText === 'string' ? parseCidr(cidrText) : undefined;
  if (!cidr) return refused(`cidr ${show(cidrText)} is not a prefix`);
  const leftOut: string[] = [];
  const given = gateway_ip === undefined || gateway_ip === null || gateway_ip === '' ? undefined : gateway_ip;
  const parsed = typeof given === 'string' ? parseAddress(given) : undefined;
  const gatewayIp = parsed !== undefined && familyOf(parsed) === familyOf(cidr) ? parsed : undefined;
  if (given !== undefined && !gatewayIp) leftOut.push(`gateway_ip ${show(given)} is not an IPv${familyOf(cidr)} address`);
  const hostRoutes = readable(host_routes, 'host_routes', leftOut, (entry) => hostRouteOf(entry, familyOf(cidr)));
  const dnsServers = readable(dns_servers, 'dns_servers', leftOut, (entry) => (typeof entry === 'string' ? parseAddress(entry) : undefined));
  return decoded({
    networkId: network_id,
    cidr,
    ...(gatewayIp && { gatewayIp }),
    hostRoutes,
    ...(dnsServers.length > 0 && { dnsServers }),
    ...(isMode(ipv6_ra_mode) && { ipv6RaMode: ipv6_ra_mode }),
    ...(isMode(ipv6_address_mode) && { ipv6AddressMode: ipv6_address_mode }),
    ...(leftOut.length > 0 && { leftOut }),
  });
}

/** The entries of a list that can be read. Absent and null are an empty list. The first bad entries are named, each once; of more only the number is. */
function readable<T>(value: unknown, field: string, leftOut: string[], read: (entry: unknown) => T | undefined): readonly T[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    leftOut.push(`${field} ${show(value)} is not a list`);
    return [];
  }
  const bad: unknown[] = [];
  const good = (value as unknown[]).flatMap((entry): readonly T[] => {
    const one = read(entry);
    if (one !== undefined) return [one];
    bad.push(entry);
    return [];
  });
  for (const entry of bad.slice(0, namedMax)) leftOut.push(`${field} holds ${show(entry)}`);
  if (bad.length > namedMax) leftOut.push(`${field} holds ${bad.length - namedMax} more such entries`);
  return good;
}

const namedMax = 3;

function hostRouteOf(entry: unknown, family: IpFamily): HostRoute | undefined {
  if (!isFields(entry)) return undefined;
  const destination = typeof entry['destination'] === 'string' ? parseCidr(entry['destination']) : undefined;
  const nexthop = typeof entry['nexthop'] === 'string' ? parseAddress(entry['nexthop']) : undefined;
  return destination && nexthop && familyOf(destination) === family && familyOf(nexthop) === family ? { destination, nexthop } : undefined;
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
