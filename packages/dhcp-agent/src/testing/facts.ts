// Short constructors of values for tests.
import { type Cidr, type IpAddress, parseAddress, parseCidr } from '@calico-openstack/addresses';
import type { Subnet } from '@calico-openstack/datamodel';
import type { PortFacts } from '../service/service.ts';

export const ip = (text: string): IpAddress => {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`${text} is no address`);
  return address;
};

export const cidr = (text: string): Cidr => {
  const prefix = parseCidr(text);
  if (prefix === undefined) throw new TypeError(`${text} is no prefix`);
  return prefix;
};

/** A subnet from texts: `subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1' })`. */
export function subnet(
  prefix: string,
  {
    gatewayIp,
    dnsServers,
    routes = {},
    ...rest
  }: { readonly gatewayIp?: string; readonly dnsServers?: readonly string[]; readonly routes?: Readonly<Record<string, string>> } & Pick<
    Subnet,
    'ipv6AddressMode' | 'ipv6RaMode'
  > = {},
): Subnet {
  return {
    networkId: 'net-a',
    cidr: cidr(prefix),
    hostRoutes: Object.entries(routes).map(([destination, nexthop]) => ({ destination: cidr(destination), nexthop: ip(nexthop) })),
    ...(gatewayIp !== undefined && { gatewayIp: ip(gatewayIp) }),
    ...(dnsServers !== undefined && { dnsServers: dnsServers.map(ip) }),
    ...rest,
  };
}

export const facts = (some: Partial<Omit<PortFacts, 'addresses'>> & { readonly addresses: readonly string[] }): PortFacts => ({
  tap: 'tap00000001-aa',
  mac: 'fa:16:3e:00:00:01',
  networkId: 'net-a',
  createdMs: 0,
  fqdn: undefined,
  mtuBytes: 1500,
  extraOptions: [],
  subnets: [],
  isTaken: () => false,
  obstacle: () => undefined,
  ...some,
  addresses: some.addresses.map(ip),
});

export const serviceOptions = { domain: 'openstacklocal' };
