// Removes addresses that nobody may have from rows, so that values that have been in Neutron's database for long, or came there without its API, do not reach etcd. Pure.
import { parseCidr } from '@calico-openstack/addresses';
import { impossibleForHosts } from '@calico-openstack/datamodel';
import type { NotCarriedOut, PortRow, Rows, SubnetRow } from '../rows.ts';
import { type AddressRules, fixedAddressObstacle, gatewayObstacle, type NetworkPlace, pairObstacle, unprotectedPrefixes } from './rules.ts';

/** Something that was removed, and why. */
export type LeftOut = NotCarriedOut;

/** The remaining rows. */
export type Screened = {
  readonly rows: Rows;
  /** By port: the prefixes that a port without port security may use. */
  readonly speaksFor: ReadonlyMap<string, readonly string[]>;
  readonly leftOut: readonly LeftOut[];
};

/** Screens rows by the rules. */
export function screen(rows: Rows, rules: AddressRules): Screened {
  const leftOut: LeftOut[] = [];
  const speaksFor = new Map<string, readonly string[]>();
  const subnets = rows.subnets.flatMap((subnet) => screenSubnet(subnet, rules, leftOut));
  const gateways = new Map(rows.subnets.map((subnet) => [subnet.id, subnet.gateway_ip]));
  const networks = new Map<string, SubnetRow[]>();
  for (const subnet of rows.subnets) networks.set(subnet.network_id, [...(networks.get(subnet.network_id) ?? []), subnet]);
  const ports = rows.ports.map((port) => {
    const network: NetworkPlace = (networks.get(port.network_id) ?? []).map(({ cidr, gateway_ip }) => ({ cidr, gatewayIp: gateway_ip }));
    if (!port.port_security_enabled) {
      const { prefixes, leftOut: without } = unprotectedPrefixes(network, rules);
      speaksFor.set(port.id, prefixes);
      for (const what of without) leftOut.push({ kind: 'port', id: port.id, what: `${what}: the port, without port security, does not speak for it` });
    }
    return screenPort(port, network, gateways, rules, leftOut);
  });
  return { rows: { ...rows, ports, subnets }, speaksFor, leftOut };
}

function screenSubnet(subnet: SubnetRow, rules: AddressRules, leftOut: LeftOut[]): SubnetRow[] {
  const cidr = parseCidr(subnet.cidr);
  const impossible = cidr && impossibleForHosts(cidr);
  if (impossible !== undefined) {
    leftOut.push({ kind: 'subnet', id: subnet.id, what: `the prefix ${cidr} overlaps ${impossible}, which no host can have` });
    return [];
  }
  const obstacle = subnet.gateway_ip === undefined ? undefined : gatewayObstacle(subnet.gateway_ip, rules);
  if (obstacle === undefined) return [subnet];
  leftOut.push({ kind: 'subnet', id: subnet.id, what: obstacle });
  return [{ ...subnet, gateway_ip: undefined }];
}

function screenPort(port: PortRow, network: NetworkPlace, gateways: ReadonlyMap<string, string | undefined>, rules: AddressRules, leftOut: LeftOut[]): PortRow {
  const allowed = (what: string | undefined): boolean => {
    if (what !== undefined) leftOut.push({ kind: 'port', id: port.id, what });
    return what === undefined;
  };
  const fixed = port.fixed_ips.filter(({ ip_address, subnet_id }) =>
    allowed(
      gateways.get(subnet_id) === ip_address
        ? `the address ${ip_address} is its subnet's gateway, which every host has`
        : fixedAddressObstacle(ip_address, rules),
    ),
  );
  const pairs = port.port_security_enabled ? port.allowed_address_pairs.filter((pair) => allowed(pairObstacle(pair.ip_address, network, rules))) : [];
  const same = fixed.length === port.fixed_ips.length && pairs.length === port.allowed_address_pairs.length;
  return same ? port : { ...port, fixed_ips: fixed, allowed_address_pairs: pairs };
}
