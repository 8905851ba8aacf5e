// The rights in etcd that each part needs, and no more. For operators who create users and roles, and for the tests that run each part with these rights only.
import {
  agentStatusKey,
  agentStatusRoot,
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

/** A permission of an etcd role: to read or write one key, or all keys with a prefix. */
export type Right = { readonly access: 'read' | 'write' | 'readwrite' } & ({ readonly key: string } | { readonly prefix: string });

/** The parts that have a user each in etcd: one a host, and one a region for Neutron's driver. */
export const etcdParts = ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'calico-neutron-driver'] as const;
/** One of `etcdParts`. */
export type EtcdPart = (typeof etcdParts)[number];

/**
 * The name of a part's user in etcd, and of the role that it has; where etcd knows its clients by certificates, their common name.
 * @param where the host; for Neutron's driver the region, where there is one
 */
export const etcdUserName = (part: EtcdPart, where: string | undefined): string => (where ? `${part}.${where}` : part);

/** The kinds that the BIRD agent follows, each with a watch of its own. */
export const bgpPlurals = ['nodes', 'bgpconfigurations', 'bgppeers', 'bgpfilters', 'ippools', 'livemigrations'] as const;

/** The rights of a host's Felix: it reads all resources, and writes the status of its own host. */
export const felixRights = (region: string | undefined, host: string): readonly Right[] => [
  { access: 'read', prefix: resourceRoot },
  { access: 'readwrite', prefix: `${felixStatusRoot(region)}${host}/` },
  { access: 'readwrite', prefix: hostEndpointStatusPrefix(host) },
];

/** The rights of a host's DHCP agent: it reads its own host's endpoints and the region's subnets, and writes its heartbeat. */
export const dhcpAgentRights = (region: string | undefined, host: string): readonly Right[] => [
  { access: 'read', prefix: hostEndpointsPrefix(region, workloadEndpointNamePrefix(host)) },
  { access: 'read', prefix: subnetPrefix(region) },
  { access: 'write', key: agentStatusKey(region, host, 'calico-dhcp-agent') },
];

/** The rights of a host's BIRD agent: it reads the kinds that concern BGP and its own host's endpoints, and writes its own host's Node and its heartbeat. */
export const birdAgentRights = (region: string | undefined, host: string): readonly Right[] => [
  ...bgpPlurals.map((plural): Right => ({ access: 'read', prefix: resourcePrefix(plural) })),
  { access: 'read', prefix: hostEndpointsPrefix(region, workloadEndpointNamePrefix(host)) },
  { access: 'readwrite', key: resourceKey({ plural: 'nodes', name: host }) },
  { access: 'write', key: agentStatusKey(region, host, 'calico-bird-agent') },
];

/** Additional rights of the few BIRD agents that remove the Nodes of vanished hosts (`RemoveHostsGoneDays`). Give them to no host on which untrusted workloads run. */
export const hostRemovalRights = (region: string | undefined): readonly Right[] => [
  { access: 'readwrite', prefix: resourcePrefix('nodes') },
  { access: 'read', prefix: felixStatusRoot(region) },
];

/** The rights of a region's Neutron driver: it writes what Neutron has, and reads what the Felixes report and what else may have addresses. */
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
    { access: 'read', prefix: agentStatusRoot(region) },
    // The election's keys are watched, and a watch needs a right to a prefix.
    ...[electionKey(region), legacyElectionKey].map((key): Right => ({ access: 'readwrite', prefix: key })),
    ...[compactionTriggerKey, compactionLastKey].map((key): Right => ({ access: 'readwrite', key })),
  ];
}
