// Restores the link-local address of a workload's interface when another program has removed it. Without it the host answers no neighbour solicitation there, so that the workload has no IPv6.
import { familyOf, linkLocalOf } from '@calico-openstack/addresses';
import type { Link, LinkEditor, Links } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';

/** The parts of the kernel's links that this needs. */
export type LinkLocalLinks = Pick<Links, 'addresses'> & Pick<LinkEditor, 'addAddress'>;

const prefixLength = 64;
/** Refusals that need no retry: the link is gone, or the kernel has added the address meanwhile. The event that says so will arrive. */
const harmless = ['ENODEV', 'EEXIST'];

/**
 * Adds the link-local address that follows from the interface's MAC (RFC 4291, appendix A), as the kernel does when a link comes up, if the interface runs, its workload has IPv6
 * and there is no link-local address.
 * @returns the reason for people if the kernel refuses the address
 */
export function restoreLinkLocal(
  links: LinkLocalLinks,
  { interfaceName: name, routes }: Pick<WorkloadDevice, 'interfaceName' | 'routes'>,
  link: Pick<Link, 'running' | 'mac'> | undefined,
  ipv6: boolean,
): string | undefined {
  if (!ipv6 || !link?.running || link.mac === undefined || !routes.some((cidr) => familyOf(cidr) === 6)) return undefined;
  if (links.addresses(name).some(({ address }) => address.startsWith('fe80:'))) return undefined;
  const refusal = links.addAddress(name, linkLocalOf(link.mac), prefixLength, { noDad: true });
  return refusal && !harmless.includes(refusal.code)
    ? `the kernel refuses a link-local address on ${name}, so that the workload has no IPv6: ${refusal.code}`
    : undefined;
}
