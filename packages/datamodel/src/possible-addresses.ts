// Which addresses a host on a routed network can have at all, whatever a tenant or a datastore value says.
import { cidrContains, familyOf, hostCidr, isHostCidr, parseCidr } from './addresses.ts';
import type { Cidr, IpAddress } from './desired.ts';

/** What each prefix is reserved for (RFC 6890, RFC 1112, RFC 4291): no packet may be routed to a single host there. */
const impossible: readonly { readonly prefix: Cidr; readonly use: string }[] = (
  [
    ['0.0.0.0/8', 'the unspecified addresses'],
    ['127.0.0.0/8', 'the loopback addresses'],
    ['169.254.0.0/16', 'the link-local addresses'],
    ['224.0.0.0/4', 'the multicast addresses'],
    ['240.0.0.0/4', 'the addresses without a use, broadcast among them'],
    ['::/127', 'the unspecified and the loopback address'],
    ['fe80::/10', 'the link-local addresses'],
    ['ff00::/8', 'the multicast addresses'],
  ] as const
).map(([prefix, use]) => ({ prefix: parseCidr(prefix)!, use }));

/** The prefixes in which no host can have an address: for tables that are looked up elsewhere. */
export const impossiblePrefixes: readonly Cidr[] = impossible.map(({ prefix }) => prefix);

/**
 * Why no host can have `address` (or, of a prefix, some address in it), as a phrase that fits behind "it lies in" and "it overlaps"; undefined when hosts can have all of it.
 * Link-local addresses are valid on a link, and never routed to: a workload needs no permission for its own.
 */
export function impossibleForHosts(address: Cidr | IpAddress): string | undefined {
  const cidr = address.includes('/') ? (address as Cidr) : hostCidr(address as IpAddress);
  if (isHostCidr(cidr) && isPlain(cidr)) return undefined;
  const found = impossible.find(({ prefix }) => cidrContains(prefix, cidr) || cidrContains(cidr, prefix));
  return found && `${found.prefix}, ${found.use}`;
}

/** Tells nearly all single addresses of a cluster apart without looking at the table. */
function isPlain(cidr: Cidr): boolean {
  if (familyOf(cidr) === 6) return /^[23]/.test(cidr);
  const first = Number.parseInt(cidr, 10);
  return first !== 0 && first !== 127 && first !== 169 && first < 224;
}
