// Decodes BGPConfigurations: `default` for the cluster, `node.<host>` for one host.
import { type Cidr, familyOf, type IpAddress, type IpFamily } from '@calico-openstack/addresses';
import { type Decoded, decoded, decodeResource, type Fields, refused, workloadPeeringAddress, workloadPeeringFields } from '@calico-openstack/datamodel';
import { type FieldProblem, integer, list, object, oneOf, type Parse, readFields, shown, text, truth } from './fields.ts';
import { asNumber, type Community, cidr, community, interfacePattern, password, port, restartSeconds, type SecretRef, wantsBfd } from './values.ts';

/** The log severities of BGPConfiguration. */
export const logSeverities = ['Debug', 'Info', 'Warning', 'Error', 'Fatal'] as const;
/** One of `logSeverities`. */
export type LogSeverity = (typeof logSeverities)[number];

/** A community with a name. */
export type NamedCommunity = { readonly name: string; readonly value: Community };
/** Communities for a prefix, each given as text or as the name of one. */
export type PrefixAdvertisement = { readonly cidr: Cidr; readonly communities: readonly string[] };

/** A BGPConfiguration. An absent field is undefined. The cluster's value or Calico's default then applies. */
export type BgpConfiguration = {
  readonly asNumber: number | undefined;
  readonly nodeToNodeMeshEnabled: boolean | undefined;
  readonly nodeMeshPassword: SecretRef | undefined;
  readonly nodeMeshMaxRestartSeconds: number | undefined;
  readonly meshBfd: boolean;
  readonly listenPort: number | undefined;
  readonly bindMode: 'None' | 'NodeIP' | undefined;
  readonly logSeverity: LogSeverity | undefined;
  readonly communities: readonly NamedCommunity[] | undefined;
  readonly prefixAdvertisements: readonly PrefixAdvertisement[] | undefined;
  readonly ignoredInterfaces: readonly string[] | undefined;
  readonly normalRoutePriority: { readonly 4: number | undefined; readonly 6: number | undefined };
  /** The hosts' own addresses in sessions with their workloads. */
  readonly workloadPeering: { readonly 4: IpAddress | undefined; readonly 6: IpAddress | undefined };
  /** Fields that are set, although a BGPConfiguration for one host cannot have them. */
  readonly clusterOnly: readonly string[];
  /** Fields that are set and that this agent does not support. */
  readonly unsupported: readonly string[];
};

/** Felix's route priorities; compare the metric of BIRD's own routes (bird/configuration.ts). */
const routePriority = integer(1, 2147483646);

/** Decodes a BGPConfiguration. One invalid field refuses all of it: a mesh without its password, or despite a `false`, must not be guessed. */
export function decodeBgpConfiguration(bytes: Uint8Array): Decoded<BgpConfiguration> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return resource;
  const problems: FieldProblem[] = [];
  const spec = readFields(resource.value.spec, 'spec', problems);
  const configuration = {
    asNumber: spec.read('asNumber', asNumber),
    nodeToNodeMeshEnabled: spec.read('nodeToNodeMeshEnabled', truth),
    nodeMeshPassword: spec.read('nodeMeshPassword', password),
    nodeMeshMaxRestartSeconds: spec.read('nodeMeshMaxRestartTime', restartSeconds),
    meshBfd: wantsBfd(resource.value.metadata.annotations),
    listenPort: spec.read('listenPort', portOrNone),
    bindMode: spec.read('bindMode', oneOf('None', 'NodeIP')),
    logSeverity: spec.read('logSeverityScreen', logSeverity),
    communities: spec.read('communities', list(namedCommunity)),
    prefixAdvertisements: spec.read('prefixAdvertisements', list(prefixAdvertisement)),
    ignoredInterfaces: spec.read('ignoredInterfaces', list(interfacePattern)),
    workloadPeering: { 4: spec.read(workloadPeeringFields[4], peeringAddress(4)), 6: spec.read(workloadPeeringFields[6], peeringAddress(6)) },
    normalRoutePriority: { 4: spec.read('ipv4NormalRoutePriority', routePriority), 6: spec.read('ipv6NormalRoutePriority', routePriority) },
  };
  const [problem] = problems;
  if (problem) return refused(`${problem.field}: ${problem.reason}`);
  const { asNumber: as, nodeToNodeMeshEnabled, nodeMeshPassword, nodeMeshMaxRestartSeconds, bindMode, ignoredInterfaces, normalRoutePriority } = configuration;
  const cluster = { asNumber: as, nodeToNodeMeshEnabled, nodeMeshPassword, nodeMeshMaxRestartTime: nodeMeshMaxRestartSeconds, bindMode, ignoredInterfaces };
  const { workloadPeering } = configuration;
  const peering = { [workloadPeeringFields[4]]: workloadPeering[4], [workloadPeeringFields[6]]: workloadPeering[6] };
  const priorities = { ipv4NormalRoutePriority: normalRoutePriority[4], ipv6NormalRoutePriority: normalRoutePriority[6] };
  const clusterOnly = Object.entries({ ...cluster, ...priorities, ...peering }).flatMap(([name, value]) => (value === undefined ? [] : [spec.path(name)]));
  // Names of communities are resolved in the same resource. If it has none, they may be the cluster's.
  const advertisements = configuration.communities ? resolveAdvertisements(configuration) : decoded([]);
  return advertisements.ok ? decoded({ ...configuration, clusterOnly, unsupported: spec.unread().map(spec.path) }) : advertisements;
}

const peeringAddress =
  (family: IpFamily): Parse<IpAddress> =>
  (value) =>
    workloadPeeringAddress(value, family);

/** A port; 0 means absent. */
const portOrNone: Parse<number | undefined> = (value) => (value === 0 ? decoded(undefined) : port(value));

/** A severity in any case, with `trace` as Debug, as upstream's readers accept it. */
const logSeverity: Parse<LogSeverity> = (value) => {
  const wanted = typeof value === 'string' ? value.toLowerCase() : undefined;
  const severity = logSeverities.find((known) => known.toLowerCase() === wanted) ?? (wanted === 'trace' ? 'Debug' : undefined);
  return severity ? decoded(severity) : refused(`${shown(value)} is none of ${logSeverities.join(', ')}`);
};

const namedCommunity: Parse<NamedCommunity> = (value) =>
  parts(value, (fields) => {
    const [name, parsed] = [fields.require('name', text), fields.require('value', community)];
    return name !== undefined && parsed !== undefined ? { name, value: parsed } : undefined;
  });

const prefixAdvertisement: Parse<PrefixAdvertisement> = (value) =>
  parts(value, (fields) => {
    const [prefix, communities] = [fields.require('cidr', cidr()), fields.require('communities', list(text))];
    return prefix !== undefined && communities !== undefined ? { cidr: prefix, communities } : undefined;
  });

/** Decodes an object with `read`; refused for the first invalid field. */
function parts<T>(value: unknown, read: (fields: ReturnType<typeof readFields>) => T | undefined): Decoded<T> {
  const fields = object(value);
  if (!fields.ok) return fields;
  const problems: FieldProblem[] = [];
  const result = read(readFields(fields.value as Fields, '', problems));
  return result === undefined || problems.length > 0 ? refused(`${problems[0]?.field.slice(1)}: ${problems[0]?.reason}`) : decoded(result);
}

/** A prefix with its communities resolved. */
export type Advertisement = { readonly cidr: Cidr; readonly communities: readonly Community[] };

/**
 * Resolves the communities of prefix advertisements. A text that is neither a community nor a known name refuses all: a route without its
 * `no-export` would be announced further than allowed.
 */
export function resolveAdvertisements(configuration: Pick<BgpConfiguration, 'communities' | 'prefixAdvertisements'>): Decoded<readonly Advertisement[]> {
  const byName = new Map((configuration.communities ?? []).map(({ name, value }) => [name, value]));
  const resolved: Advertisement[] = [];
  for (const { cidr: prefix, communities } of configuration.prefixAdvertisements ?? []) {
    const values: Community[] = [];
    for (const wanted of communities) {
      const named = byName.get(wanted);
      const literal = named ? decoded(named) : community(wanted);
      if (!literal.ok) return refused(`spec.prefixAdvertisements: ${prefix}: ${shown(wanted)} is neither a community nor the name of one in spec.communities`);
      values.push(literal.value);
    }
    resolved.push({ cidr: prefix, communities: values });
  }
  return decoded(resolved);
}

/** The advertisements of one family. */
export const advertisementsOf = (advertisements: readonly Advertisement[], family: 4 | 6): readonly Advertisement[] =>
  advertisements.filter((advertisement) => familyOf(advertisement.cidr) === family);
