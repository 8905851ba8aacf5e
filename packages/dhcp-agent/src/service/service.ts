// The DHCP service of one port in the RFCs' terms: which addresses it hands out, with which options, and which addresses of its own the host needs on the tap for that.
import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import type { ExtraDhcpOption, HostRoute, Subnet } from '@calico-openstack/datamodel';

/** Everything that decides how a port is served. */
export type PortFacts = {
  readonly tap: string;
  readonly mac: string;
  readonly networkId: string;
  /** When the port was created, in milliseconds since 1970. */
  readonly createdMs: number;
  /** The port's fixed addresses without the allowed address pairs, in Neutron's order. */
  readonly addresses: readonly IpAddress[];
  /** The port's name with its domain, chosen by the tenant: any text. */
  readonly fqdn: string | undefined;
  readonly mtuBytes: number;
  /** The options that the tenant gave the port; their values are any text. */
  readonly extraOptions: readonly ExtraDhcpOption[];
  /** The subnets of the port's network that have DHCP enabled. */
  readonly subnets: readonly Subnet[];
  /** Whether a port of this host has the address as a fixed one. The host does not take such an address. An allowed address pair does not count: it yields to the subnet's gateway. */
  readonly isTaken: (address: IpAddress) => boolean;
  /** Why nobody may have the address on a tap, not even the host for its DHCP: a phrase that continues "it". undefined when the address is allowed. */
  readonly obstacle: (address: IpAddress) => string | undefined;
};

/** An option's value by its kind. `withheld` means that the option is not sent, not even with the value that Dnsmasq would add by itself. */
export type OptionValue =
  | { readonly kind: 'addresses'; readonly addresses: readonly IpAddress[] }
  | { readonly kind: 'number8' | 'number16' | 'number32'; readonly number: number }
  /** Printable ASCII without quotes and backslashes. */
  | { readonly kind: 'text'; readonly text: string }
  /** Bytes as the option holds them, in hexadecimal digits; at least one. */
  | { readonly kind: 'bytes'; readonly hex: string }
  /** A hostname or domain by DNS rules (names.ts), nothing else. */
  | { readonly kind: 'name'; readonly name: string }
  /** Classless static routes (RFC 3442). */
  | { readonly kind: 'routes'; readonly routes: readonly HostRoute[] }
  | { readonly kind: 'withheld' };

/** A DHCP option: its code (of the family's own option space) and its value. */
export type DhcpOption = { readonly code: number; readonly value: OptionValue };

/** An address that the host takes on the tap. `prefixLength` in bits. */
export type ServerAddress = { readonly address: IpAddress; readonly prefixLength: number };

/** DHCPv4 for one port. */
export type Ipv4Service = {
  readonly family: 4;
  /** Handed out to the port's MAC, and to nobody else. Never empty. */
  readonly leases: readonly IpAddress[];
  /** The host's addresses on the tap, in the order in which they are to be added. */
  readonly serverAddresses: readonly ServerAddress[];
  /** The more important ones first: a message that has no room for all of them has those. */
  readonly options: readonly DhcpOption[];
};

/** A DHCPv6 option as its bytes, in hexadecimal digits. */
export type RawOption = { readonly code: number; readonly hex: string };

/** Router advertisements and DHCPv6 for one port. */
export type Ipv6Service = {
  readonly family: 6;
  readonly mac: string;
  /** The port's addresses whose subnet is known, however the guest gets them. */
  readonly addresses: readonly IpAddress[];
  /** The addresses that DHCPv6 hands out to the port's guest. Empty when the guest makes its addresses itself. */
  readonly leases: readonly IpAddress[];
  /** The prefixes from which the guest makes addresses itself (SLAAC). */
  readonly autonomous: readonly Cidr[];
  /** What the guest requests by DHCPv6: nothing, options, or addresses and options. */
  readonly dhcp: 'none' | 'stateless' | 'stateful';
  /** The host's addresses on the tap. */
  readonly serverAddresses: readonly ServerAddress[];
  readonly mtuBytes: number;
  readonly dnsServers: readonly IpAddress[];
  readonly domain: string | undefined;
  /** Further options, each code once; they replace those that follow from the fields above. */
  readonly options: readonly RawOption[];
};

/** The name of one port in its network's DNS, and the name servers of its guest. */
export type DnsService = {
  readonly family: 'dns';
  readonly networkId: string;
  readonly hostname: string;
  readonly domain: string | undefined;
  /** The port's addresses: its name resolves to them, and its guest's queries come from them. */
  readonly addresses: readonly IpAddress[];
  /** The host's addresses on the tap that the guest gets as name servers. Empty when its subnets have name servers of their own, or have none on purpose. */
  readonly resolvers: readonly IpAddress[];
  readonly createdMs: number;
};

/** One family's service. DNS counts as a family of its own. */
export type FamilyService = Ipv4Service | Ipv6Service | DnsService;

/** The DHCP service of one port. A family is undefined where the port is not served in it. */
export type PortService = {
  readonly tap: string;
  readonly mac: string;
  readonly ipv4: Ipv4Service | undefined;
  readonly ipv6: Ipv6Service | undefined;
  readonly dns: DnsService;
};

/** A service, and the problems with it: sentences for the log. `service` is undefined where nothing can be served. */
export type Served<T> = {
  readonly service: T | undefined;
  readonly problems: readonly string[];
  /** `DnsService.resolvers`, as far as this family has some. */
  readonly resolvers?: readonly IpAddress[];
};

/** The port's services of the families in which it is served, IPv4 first. */
export const servicesOf = (port: PortService): readonly FamilyService[] => [port.ipv4, port.ipv6, port.dns].filter((service) => service !== undefined);
