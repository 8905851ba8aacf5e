// The host's own addresses on taps. Pure but for the editor that it is handed.

import { familyOf, type IpAddress } from '@calico-openstack/addresses';
import type { LinkAddress, LinkEditor, LinkRefusal, Links } from '@calico-openstack/kernel/links/link';
import { isTapName } from './endpoint.ts';
import type { ServerAddress } from './service/service.ts';

/** RT_SCOPE_LINK: the address answers on the tap, and is never the source of what leaves elsewhere. */
const scopeLink = 253;

/** An address that this agent put there: nobody else gives taps addresses that the kernel keeps no route for. */
const isOurs = ({ noPrefixRoute }: LinkAddress): boolean => noPrefixRoute;

/** Taps that carry an address of this agent. */
export const tapsInUse = (links: Links): string[] => [...links.links.keys()].filter((name) => isTapName(name) && links.addresses(name).some(isOurs));

export type AddressRefusal = LinkRefusal & { readonly tap: string; readonly address: string };

/**
 * Makes the tap's addresses what they are to be, in their order. A tap that is not there needs nothing. `add`: nothing is taken away but what nobody may have there.
 * What the kernel refuses comes back; ENODEV is not a refusal: the tap has gone, and its event is on its way.
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
    // The order is the order of adding: behind a new IPv6 address, the others are added anew.
    if (there && !(ipv6 && reordered)) continue;
    if (there) attempt(address, links.removeAddress(tap, address, prefixLength), 'EADDRNOTAVAIL');
    attempt(address, links.addAddress(tap, address, prefixLength, { noPrefixRoute: true, noDad: true, ...(ipv6 ? {} : { scope: scopeLink }) }), 'EEXIST');
    if (ipv6) reordered = true;
  }
  return refusals;
}
