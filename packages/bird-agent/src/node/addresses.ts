// Which of a host's addresses are its own as a BGP speaker, and which networks it is on. Pure.
import { type Cidr, type IpFamily, parseCidr } from '@calico-openstack/datamodel';
import type { Link, LinkAddress } from '@calico-openstack/kernel/links/link';

/** An interface that is neither a workload's nor the DHCP agent's. */
export type HostInterface = { readonly link: Pick<Link, 'name' | 'index' | 'up'>; readonly addresses: readonly LinkAddress[] };

/** Whether an interface belongs to the host itself: not loopback, a workload's, nor one on which the DHCP agent serves a network. */
export const isHostInterface = (name: string, workloadPrefixes: readonly string[]): boolean =>
  name !== 'lo' && ![...workloadPrefixes, 'ns-'].some((prefix) => name.startsWith(prefix));

const usable = (address: LinkAddress, family: IpFamily): boolean => address.family === family && address.scope === 0 && !address.tentative;

/**
 * The host's address in a family, with the length of its network: the first on the interface of the default route, else the first on the first interface that has one.
 * Without a default route, or when BGP brings it, an operator with several interfaces better names the address.
 */
export function ownAddress(family: IpFamily, interfaces: readonly HostInterface[], defaultInterface: string | undefined): string | undefined {
  const isDefault = ({ link }: HostInterface): boolean => link.name === defaultInterface;
  const inOrder = interfaces.filter(({ link }) => link.up).toSorted((a, b) => Number(isDefault(b)) - Number(isDefault(a)) || a.link.index - b.link.index);
  for (const { addresses } of inOrder) {
    const address = addresses.find((each) => usable(each, family));
    if (address) return `${address.address}/${address.prefixLength}`;
  }
  return undefined;
}

/** All addresses of the host's own, loopback's among them, with the lengths of their networks; in whatever state they are. */
export function heldAddresses(interfaces: readonly HostInterface[]): readonly Cidr[] {
  const held = interfaces.flatMap(({ addresses }) =>
    addresses.filter(({ scope }) => scope === 0).map(({ address, prefixLength }) => `${address}/${prefixLength}` as Cidr),
  );
  return [...new Set(held)].sort();
}

/** The networks that the host can reach without a gateway. */
export function ownNetworks(interfaces: readonly HostInterface[]): readonly Cidr[] {
  const networks = interfaces.flatMap(({ link, addresses }) =>
    addresses
      .filter((address) => link.up && !address.noPrefixRoute && (usable(address, 4) || usable(address, 6)))
      .flatMap(({ address, prefixLength }) => parseCidr(`${address}/${prefixLength}`) ?? []),
  );
  return [...new Set(networks)].sort();
}
