// The host's own addresses on taps. Pure but for the link editor that it is given.

import { familyOf, type IpAddress, parseAddress } from '@calico-openstack/addresses';
import type { LinkAddress, LinkEditor, LinkRefusal, Links } from '@calico-openstack/kernel/links/link';
import { isTapName } from './endpoint.ts';
import type { ServerAddress } from './service/service.ts';

/** RT_SCOPE_LINK: the address answers on the tap, and is never the source of what leaves elsewhere. RT_SCOPE_HOST: nor is it of what leaves by the tap. */
const [scopeLink, scopeHost] = [253, 254] as const;

/** By this number (IFA_PROTO; DHCP's server port) this agent knows its own addresses from those that other programs and operators add, on whatever link they are found later. */
const ourProtocol = 67;

/**
 * The kernel drops all IPv4 routes of a link with its last IPv4 address, and tells nobody: the VM would be cut off. So the last address of ours is not removed before the tap has this
 * one. No network has it (RFC 1112 4, reserved), and no range of Dnsmasq's covers it, so that nobody is served from it.
 */
export const routeKeeper: ServerAddress = { address: parseAddress('240.0.0.67') as IpAddress, prefixLength: 32 };

/** Kernels before Linux 5.18 do not say who added an address; later ones name themselves for the loopback's. */
const namesOwners = (links: Links): boolean => links.addresses('lo').some(({ protocol }) => protocol !== undefined);

/**
 * Whether this agent added the address. Where no program is named, what this agent adds is known by its form: an earlier version named none. For IPv6 that form is common, and counts
 * on older kernels alone.
 */
const isOurs = (links: Links, { family, prefixLength, scope, noPrefixRoute, protocol }: LinkAddress): boolean =>
  protocol === undefined
    ? noPrefixRoute && (family === 4 ? prefixLength === 32 && scope >= scopeLink : prefixLength >= 64 && !namesOwners(links))
    : protocol === ourProtocol;

const isRouteKeeper = ({ address, prefixLength }: ServerAddress | LinkAddress): boolean =>
  address === routeKeeper.address && prefixLength === routeKeeper.prefixLength;

/** Whether a link, under whatever name, carries an address that this agent added. A link that is no tap any more was renamed: it is known by the program's number alone. */
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
  if (!links.link(tap)) return [];
  const refusals: AddressRefusal[] = [];
  /** Returns whether it was done, by us now or by somebody before. */
  const attempt = (address: string, refusal: LinkRefusal | undefined, harmless: string): boolean => {
    if (refusal && refusal.code !== 'ENODEV' && refusal.code !== harmless) refusals.push({ ...refusal, tap, address });
    return refusal === undefined || refusal.code === harmless;
  };
  const add = ({ address, prefixLength }: ServerAddress, scope: number): boolean => {
    const scoped = familyOf(address) === 6 ? {} : { scope };
    const added = links.addAddress(tap, address, prefixLength, { noPrefixRoute: true, noDad: true, protocol: ourProtocol, ...scoped });
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
  // Without it the stale address stays: a guest that is reached by its former gateway's host is better off than one that is not reached.
  const keepsRoutes = !losesIpv4 || !isTapName(tap) || add(routeKeeper, scopeHost);
  for (const { family, address, prefixLength } of stale)
    if (family === 6 || keepsRoutes) attempt(address, links.removeAddress(tap, address, prefixLength), 'EADDRNOTAVAIL');
  return refusals;
}
