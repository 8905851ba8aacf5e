// Hosts that speak BGP with their own workloads (BGPPeer's `localWorkloadSelector`): the addresses that they have for that on workloads' interfaces, the same on every host.
import { familyOf, hostCidr, type IpAddress, type IpFamily, parseAddress } from '@calico-openstack/addresses';
import { impossibleForHosts } from './possible-addresses.ts';
import type { Reservations } from './reserved-addresses.ts';
import { type Decoded, decoded, decodeResource, refused, show } from './resource.ts';

/** The fields of BGPConfiguration `default` that name them. */
export const workloadPeeringFields = { 4: 'localWorkloadPeeringIPV4', 6: 'localWorkloadPeeringIPV6' } as const satisfies Record<IpFamily, string>;

/**
 * One of those fields' values: an address of its family that a host can have. IPv4 may be link-local (169.254.0.179 is what Calico's manual shows), since no route leads to it; IPv6
 * may not, since a session with a link-local address needs an interface's name at both ends.
 */
export function workloadPeeringAddress(value: unknown, family: IpFamily): Decoded<IpAddress> {
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (!address || familyOf(address) !== family) return refused(`${show(value)} is not an IPv${family} address`);
  const impossible = family === 4 && address.startsWith('169.254.') ? undefined : impossibleForHosts(address);
  return impossible ? refused(`${address} lies in ${impossible}: no host can speak BGP from there`) : decoded(address);
}

/** What no workload may have, since all hosts have it. A value that cannot be read reserves nothing. */
export function reservationsOfBgpConfiguration(name: string, bytes: Uint8Array): Reservations {
  const resource = decodeResource(bytes);
  if (!resource.ok || name !== 'default') return new Map();
  const addresses = ([4, 6] as const).flatMap((family) => {
    const address = workloadPeeringAddress(resource.value.spec[workloadPeeringFields[family]], family);
    return address.ok ? [address.value] : [];
  });
  return new Map(
    addresses.map((address) => [hostCidr(address), { whose: "the hosts' own in BGP sessions with workloads (localWorkloadPeering of BGPConfiguration)" }]),
  );
}
