// Finds existing subnets and ports that would be refused today, for resync to list.
import { type Cidr, parseCidr } from '@calico-openstack/addresses';
import type { RowsSource } from '../rows.ts';
import { isRouted } from './check.ts';
import { type AddressRules, type SubnetPlace, subnetObstacles, wholeSubnet } from './rules.ts';
import type { LeftOut } from './screen.ts';
import { spanOf } from './span.ts';

export type { LeftOut } from './screen.ts';

/**
 * The subnets and ports that would be refused today. `leftOut` is what the screening of single rows found. Neutron does not record who created a subnet, so where
 * administrators may use reserved prefixes, every subnet is treated as an administrator's. Rejects with the source's errors.
 */
export async function wouldBeRefused(source: RowsSource, rules: AddressRules, leftOut: readonly LeftOut[]): Promise<readonly LeftOut[]> {
  const found: LeftOut[] = [];
  for (const ip_version of [4, 6] as const) {
    const { subnets, networks } = await source.subnets({ ip_version });
    const byId = new Map(networks.map((network) => [network.id, network]));
    const places = subnets.filter(({ network_id }) => isRouted(byId.get(network_id))).map(({ id, cidr, gateway_ip }) => ({ id, cidr, gatewayIp: gateway_ip }));
    found.push(...subnetsRefused(places, rules));
  }
  const told = new Set(found.map(({ kind, id, what }) => `${kind} ${id} ${what}`));
  return [...found, ...leftOut.filter(({ kind, id, what }) => !told.has(`${kind} ${id} ${what}`))];
}

/** The subnets that would be refused, each with the first other one that it overlaps. Overlaps count only if the policy refuses them. */
export function subnetsRefused(places: readonly SubnetPlace[], rules: AddressRules): readonly LeftOut[] {
  const mayShare = rules.policy.reservedPrefixSubnets === 'administrators';
  const met = neighbours(places);
  return places.flatMap((place) => {
    const obstacles = subnetObstacles({ ...place, pools: [] }, wholeSubnet, met.get(place.id) ?? [], rules, mayShare);
    const refused = obstacles.filter(({ kind }) => kind !== 'overlap' || rules.policy.addressOverlaps === 'refuse');
    return refused.map(({ text, which }): LeftOut => ({ kind: 'subnet', id: place.id, what: which === undefined ? text : `${text} (${which})` }));
  });
}

type Sited = { readonly place: SubnetPlace; readonly cidr: Cidr; readonly first: string; readonly last: string };

/** For each subnet, the few others that it may overlap. They are found in sorted order instead of by comparing all pairs: two prefixes are either disjoint or one contains the other. */
function neighbours(places: readonly SubnetPlace[]): ReadonlyMap<string, readonly SubnetPlace[]> {
  const sited = places.flatMap((place): Sited[] => {
    const cidr = parseCidr(place.cidr);
    return cidr ? [{ place, cidr, ...spanOf(cidr) }] : [];
  });
  const met = new Map<string, SubnetPlace[]>();
  const meet = (a: SubnetPlace, b: SubnetPlace): void => void met.set(a.id, [...(met.get(a.id) ?? []), b]);
  let around: Sited[] = [];
  for (const one of sited.sort((a, b) => (a.first === b.first ? (a.last < b.last ? 1 : -1) : a.first < b.first ? -1 : 1))) {
    around = around.filter(({ last }) => last >= one.first);
    const outer = around.at(-1);
    if (outer) {
      meet(one.place, outer.place);
      if (!met.has(outer.place.id)) meet(outer.place, one.place);
    }
    around.push(one);
  }
  for (const { place, cidr } of sited) {
    // Only few gateways lie outside of their own subnet.
    const gateway = place.gatewayIp === undefined ? undefined : parseCidr(place.gatewayIp);
    if (!gateway || parseCidr(`${place.gatewayIp}/${cidr.split('/')[1]}`) === cidr) continue;
    for (const other of sited)
      if (spanOf(gateway).first >= other.first && spanOf(gateway).last <= other.last && other.place !== place) meet(place, other.place);
  }
  return met;
}
