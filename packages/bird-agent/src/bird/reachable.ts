// Finds out which hosts BIRD can reach.
import { familyOf, type IpAddress, parseAddress } from '@calico-openstack/addresses';
import type { BirdControl } from './control.ts';
import { countRoutes } from './routes.ts';
import { sessionStatuses } from './sessions.ts';

/** Returns those of the addresses with which a session is established, and those that are the next hop of a BGP route, for example one from a route reflector. Rejects with BirdError. */
export async function reachableOf(control: BirdControl, addresses: readonly IpAddress[]): Promise<ReadonlySet<IpAddress>> {
  const standing = (await sessionStatuses(control)).filter(({ state }) => state === 'Established');
  const connected = new Set(standing.flatMap(({ neighbor }) => parseAddress(neighbor) ?? []));
  const reachable = new Set<IpAddress>();
  for (const address of addresses) {
    const isNextHop = async (): Promise<boolean> =>
      (await countRoutes(control, familyOf(address), { where: `source = RTS_BGP && bgp_next_hop = ${address}` })) > 0;
    if (connected.has(address) || (await isNextHop())) reachable.add(address);
  }
  return reachable;
}
