// Which of a host's addresses are its own as a BGP speaker, and which networks it is on. Pure.
import { type Cidr, type IpAddress, type IpFamily, parseCidr } from '@calico-openstack/addresses';
import type { Link, LinkAddress } from '@calico-openstack/kernel/links/link';

/** An interface that is neither a workload's nor the DHCP agent's. */
export type HostInterface = { readonly link: Pick<Link, 'name' | 'index' | 'up' | 'running'>; readonly addresses: readonly LinkAddress[] };

/** Whether an interface belongs to the host itself: not loopback, a workload's, nor one on which the DHCP agent serves a network. */
export const isHostInterface = (name: string, workloadPrefixes: readonly string[]): boolean =>
  name !== 'lo' && ![...workloadPrefixes, 'ns-'].some((prefix) => name.startsWith(prefix));

const usable = (address: LinkAddress, family: IpFamily): boolean => address.family === family && address.scope === 0 && !address.tentative;

/** Where the default route leads: out of one interface, of several that are balanced over, or nowhere (yet): neither. */
export type DefaultWay = { readonly interface: string | undefined; readonly isSeveral: boolean };

export type FoundAddress = {
  /** With the length of its network. */
  readonly address: string | undefined;
  /** There is no default route to go by: another address may turn out to be better. */
  readonly isGuess: boolean;
};

/**
 * The host's address in a family: the first on the interface of the default route, else the first on the first interface that has one. Where the host has several uplinks
 * instead of one interface with a default route, an address on loopback is the one that all of them lead to.
 * @param loopback undefined: not asked for
 */
export function ownAddress(family: IpFamily, interfaces: readonly HostInterface[], defaultWay: DefaultWay, loopback?: HostInterface): FoundAddress {
  const isGuess = defaultWay.interface === undefined && !defaultWay.isSeveral;
  const withAddress = interfaces.filter(({ link, addresses }) => link.up && addresses.some((each) => usable(each, family)));
  const isDefault = ({ link }: HostInterface): boolean => link.name === defaultWay.interface;
  const inOrder = withAddress.toSorted((a, b) => Number(isDefault(b)) - Number(isDefault(a)) || a.link.index - b.link.index);
  const hasSeveralUplinks = defaultWay.isSeveral || (isGuess && interfaces.filter(({ link }) => link.up).length > 1);
  for (const { addresses } of hasSeveralUplinks && loopback ? [loopback, ...inOrder] : inOrder) {
    const address = addresses.find((each) => usable(each, family));
    if (address) return { address: withLength(address), isGuess };
  }
  return { address: undefined, isGuess };
}

const withLength = ({ address, prefixLength }: LinkAddress): string => `${address}/${prefixLength}`;

export type HeldAddress = {
  readonly text: string /** Whether its interface has a carrier: what is down for a moment comes back. */;
  readonly isUp: boolean;
};

/** An address of this host's, wherever it is. */
export function heldAddress(address: IpAddress, interfaces: readonly HostInterface[]): HeldAddress | undefined {
  for (const { link, addresses } of interfaces) {
    const found = addresses.find((each) => each.address === address);
    if (found) return { text: withLength(found), isUp: link.up && link.running };
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

export type InterfaceNetwork = { readonly interface: string; readonly network: Cidr };

/** The networks of all the host's addresses, with the interfaces that they are on; in whatever state these are. */
export function heldNetworks(interfaces: readonly HostInterface[]): readonly InterfaceNetwork[] {
  const networks = interfaces.flatMap(({ link, addresses }) =>
    addresses
      .filter(({ scope }) => scope === 0)
      .flatMap(({ address, prefixLength }) => parseCidr(`${address}/${prefixLength}`) ?? [])
      .map((network) => ({ interface: link.name, network })),
  );
  return networks.sort((a, b) => (`${a.network} ${a.interface}` < `${b.network} ${b.interface}` ? -1 : 1));
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
