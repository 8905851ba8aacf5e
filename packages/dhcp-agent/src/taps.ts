// The host's own addresses on taps. Pure but for the link editor that it is given.

import { familyOf, type IpAddress } from '@calico-openstack/addresses';
import type { LinkAddress, LinkEditor, LinkRefusal, Links } from '@calico-openstack/kernel/links/link';
import { isTapName } from './endpoint.ts';
import type { ServerAddress } from './service/service.ts';

/** RT_SCOPE_LINK: the address answers on the tap, and is never the source of what leaves elsewhere. */
const scopeLink = 253;

/** Whether this agent added the address: nobody else gives taps addresses without a prefix route. */
const isOurs = ({ noPrefixRoute }: LinkAddress): boolean => noPrefixRoute;

/** The names of taps that carry an address of this agent. */
export const tapsInUse = (links: Links): string[] => [...links.links.keys()].filter((name) => isTapName(name) && links.addresses(name).some(isOurs));

/** An address that the kernel refuses to add or to remove, with the reason. */
export type AddressRefusal = LinkRefusal & { readonly tap: string; readonly address: string };

/**
 * Sets the tap's addresses, in their order. A tap that does not exist needs nothing. In mode `add` only reserved addresses are removed.
 * @returns what the kernel refuses; ENODEV is not a refusal: the tap was deleted, and its event is on its way
 */
export function setServerAddresses(
  links: Links & LinkEditor,
  tap: string,
  wanted: readonly ServerAddress[],
  mode: 'replace' | 'add' = 'replace',
  isForbidden: (address: IpAddress) => boolean = () => false,
): readonly AddressRefusal[] {
  if (!links.link(tap)) return [];
  const refusals: AddressRefusal[] = [];
  const attempt = (address: string, refusal: LinkRefusal | undefined, harmless: string): void => {
    if (refusal && refusal.code !== 'ENODEV' && refusal.code !== harmless) refusals.push({ ...refusal, tap, address });
  };
  const have = links.addresses(tap).filter(isOurs);
  for (const { address, prefixLength } of have) {
    const keep = wanted.some((one) => one.address === address && one.prefixLength === prefixLength);
    if (!keep && (mode === 'replace' || isForbidden(address as IpAddress))) attempt(address, links.removeAddress(tap, address, prefixLength), 'EADDRNOTAVAIL');
  }
  let reordered = false;
  for (const { address, prefixLength } of wanted) {
    const there = have.some((one) => one.address === address && one.prefixLength === prefixLength);
    const ipv6 = familyOf(address) === 6;
    // The kernel lists addresses in the order of adding: after a new IPv6 address, the later ones are added again.
    if (there && !(ipv6 && reordered)) continue;
    if (there) attempt(address, links.removeAddress(tap, address, prefixLength), 'EADDRNOTAVAIL');
    attempt(address, links.addAddress(tap, address, prefixLength, { noPrefixRoute: true, noDad: true, ...(ipv6 ? {} : { scope: scopeLink }) }), 'EEXIST');
    if (ipv6) reordered = true;
  }
  return refusals;
}
