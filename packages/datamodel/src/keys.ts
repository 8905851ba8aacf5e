// Builds and parses every etcd key that several parts share. The keys are Calico's own: its v3 resources, and those of its Neutron driver, DHCP agent and Felix.
import { escapeKeyPart, openstackNamespace, regionString, unescapeKeyPart } from './names.ts';

/** Where Calico keeps its v3 resources. */
export const resourceRoot = '/calico/resources/v3/projectcalico.org/';

/** The kinds of resources that live in a namespace, as the plurals that stand in keys. */
export const namespacedPlurals = [
  'workloadendpoints',
  'networkpolicies',
  'networksets',
  'livemigrations',
  'stagednetworkpolicies',
  'stagedkubernetesnetworkpolicies',
] as const;
/** The kinds of resources without a namespace, as the plurals that stand in keys. */
export const globalPlurals = [
  'globalnetworkpolicies',
  'globalnetworksets',
  'tiers',
  'profiles',
  'hostendpoints',
  'felixconfigurations',
  'clusterinformations',
  'ippools',
  'nodes',
  'bgpconfigurations',
  'bgppeers',
  'bgpfilters',
  'stagedglobalnetworkpolicies',
] as const;
/** One of `namespacedPlurals`. */
export type NamespacedPlural = (typeof namespacedPlurals)[number];
/** One of `globalPlurals`. */
export type GlobalPlural = (typeof globalPlurals)[number];
/** A kind of resource, as its plural. */
export type Plural = NamespacedPlural | GlobalPlural;

/** The parts of a resource's key. */
export type ResourceKey =
  | { readonly plural: NamespacedPlural; readonly namespace: string; readonly name: string }
  | { readonly plural: GlobalPlural; readonly namespace?: undefined; readonly name: string };

/** The prefix of all keys of a kind, or of a kind in one namespace. */
export const resourcePrefix = (plural: Plural, namespace?: string): string => `${resourceRoot}${plural}/${namespace === undefined ? '' : `${namespace}/`}`;

/** The key of a resource. */
export const resourceKey = (key: ResourceKey): string => `${resourcePrefix(key.plural, key.namespace)}${key.name}`;

const namespaced: ReadonlySet<string> = new Set(namespacedPlurals);
const global: ReadonlySet<string> = new Set(globalPlurals);

/** The parts of a resource's key; undefined for keys elsewhere, of unknown kinds, or with another number of segments. */
export function parseResourceKey(key: string): ResourceKey | undefined {
  if (!key.startsWith(resourceRoot)) return undefined;
  const afterPlural = key.indexOf('/', resourceRoot.length);
  if (afterPlural < 0) return undefined;
  const plural = key.slice(resourceRoot.length, afterPlural);
  const slash = key.indexOf('/', afterPlural + 1);
  if (namespaced.has(plural)) {
    const [namespace, name] = [key.slice(afterPlural + 1, slash), key.slice(slash + 1)];
    return slash > 0 && namespace !== '' && name !== '' && !name.includes('/') ? { plural: plural as NamespacedPlural, namespace, name } : undefined;
  }
  const name = key.slice(afterPlural + 1);
  return global.has(plural) && slash < 0 && name !== '' ? { plural: plural as GlobalPlural, name } : undefined;
}

/** The prefix of the subnets of a region that have DHCP enabled. The driver writes them, the DHCP agents read them. A region that is undefined means that none is configured. */
export const subnetPrefix = (region: string | undefined): string => `/calico/dhcp/v2/${regionString(region)}/subnet/`;
/** The key of one such subnet. */
export const subnetKey = (region: string | undefined, subnetId: string): string => `${subnetPrefix(region)}${subnetId}`;

/** The prefix of everything that the Felixes of a region report. */
export const felixStatusRoot = (region: string | undefined): string => `/calico/felix/v2/${regionString(region)}/host/`;
/** The key of Felix's heartbeat. It is written under a lease: when the key is gone, the agent is dead. */
export const felixStatusKey = (region: string | undefined, host: string): string => `${felixStatusRoot(region)}${host}/status`;
/** The key of the last heartbeat, with the same value but without a lease. */
export const felixLastStatusKey = (region: string | undefined, host: string): string => `${felixStatusRoot(region)}${host}/last_reported_status`;
/** The prefix of all workload endpoint statuses of a host. */
export const endpointStatusPrefix = (region: string | undefined, host: string): string => `${felixStatusRoot(region)}${host}/workload/`;

/** The parts of a workload endpoint status's key. */
export type EndpointStatusKey = { readonly host: string; readonly orchestrator: string; readonly workload: string; readonly endpoint: string };

/** The key of a workload endpoint's status. `workload` is `<namespace>/<device_id>`, `endpoint` the port id. */
export function endpointStatusKey(region: string | undefined, key: EndpointStatusKey): string {
  const { host, orchestrator, workload, endpoint } = key;
  return `${endpointStatusPrefix(region, host)}${escapeKeyPart(orchestrator)}/${escapeKeyPart(workload)}/endpoint/${escapeKeyPart(endpoint)}`;
}

/** What a key under `felixStatusRoot` reports on: an agent or an endpoint. */
export type FelixStatusKey = { readonly kind: 'agent'; readonly host: string } | ({ readonly kind: 'endpoint' } & EndpointStatusKey);

/** Parses a key under `felixStatusRoot`; undefined for keys of other kinds (upstream's round-trip probe, the last reported status) and keys elsewhere. */
export function parseFelixStatusKey(region: string | undefined, key: string): FelixStatusKey | undefined {
  const root = felixStatusRoot(region);
  if (!key.startsWith(root)) return undefined;
  const segments = key.slice(root.length).split('/');
  const [host, kind, orchestrator, workload, word, endpoint] = segments;
  if (!host) return undefined;
  if (segments.length === 2 && kind === 'status') return { kind: 'agent', host };
  if (segments.length !== 6 || kind !== 'workload' || word !== 'endpoint' || !orchestrator || !workload || !endpoint) return undefined;
  return { kind: 'endpoint', host, orchestrator: unescapeKeyPart(orchestrator), workload: unescapeKeyPart(workload), endpoint: unescapeKeyPart(endpoint) };
}

/** The agents beside Felix that Neutron lists. Felix has a heartbeat of its own, whose format is upstream's. */
export const listedAgents = ['calico-dhcp-agent', 'calico-bird-agent'] as const;
/** One of `listedAgents`. */
export type ListedAgent = (typeof listedAgents)[number];
/** The prefix of the heartbeats of a region's agents beside Felix. These keys are this project's own. */
export const agentStatusRoot = (region: string | undefined): string => `/calico/openstack/v2/${regionString(region)}/agent/`;
/** The key of an agent's heartbeat. It is written under a lease: when the key is gone, the agent is dead. */
export const agentStatusKey = (region: string | undefined, host: string, agent: ListedAgent): string => `${agentStatusRoot(region)}${host}/${agent}`;

/** Parses a key under `agentStatusRoot`; undefined for any other key. */
export function parseAgentStatusKey(region: string | undefined, key: string): { readonly host: string; readonly agent: ListedAgent } | undefined {
  const root = agentStatusRoot(region);
  const [host, name, ...more] = key.startsWith(root) ? key.slice(root.length).split('/') : [];
  const agent = listedAgents.find((one) => one === name);
  return host && agent && more.length === 0 ? { host, agent } : undefined;
}

/** The prefix of all host endpoint statuses of a host. These keys are `v1` and have no region. */
export const hostEndpointStatusPrefix = (host: string): string => `/calico/felix/v1/host/${host}/endpoint/`;
/** The key of a host endpoint's status. */
export const hostEndpointStatusKey = (host: string, name: string): string => `${hostEndpointStatusPrefix(host)}${escapeKeyPart(name)}`;

/** The key by which the Neutron drivers of a region elect the one that does the work of which there must be only one. */
export const electionKey = (region: string | undefined): string => `/calico/openstack/v2/${regionString(region)}/neutron_election`;
/** The election key of older versions of upstream's driver. Our leader holds it as well, so that the two never lead together. */
export const legacyElectionKey = '/calico/openstack/v1/neutron_election';

/** The key that exists, under a lease, while the next compaction of etcd by a Neutron driver is not due yet (upstream's name). */
export const compactionTriggerKey = '/calico/compaction/v1/trigger';
/** The key with the revision that was compacted last (upstream's name). */
export const compactionLastKey = '/calico/compaction/v1/last';

/** The prefix of the WorkloadEndpoints of one host. `namePrefix` comes from `workloadEndpointNamePrefix`. */
export const hostEndpointsPrefix = (region: string | undefined, namePrefix: string): string =>
  `${resourcePrefix('workloadendpoints', openstackNamespace(region))}${namePrefix}`;
