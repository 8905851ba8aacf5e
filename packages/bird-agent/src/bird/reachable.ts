// Which hosts BIRD knows to be there.
import { familyOf, type IpAddress, parseAddress } from '@calico-openstack/addresses';
import type { BirdControl } from './control.ts';
import { countRoutes } from './routes.ts';
import { sessionStatuses } from './sessions.ts';

/** Of these addresses those with which a session stands, and those that are the next hop of a route that BGP has brought, from a route reflector say. */
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
