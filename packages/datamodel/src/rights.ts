// What each part may do in etcd, and needs to: the least rights. For whoever makes users and roles, and for the tests that hold the parts to them.
import {
  compactionLastKey,
  compactionTriggerKey,
  electionKey,
  felixStatusRoot,
  hostEndpointStatusPrefix,
  hostEndpointsPrefix,
  legacyElectionKey,
  resourceKey,
  resourcePrefix,
  resourceRoot,
  subnetPrefix,
} from './keys.ts';
import { openstackNamespace, workloadEndpointNamePrefix } from './names.ts';

/** As etcd's roles have it: read or write one key, or all keys with a prefix. */
export type Right = { readonly access: 'read' | 'write' | 'readwrite' } & ({ readonly key: string } | { readonly prefix: string });

/** The kinds that the BIRD agent follows, each apart from the others. */
export const bgpPlurals = ['nodes', 'bgpconfigurations', 'bgppeers', 'bgpfilters', 'ippools', 'livemigrations'] as const;

/** Felix of a host reads everything of policy, and writes what it tells of this host alone. */
export const felixRights = (region: string | undefined, host: string): readonly Right[] => [
  { access: 'read', prefix: resourceRoot },
  { access: 'readwrite', prefix: `${felixStatusRoot(region)}${host}/` },
  { access: 'readwrite', prefix: hostEndpointStatusPrefix(host) },
];

/** The DHCP agent of a host reads this host's endpoints and the region's subnets, and writes nothing. */
export const dhcpAgentRights = (region: string | undefined, host: string): readonly Right[] => [
  { access: 'read', prefix: hostEndpointsPrefix(region, workloadEndpointNamePrefix(host)) },
  { access: 'read', prefix: subnetPrefix(region) },
];

/** The BIRD agent of a host reads what bears on BGP, and the endpoints that leave this host; it writes its own host's Node. */
export const birdAgentRights = (region: string | undefined, host: string): readonly Right[] => [
  ...bgpPlurals.map((plural): Right => ({ access: 'read', prefix: resourcePrefix(plural) })),
  { access: 'read', prefix: hostEndpointsPrefix(region, workloadEndpointNamePrefix(host)) },
  { access: 'readwrite', key: resourceKey({ plural: 'nodes', name: host }) },
];

/** What the BIRD agents need besides that are to remove the Nodes of hosts that are gone (`RemoveHostsGoneDays`): few, and none where strangers' workloads run. */
export const hostRemovalRights = (region: string | undefined): readonly Right[] => [
  { access: 'readwrite', prefix: resourcePrefix('nodes') },
  { access: 'read', prefix: felixStatusRoot(region) },
];

/** Neutron's driver of a region writes what Neutron has, reads what the Felixes tell and what else may have addresses. */
export function neutronDriverRights(region: string | undefined): readonly Right[] {
  const namespace = openstackNamespace(region);
  return [
    { access: 'read', prefix: resourceRoot },
    ...(['workloadendpoints', 'networkpolicies', 'networksets', 'livemigrations'] as const).map(
      (plural): Right => ({ access: 'readwrite', prefix: resourcePrefix(plural, namespace) }),
    ),
    ...(['clusterinformations', 'felixconfigurations'] as const).map(
      (plural): Right => ({ access: 'readwrite', key: resourceKey({ plural, name: 'default' }) }),
    ),
    { access: 'readwrite', prefix: subnetPrefix(region) },
    { access: 'read', prefix: felixStatusRoot(region) },
    // An election's keys are watched, which etcd grants for ranges alone.
    ...[electionKey(region), legacyElectionKey].map((key): Right => ({ access: 'readwrite', prefix: key })),
    ...[compactionTriggerKey, compactionLastKey].map((key): Right => ({ access: 'readwrite', key })),
  ];
}
