// What one endpoint or network set contributes to the IP sets whose selectors match its labels.
import { addressOf, type Cidr } from '@calico-openstack/addresses';
import type { EndpointPort } from '@calico-openstack/datamodel';

/** The prefixes and named ports of an endpoint or network set, each once. */
export type Contribution = { readonly nets: readonly Cidr[]; readonly ports: readonly EndpointPort[] };

/** Whether two contributions are equal, in the same order. */
export function sameContribution(first: Contribution, second: Contribution): boolean {
  return sameList(first.nets, second.nets, (one, other) => one === other) && sameList(first.ports, second.ports, samePort);
}

const samePort = (one: EndpointPort, other: EndpointPort): boolean => one.name === other.name && one.protocol === other.protocol && one.port === other.port;

const sameList = <T>(first: readonly T[], second: readonly T[], same: (one: T, other: T) => boolean): boolean =>
  first === second || (first.length === second.length && first.every((one, index) => same(one, second[index]!)));

/** Which ports an IP set of named ports holds. */
export type NamedPorts = {
  /** The ports' names, sorted. */
  readonly names: ReadonlySet<string>;
  /** The ports' protocol; any protocol when absent. */
  readonly protocol?: number;
};

/** The members that a contribution adds to an IP set of named ports, as keys `address,protocol,port`. An endpoint of a whole prefix has its ports at the first address. */
export function namedPortKeys({ nets, ports }: Contribution, { names, protocol }: NamedPorts): readonly string[] {
  const keys = new Set<string>();
  for (const port of ports) {
    if (!names.has(port.name) || (protocol !== undefined && port.protocol !== protocol)) continue;
    for (const net of nets) keys.add(`${addressOf(net)},${port.protocol},${port.port}`);
  }
  return [...keys];
}
