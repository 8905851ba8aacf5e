// What one endpoint or network set adds to the sets whose selectors match its labels.
import { addressOf, type Cidr, type EndpointPort } from '@calico-openstack/datamodel';

/** Each prefix, and each port, once. */
export type Contribution = { readonly nets: readonly Cidr[]; readonly ports: readonly EndpointPort[] };

export function sameContribution(first: Contribution, second: Contribution): boolean {
  return sameList(first.nets, second.nets, (one, other) => one === other) && sameList(first.ports, second.ports, samePort);
}

const samePort = (one: EndpointPort, other: EndpointPort): boolean => one.name === other.name && one.protocol === other.protocol && one.port === other.port;

const sameList = <T>(first: readonly T[], second: readonly T[], same: (one: T, other: T) => boolean): boolean =>
  first === second || (first.length === second.length && first.every((one, index) => same(one, second[index]!)));

/** The endpoints' ports of these names, of one protocol or of any. */
export type NamedPorts = { readonly names: ReadonlySet<string> /** In order. */; readonly protocol?: number };

/** Members of a set of named ports as keys: `address,protocol,port`. An endpoint of a whole prefix has its ports at the prefix's first address. */
export function namedPortKeys({ nets, ports }: Contribution, { names, protocol }: NamedPorts): readonly string[] {
  const keys = new Set<string>();
  for (const port of ports) {
    if (!names.has(port.name) || (protocol !== undefined && port.protocol !== protocol)) continue;
    for (const net of nets) keys.add(`${addressOf(net)},${port.protocol},${port.port}`);
  }
  return [...keys];
}
