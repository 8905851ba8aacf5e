// Decides before Neutron commits a subnet or a port whether it may have its addresses. After the commit of a subnet, checks that no overlapping one was created at the same time.

import type { Logger } from '@calico-openstack/agent';
import { sameContent } from '@calico-openstack/datamodel';
import { z } from 'zod';
import type { RoutedNetwork, RoutedSubnet, RowsSource } from '../rows.ts';
import type { Announcement } from '../sync/announcement.ts';
import { Refusal } from '../wire/peer.ts';
import type { KnownInfrastructure } from './known-infrastructure.ts';
import {
  type AddressPolicy,
  fixedAddressObstacle,
  type Obstacle,
  pairObstacle,
  type SubnetAsked,
  type SubnetParts,
  subnetObstacles,
  wholeSubnet,
} from './rules.ts';

/** What the checks need: the operator's policy, and the cloud's own addresses. */
export type AddressCheckOptions = { readonly policy: AddressPolicy; readonly infrastructure: KnownInfrastructure; readonly log: Logger };

const subnetFields = z.object({
  id: z.string(),
  network_id: z.string(),
  ip_version: z.union([z.literal(4), z.literal(6)]),
  cidr: z.string(),
  gateway_ip: z.string().nullish(),
  allocation_pools: z.array(z.object({ start: z.string(), end: z.string() })).nullish(),
});
const portFields = z.object({
  network_id: z.string(),
  fixed_ips: z.array(z.object({ ip_address: z.string() })).nullish(),
  allowed_address_pairs: z.array(z.object({ ip_address: z.string() })).nullish(),
});

/**
 * Whether Calico routes a network's addresses: its VMs are on taps (`driver.py` binds no other types), or its addresses are floating IPs.
 * Overlay networks of other mechanism drivers have their own address spaces.
 */
export const isRouted = (network: RoutedNetwork | undefined): boolean =>
  network === undefined || network.external || network.types.length === 0 || network.types.some((type) => type === 'local' || type === 'flat');

const changed = ({ original, current }: Announcement, field: string): boolean =>
  original === null || !sameContent(original[field] ?? null, current?.[field] ?? null);

/** The parts of a subnet that the announcement changes; undefined when it changes none. */
function newParts(announcement: Announcement): SubnetParts | undefined {
  const prefix = changed(announcement, 'cidr');
  const parts = prefix ? wholeSubnet : { prefix, gateway: changed(announcement, 'gateway_ip'), pools: changed(announcement, 'allocation_pools') };
  return parts.prefix || parts.gateway || parts.pools ? parts : undefined;
}

const newPairs = (announcement: Announcement): boolean =>
  Array.isArray(announcement.current?.['allowed_address_pairs']) &&
  announcement.current['allowed_address_pairs'].length > 0 &&
  changed(announcement, 'allowed_address_pairs');

/** The checks for one driver. They refuse by throwing a Refusal. */
export function createAddressChecks({ policy, infrastructure, log }: AddressCheckOptions) {
  function judge(obstacles: readonly Obstacle[], about: object, ending: string): void {
    for (const { kind, text, which } of obstacles) {
      if (kind === 'overlap' && policy.addressOverlaps === 'warn') log.warn({ ...about, which }, `${text}: allowed, because address_overlaps is warn`);
      else log.info({ ...about, which }, `refused: ${text}`);
    }
    const refused = obstacles.filter(({ kind }) => kind !== 'overlap' || policy.addressOverlaps === 'refuse');
    if (refused.length > 0) throw new Refusal('REFUSED', `${refused.map(({ text }) => text).join('; ')}; ${ending}`);
  }

  async function placesOf(subnet: SubnetAsked & { readonly ip_version: 4 | 6 }, source: RowsSource) {
    const { subnets, networks } = await source.subnets({ ip_version: subnet.ip_version });
    const byId = new Map(networks.map((network) => [network.id, network]));
    const own = subnets.find(({ id }) => id === subnet.id);
    const routed = (row: RoutedSubnet): boolean => isRouted(byId.get(row.network_id));
    if (own && !routed(own)) return undefined;
    return subnets.filter((row) => row.id !== subnet.id && routed(row)).map(({ id, cidr, gateway_ip }) => ({ id, cidr, gatewayIp: gateway_ip }));
  }

  function askedSubnet({ current }: Announcement) {
    const fields = subnetFields.parse(current);
    return { ...fields, gatewayIp: fields.gateway_ip ?? undefined, pools: fields.allocation_pools ?? [] };
  }

  async function subnetBefore(announcement: Announcement, parts: SubnetParts, source: RowsSource): Promise<void> {
    const subnet = askedSubnet(announcement);
    const others = await placesOf(subnet, source);
    if (!others) return;
    const mayShare = announcement.admin && policy.reservedPrefixSubnets === 'administrators';
    const obstacles = subnetObstacles(subnet, parts, others, { policy, infrastructure: await infrastructure.fresh() }, mayShare);
    judge(obstacles, { subnet: subnet.id, network: subnet.network_id }, 'in a routed cloud an address is one and the same everywhere: choose another');
  }

  async function portBefore(announcement: Announcement, source: RowsSource): Promise<void> {
    if (!changed(announcement, 'fixed_ips') && !newPairs(announcement)) return;
    const port = portFields.parse(announcement.current);
    const obstacles: string[] = [];
    if (port.fixed_ips && changed(announcement, 'fixed_ips')) {
      const rules = { policy, infrastructure: await infrastructure.recent() };
      obstacles.push(...port.fixed_ips.flatMap(({ ip_address }) => fixedAddressObstacle(ip_address, rules) ?? []));
    }
    if (newPairs(announcement)) {
      const rules = { policy, infrastructure: await infrastructure.fresh() };
      const { subnets, networks } = await source.subnets({ network: port.network_id });
      if (isRouted(networks.find(({ id }) => id === port.network_id))) {
        const places = subnets.map(({ cidr, gateway_ip }) => ({ cidr, gatewayIp: gateway_ip }));
        obstacles.push(...(port.allowed_address_pairs ?? []).flatMap(({ ip_address }) => pairObstacle(ip_address, places, rules) ?? []));
      }
    }
    judge(
      [...new Set(obstacles)].map((text) => ({ kind: 'forbidden', text })),
      { port: announcement.id },
      'choose another',
    );
  }

  return {
    /** Whether `before` has to read from Neutron or etcd. If so, etcd must answer first. */
    asks: (announcement: Announcement): boolean =>
      announcement.current !== null &&
      (announcement.kind === 'subnet' ? newParts(announcement) !== undefined : announcement.kind === 'port' && newPairs(announcement)),

    /** Checks an announcement inside Neutron's transaction. @throws Refusal with the sentence for the API's user */
    async before(announcement: Announcement, source: RowsSource): Promise<void> {
      if (announcement.current === null || announcement.rollback) return;
      if (announcement.kind === 'port') await portBefore(announcement, source);
      const parts = announcement.kind === 'subnet' ? newParts(announcement) : undefined;
      if (parts) await subnetBefore(announcement, parts, source);
    },

    /**
     * Checks a new subnet after its commit, before etcd has it. Two transactions that did not see each other's subnet both pass `before`. The one that now sees the other's subnet
     * gives up, and Neutron removes its subnet. The later commit always sees the earlier one, so they never both stay; both may be removed. @throws Refusal
     */
    async after(announcement: Announcement, source: RowsSource): Promise<void> {
      if (announcement.kind !== 'subnet' || announcement.original !== null || announcement.current === null || policy.addressOverlaps !== 'refuse') return;
      const subnet = askedSubnet(announcement);
      const others = await placesOf(subnet, source);
      if (!others) return;
      const obstacles = subnetObstacles(subnet, wholeSubnet, others, { policy, infrastructure: await infrastructure.recent() }, true);
      const overlaps = obstacles.filter(({ kind }) => kind === 'overlap');
      judge(overlaps, { subnet: subnet.id, network: subnet.network_id }, 'it was made at the same moment: choose another, or try again');
    },
  };
}

/** What `createAddressChecks` returns. */
export type AddressChecks = ReturnType<typeof createAddressChecks>;
