// DHCPv6 for one port, and the router advertisements that go with it.
import { addressOf, type Cidr, cidrContains, type IpAddress, parseAddress, parseCidr } from '@calico-openstack/addresses';
import type { Subnet } from '@calico-openstack/datamodel';
import type { ServiceOptions } from '../option-table.ts';
import type { GuestName } from './names.ts';
import type { DhcpOption, FamilyService, PortFacts, Served, ServerAddress } from './service.ts';
import { dnsServersOf, gatewayProblems, mostTold, placeAddresses } from './subnets.ts';

/** Option codes (RFC 3646). Dnsmasq puts them into router advertisements as well (RFC 8106). */
export const option6 = { dnsServers: 23, domainSearch: 24 } as const;

/** The DHCPv6 service of a port: it hands out all addresses whose subnet is known, by stateful DHCPv6. No service where there is none. */
export function serveIpv6(port: PortFacts, guest: GuestName, options: ServiceOptions): Served<FamilyService> {
  const placed = placeAddresses(6, port.addresses, port.subnets);
  const problems: string[] = [];
  const leases: IpAddress[] = [];
  const subnets = new Set<Subnet>();
  const serverAddresses = new Map<IpAddress, ServerAddress>();
  for (const { address, subnet } of placed) {
    const mode = subnet.ipv6AddressMode ?? 'dhcpv6-stateful';
    // The guest still gets its address: the advertisements tell it to use DHCPv6.
    if (mode !== 'dhcpv6-stateful') problems.push(`${address} is handed out by DHCPv6 although ${subnet.cidr} says ${mode}, which is not served yet`);
    const serverAddress = chooseServerAddress(address, subnet, port);
    // A gateway outside these 64 bits (a link-local one) is never put on the tap.
    if (subnet.gatewayIp !== undefined && cidrContains(prefix64(address), subnet.gatewayIp))
      problems.push(...gatewayProblems(subnet, port).filter((problem) => !problems.includes(problem)));
    if (serverAddress === undefined) {
      problems.push(
        `${address} gets no DHCPv6: the host can take neither the gateway ${subnet.gatewayIp ?? '(none)'} nor ${addressOf(prefix64(address))} on the tap`,
      );
      continue;
    }
    if (leases.length >= mostTold) {
      problems.push(`${address} gets no DHCPv6: a port has at most ${mostTold} addresses by it`);
      continue;
    }
    leases.push(address);
    subnets.add(subnet);
    serverAddresses.set(serverAddress, { address: serverAddress, prefixLength: 64 });
  }
  if (leases.length === 0) return { service: undefined, problems };
  const timer: ServerAddress = { address: timerAddress(port.mac), prefixLength: 64 };
  const timerObstacle = port.obstacle(timer.address);
  if (timerObstacle !== undefined) problems.push(`the tap gets no ${timer.address}, without which advertisements may be late: it ${timerObstacle}`);
  return {
    service: {
      family: 6,
      leases,
      serverAddresses: [...serverAddresses.values(), ...(timerObstacle === undefined ? [timer] : [])],
      options: optionsOf([...subnets], guest, options),
    },
    problems,
  };
}

const prefix64 = (address: IpAddress): Cidr => parseCidr(`${address}/64`) as Cidr;

/**
 * Dnsmasq makes a range of 64 bits around each address of a tap, so some address of the host has to be in the guest's 64 bits: the gateway, or the range's first address
 * (the routers' anycast address, RFC 4291 2.6.1), which no port has.
 */
function chooseServerAddress(address: IpAddress, subnet: Subnet, { isTaken, obstacle }: PortFacts): IpAddress | undefined {
  const range = prefix64(address);
  // A forwarding kernel takes the range's first address (the anycast address) on the tap as well, whichever address of the range is put there.
  if (obstacle(addressOf(range)) !== undefined) return undefined;
  return [subnet.gatewayIp, addressOf(range)].find(
    (candidate): candidate is IpAddress =>
      candidate !== undefined && candidate !== address && cidrContains(range, candidate) && !isTaken(candidate) && obstacle(candidate) === undefined,
  );
}

/**
 * An address in 64 bits that only this tap has. Dnsmasq keeps one timer for all interfaces with one prefix, and would send its advertisements to the first of them alone:
 * the others' default routes would run out. The kernel lists the address that was added last first, and Dnsmasq lets that one have the timer.
 * The advertisements name the prefix as neither on-link nor for autoconfiguration, which makes guests ignore it (RFC 4861 6.3.4, RFC 4862 5.5.3).
 */
export function timerAddress(mac: string): IpAddress {
  const digits = mac.replaceAll(':', '');
  return parseAddress(`fdca:${digits.slice(0, 4)}:${digits.slice(4, 8)}:${digits.slice(8)}::1`) as IpAddress;
}

function optionsOf(subnets: readonly Subnet[], guest: GuestName, options: ServiceOptions): readonly DhcpOption[] {
  const dnsServers = [...new Set(subnets.flatMap((subnet) => dnsServersOf(6, subnet, options)))].slice(0, mostTold);
  return [
    ...(dnsServers.length > 0 ? [{ code: option6.dnsServers, value: { kind: 'addresses', addresses: dnsServers } } as const] : []),
    ...(guest.domain !== undefined ? [{ code: option6.domainSearch, value: { kind: 'name', name: guest.domain } } as const] : []),
  ];
}
