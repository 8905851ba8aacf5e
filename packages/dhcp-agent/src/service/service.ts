// What DHCP is to do for one port, in the RFCs' terms: which addresses it hands out, with which options, and which addresses of its own it needs on the tap for that.
import type { IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { HostRoute, Subnet } from '@calico-openstack/datamodel';

/** Everything that decides how a port is served. */
export type PortFacts = {
  readonly tap: string;
  readonly mac: string;
  /** Its addresses without the allowed address pairs, in Neutron's order. */
  readonly addresses: readonly IpAddress[];
  /** Whatever the tenant made it. */
  readonly fqdn: string | undefined;
  readonly mtuBytes: number;
  /** Those of the port's network that have DHCP enabled. */
  readonly subnets: readonly Subnet[];
  /** Whether a port of this host has the address as a fixed one: the host does not claim it then. An allowed address pair does not count: it yields to the subnet's gateway. */
  readonly isTaken: (address: IpAddress) => boolean;
  /** Why nobody may have the address on a tap, the host for its DHCP neither, whatever etcd says: a phrase behind "it". undefined: it may be had. */
  readonly obstacle: (address: IpAddress) => string | undefined;
};

/** An option's value by its kind. `withheld`: none is sent, not even the one that Dnsmasq would put in by itself. */
export type OptionValue =
  | { readonly kind: 'addresses'; readonly addresses: readonly IpAddress[] }
  | { readonly kind: 'number16'; readonly number: number }
  /** A hostname or domain by DNS rules (names.ts), nothing else. */
  | { readonly kind: 'name'; readonly name: string }
  /** RFC 3442. */
  | { readonly kind: 'routes'; readonly routes: readonly HostRoute[] }
  | { readonly kind: 'withheld' };

export type DhcpOption = { readonly code: number; readonly value: OptionValue };

/** An address that the host takes on the tap. */
export type ServerAddress = { readonly address: IpAddress; readonly prefixLength: number };

/** One family's DHCP for one port. */
export type FamilyService = {
  readonly family: IpFamily;
  /** Handed out to the port's MAC, and to nobody else. Never empty. */
  readonly leases: readonly IpAddress[];
  /** In the order in which they are to be added. */
  readonly serverAddresses: readonly ServerAddress[];
  readonly options: readonly DhcpOption[];
};

export type PortService = {
  readonly tap: string;
  readonly mac: string;
  readonly ipv4: FamilyService | undefined;
  readonly ipv6: FamilyService | undefined;
};

/** A service, and what of it could not be as wanted: sentences for the log. */
export type Served<T> = { readonly service: T | undefined; readonly problems: readonly string[] };

export const servicesOf = (port: PortService): readonly FamilyService[] => [port.ipv4, port.ipv6].filter((service) => service !== undefined);
