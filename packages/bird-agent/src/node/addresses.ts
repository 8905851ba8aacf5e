// Decides which of a host's addresses a BGP speaker uses, and finds the host's networks. Pure.
import { type Cidr, type IpAddress, type IpFamily, parseCidr } from '@calico-openstack/addresses';
import type { Link, LinkAddress } from '@calico-openstack/kernel/links/link';

/** An interface that belongs neither to a workload nor to the DHCP agent. */
export type HostInterface = { readonly link: Pick<Link, 'name' | 'index' | 'up' | 'running'>; readonly addresses: readonly LinkAddress[] };

/** Whether an interface belongs to the host itself: it is not loopback, not a workload's, and none on which the DHCP agent serves a network. */
export const isHostInterface = (name: string, workloadPrefixes: readonly string[]): boolean =>
  name !== 'lo' && ![...workloadPrefixes, 'ns-'].some((prefix) => name.startsWith(prefix));

const usable = (address: LinkAddress, family: IpFamily): boolean => address.family === family && address.scope === 0 && !address.tentative;

/** The interface of the default route; undefined when there is none (yet), or when it is balanced over several (`isSeveral`). */
export type DefaultWay = { readonly interface: string | undefined; readonly isSeveral: boolean };

/** The host's address in a family, as it was found. */
export type FoundAddress = {
  /** The address with its prefix length; undefined when none was found. */
  readonly address: string | undefined;
  /** Whether the address is only a guess without a default route, so that another may turn out to be better. */
  readonly isGuess: boolean;
};

/**
 * Finds the host's address in a family: the first one on the interface of the default route, otherwise the first one on the first interface that has one. On a host with several
 * uplinks instead of one default route, an address on loopback is preferred, because all uplinks lead to it.
 * @param loopback undefined when loopback shall not be considered
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

/** An address of this host. */
export type HeldAddress = {
  readonly text: string;
  /** Whether its interface has a carrier. An address without one may be back in a moment. */
  readonly isUp: boolean;
};

/** Finds an address on any of the host's interfaces. */
export function heldAddress(address: IpAddress, interfaces: readonly HostInterface[]): HeldAddress | undefined {
  for (const { link, addresses } of interfaces) {
    const found = addresses.find((each) => each.address === address);
    if (found) return { text: withLength(found), isUp: link.up && link.running };
  }
  return undefined;
}

/** All addresses of the host, including those on loopback, with their prefix lengths, whatever the state of their interfaces. */
export function heldAddresses(interfaces: readonly HostInterface[]): readonly Cidr[] {
  const held = interfaces.flatMap(({ addresses }) =>
    addresses.filter(({ scope }) => scope === 0).map(({ address, prefixLength }) => `${address}/${prefixLength}` as Cidr),
  );
  return [...new Set(held)].sort();
}

/** A network, and the interface that is on it. */
export type InterfaceNetwork = { readonly interface: string; readonly network: Cidr };

/** The networks of all the host's addresses with their interfaces, whatever their state. */
export function heldNetworks(interfaces: readonly HostInterface[]): readonly InterfaceNetwork[] {
  const networks = interfaces.flatMap(({ link, addresses }) =>
    addresses
      .filter(({ scope }) => scope === 0)
      .flatMap(({ address, prefixLength }) => parseCidr(`${address}/${prefixLength}`) ?? [])
      .map((network) => ({ interface: link.name, network })),
  );
  return networks.sort((a, b) => (`${a.network} ${a.interface}` < `${b.network} ${b.interface}` ? -1 : 1));
}

/** The networks that the host reaches without a gateway. */
export function ownNetworks(interfaces: readonly HostInterface[]): readonly Cidr[] {
  const networks = interfaces.flatMap(({ link, addresses }) =>
    addresses
      .filter((address) => link.up && !address.noPrefixRoute && (usable(address, 4) || usable(address, 6)))
      .flatMap(({ address, prefixLength }) => parseCidr(`${address}/${prefixLength}`) ?? []),
  );
  return [...new Set(networks)].sort();
}
