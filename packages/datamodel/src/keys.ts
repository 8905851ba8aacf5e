// Every etcd key that the pieces share, built and read. The table in the reference ("The datastore, byte for byte") is the source.
import { escapeKeyPart, openstackNamespace, regionString, unescapeKeyPart } from './names.ts';

export const resourceRoot = '/calico/resources/v3/projectcalico.org/';

export const namespacedPlurals = [
  'workloadendpoints',
  'networkpolicies',
  'networksets',
  'livemigrations',
  'stagednetworkpolicies',
  'stagedkubernetesnetworkpolicies',
] as const;
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
export type NamespacedPlural = (typeof namespacedPlurals)[number];
export type GlobalPlural = (typeof globalPlurals)[number];
export type Plural = NamespacedPlural | GlobalPlural;

export type ResourceKey =
  | { readonly plural: NamespacedPlural; readonly namespace: string; readonly name: string }
  | { readonly plural: GlobalPlural; readonly namespace?: undefined; readonly name: string };

/** The key prefix of a kind, or of a kind in one namespace. */
export const resourcePrefix = (plural: Plural, namespace?: string): string => `${resourceRoot}${plural}/${namespace === undefined ? '' : `${namespace}/`}`;

export const resourceKey = (key: ResourceKey): string => `${resourcePrefix(key.plural, key.namespace)}${key.name}`;

const namespaced: ReadonlySet<string> = new Set(namespacedPlurals);
const global: ReadonlySet<string> = new Set(globalPlurals);

/** What a key of the resource tree names; undefined for keys elsewhere, of kinds that are not known, or with another number of segments. */
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

/** The subnets of a region that have DHCP enabled (written by the driver, read by the DHCP agents). */
export const subnetPrefix = (region: string | undefined): string => `/calico/dhcp/v2/${regionString(region)}/subnet/`;
export const subnetKey = (region: string | undefined, subnetId: string): string => `${subnetPrefix(region)}${subnetId}`;

/** Everything that the Felixes of a region report. */
export const felixStatusRoot = (region: string | undefined): string => `/calico/felix/v2/${regionString(region)}/host/`;
/** On a lease: its expiry means that the agent is dead. */
export const felixStatusKey = (region: string | undefined, host: string): string => `${felixStatusRoot(region)}${host}/status`;
/** The same value, without lease. */
export const felixLastStatusKey = (region: string | undefined, host: string): string => `${felixStatusRoot(region)}${host}/last_reported_status`;
/** All workload endpoint statuses of a host. */
export const endpointStatusPrefix = (region: string | undefined, host: string): string => `${felixStatusRoot(region)}${host}/workload/`;

export type EndpointStatusKey = { readonly host: string; readonly orchestrator: string; readonly workload: string; readonly endpoint: string };

/** `workload` is `<namespace>/<device_id>`, `endpoint` the port id. */
export function endpointStatusKey(region: string | undefined, key: EndpointStatusKey): string {
  const { host, orchestrator, workload, endpoint } = key;
  return `${endpointStatusPrefix(region, host)}${escapeKeyPart(orchestrator)}/${escapeKeyPart(workload)}/endpoint/${escapeKeyPart(endpoint)}`;
}

export type FelixStatusKey = { readonly kind: 'agent'; readonly host: string } | ({ readonly kind: 'endpoint' } & EndpointStatusKey);

/** What a key under `felixStatusRoot` reports on; undefined for others (upstream's round-trip probe, the last reported status). */
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

/** All host endpoint statuses of a host: `v1`, and no region. */
export const hostEndpointStatusPrefix = (host: string): string => `/calico/felix/v1/host/${host}/endpoint/`;
export const hostEndpointStatusKey = (host: string, name: string): string => `${hostEndpointStatusPrefix(host)}${escapeKeyPart(name)}`;

/** Who of the Neutron drivers does the work that only one may do. */
export const electionKey = (region: string | undefined): string => `/calico/openstack/v2/${regionString(region)}/neutron_election`;
/** Held too while upstream's servers may be about. */
export const legacyElectionKey = '/calico/openstack/v1/neutron_election';

export const compactionTriggerKey = '/calico/compaction/v1/trigger';
export const compactionLastKey = '/calico/compaction/v1/last';

/** The endpoints of one host, as the DHCP agent reads them. */
export const hostEndpointsPrefix = (region: string | undefined, namePrefix: string): string =>
  `${resourcePrefix('workloadendpoints', openstackNamespace(region))}${namePrefix}`;
