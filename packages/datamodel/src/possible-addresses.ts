// Which addresses a host on a routed network can have at all, independent of tenants and datastore.
import { type Cidr, cidrContains, familyOf, hostCidr, type IpAddress, isHostCidr, parseCidr } from '@calico-openstack/addresses';

/** Prefixes whose addresses are never routed to a single host, and what they are reserved for (RFC 6890, RFC 1112, RFC 4291). */
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

/** The prefixes in which no host can have an address. */
export const impossiblePrefixes: readonly Cidr[] = impossible.map(({ prefix }) => prefix);

/**
 * Why no host can have `address` (for a prefix: some address in it), as a phrase that follows "it lies in" or "it overlaps"; undefined when hosts can have all of it.
 * Link-local addresses are in the list because they are valid on one link only and never routed. A workload needs no permission for its own.
 */
export function impossibleForHosts(address: Cidr | IpAddress): string | undefined {
  const cidr = address.includes('/') ? (address as Cidr) : hostCidr(address as IpAddress);
  if (isHostCidr(cidr) && isPlain(cidr)) return undefined;
  const found = impossible.find(({ prefix }) => cidrContains(prefix, cidr) || cidrContains(cidr, prefix));
  return found && `${found.prefix}, ${found.use}`;
}

/** A quick test that clears nearly all single addresses of a cluster without a look at the table. */
function isPlain(cidr: Cidr): boolean {
  if (familyOf(cidr) === 6) return !/^(?::|f[ef])/.test(cidr);
  const first = Number.parseInt(cidr, 10);
  return first !== 0 && first !== 127 && first !== 169 && first < 224;
}
