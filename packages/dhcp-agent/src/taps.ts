// The host's own addresses on taps. Pure but for the link editor that it is given.

import { familyOf, type IpAddress, parseAddress } from '@calico-openstack/addresses';
import type { LinkAddress, LinkEditor, LinkRefusal, Links } from '@calico-openstack/kernel/links/link';
import { isTapName } from './endpoint.ts';
import type { ServerAddress } from './service/service.ts';

/** RT_SCOPE_LINK: the kernel answers for the address on the tap, and never uses it as source of packets on other interfaces. RT_SCOPE_HOST: nor of packets on the tap. */
const [scopeLink, scopeHost] = [253, 254] as const;

/** The value of IFA_PROTO of this agent's addresses: DHCP's server port. It distinguishes them, on any link, from addresses of other programs and operators. */
const ourProtocol = 67;

/**
 * The address that keeps a tap's routes. When the last IPv4 address of a link is removed, the kernel drops all its IPv4 routes without an event, which would cut the VM off. So this agent's
 * last address is not removed before the tap has this one. No network has it (reserved by RFC 1112 4), and no range of Dnsmasq's covers it, so no guest is served from it.
 */
export const routeKeeper: ServerAddress = { address: parseAddress('240.0.0.67') as IpAddress, prefixLength: 32 };

/** Whether the kernel reports which program added an address. Linux does so since 5.18, and then names itself for the addresses of loopback. */
const namesOwners = (links: Links): boolean => links.addresses('lo').some(({ protocol }) => protocol !== undefined);

/**
 * Whether this agent added the address. An earlier version did not mark its addresses, so an unmarked address of the form that this agent uses counts too. For IPv6 that form is common,
 * so it counts only on kernels that report no programs.
 */
const isOurs = (links: Links, { family, prefixLength, scope, noPrefixRoute, protocol }: LinkAddress): boolean =>
  protocol === undefined
    ? noPrefixRoute && (family === 4 ? prefixLength === 32 && scope >= scopeLink : prefixLength >= 64 && !namesOwners(links))
    : protocol === ourProtocol;

const isRouteKeeper = ({ address, prefixLength }: ServerAddress | LinkAddress): boolean =>
  address === routeKeeper.address && prefixLength === routeKeeper.prefixLength;

/** Whether a link carries an address that this agent added. A link whose name is no tap's may be a renamed tap; on it, only marked addresses count. */
export const carriesOurs = (links: Links, name: string): boolean =>
  links
    .addresses(name)
    .some((address) => !(isTapName(name) && isRouteKeeper(address)) && (isTapName(name) ? isOurs(links, address) : address.protocol === ourProtocol));

/** The names of links that carry an address of this agent. */
export const tapsInUse = (links: Links): string[] => [...links.links.keys()].filter((name) => carriesOurs(links, name));

/** An address that the kernel refuses to add or to remove, with the reason. */
export type AddressRefusal = LinkRefusal & { readonly tap: string; readonly address: string };

/**
 * Sets the tap's addresses: the new ones are added before the stale ones are removed. A tap that does not exist needs nothing. In mode `add` only reserved addresses are removed.
 * @returns what the kernel refuses; ENODEV is not a refusal: the tap was deleted, and its event is on its way
 */
export function setServerAddresses(
  links: Links & LinkEditor,
  tap: string,
  wanted: readonly ServerAddress[],
  mode: 'replace' | 'add' = 'replace',
  isForbidden: (address: IpAddress) => boolean = () => false,
): readonly AddressRefusal[] {
  const index = links.link(tap)?.index;
  if (index === undefined) return [];
  const refusals: AddressRefusal[] = [];
  /** Returns whether the address is as desired: changed now, or by another program before. */
  const attempt = (address: string, refusal: LinkRefusal | undefined, harmless: string): boolean => {
    if (refusal && refusal.code !== 'ENODEV' && refusal.code !== harmless) refusals.push({ ...refusal, tap, address });
    return refusal === undefined || refusal.code === harmless;
  };
  const add = ({ address, prefixLength }: ServerAddress, scope: number): boolean => {
    const scoped = familyOf(address) === 6 ? {} : { scope };
    const added = links.addAddress(tap, address, prefixLength, { noPrefixRoute: true, noDad: true, protocol: ourProtocol, index, ...scoped });
    return attempt(address, added, 'EEXIST');
  };
  const have = links.addresses(tap);
  const isThere = (one: ServerAddress): boolean => have.some(({ address, prefixLength }) => address === one.address && prefixLength === one.prefixLength);
  let hasIpv4 = false;
  for (const one of wanted) if ((isThere(one) || add(one, scopeLink)) && familyOf(one.address) === 4) hasIpv4 = true;

  const isStale = (one: LinkAddress): boolean => {
    if (wanted.some(({ address, prefixLength }) => address === one.address && prefixLength === one.prefixLength)) return false;
    if (isRouteKeeper(one)) return hasIpv4 || !isTapName(tap);
    const isOfEarlier = one.family === 6 && one.noPrefixRoute && one.prefixLength >= 64 && one.protocol === undefined;
    return isForbidden(one.address as IpAddress) ? isOurs(links, one) || isOfEarlier : mode === 'replace' && isOurs(links, one);
  };
  const stale = have.filter(isStale);
  const losesIpv4 = stale.some(({ family }) => family === 4) && !hasIpv4 && !have.some((one) => one.family === 4 && !stale.includes(one));
  // If that address cannot be added, the stale address stays: it does less harm than a tap without routes.
  const keepsRoutes = !losesIpv4 || !isTapName(tap) || add(routeKeeper, scopeHost);
  for (const { family, address, prefixLength } of stale)
    if (family === 6 || keepsRoutes) attempt(address, links.removeAddress(tap, address, prefixLength, { index }), 'EADDRNOTAVAIL');
  return refusals;
}
