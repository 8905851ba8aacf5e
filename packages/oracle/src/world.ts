// Reads the datastore's resources: endpoints with their labels, contributors of addresses, policies and tiers. Everything is read at once and nothing is updated.
import { type Address, type Prefix, readAddress, readPrefix } from './address.ts';
import { type Claimant, isSingle, reservedBy } from './ownership.ts';
import { type Fields, isFields, namespaceLabel, type ReadRule, type Rule, readRule, serviceAccountLabel } from './rule.ts';
import { type LabelsOf, type Matcher, readSelector } from './selector.ts';

/** A port that rules can refer to by name. */
export type NamedPort = { readonly name: string; readonly protocol: number; readonly port: number };

/** An endpoint or a network set: what a rule's selector selects, and the addresses that it thereby means. */
export type Contributor = { readonly labels: LabelsOf; readonly prefixes: readonly Prefix[]; readonly ports: readonly NamedPort[] };

/** A workload endpoint. `key` is its datastore key. */
export type Endpoint = Contributor & {
  readonly key: string;
  readonly profiles: readonly string[];
  readonly spoofable: readonly Prefix[];
  readonly claimant: Claimant;
};

/** The kind of a policy resource. */
export type Kind = 'NetworkPolicy' | 'GlobalNetworkPolicy';

/** Where a policy's rules are enforced. Only `normal` policies apply to workloads. */
export type Use = 'normal' | 'before DNAT' | 'untracked';

/** A host endpoint. `key` is its datastore key. */
export type HostEndpoint = Contributor & {
  readonly key: string;
  readonly profiles: readonly string[];
  /** The host that it is on. */
  readonly node: string;
  /** The interface that it names, if it names one: `*` for every interface that has no host endpoint of its own. */
  readonly interfaceName: string | undefined;
  /** Whether it applies to every interface that has no host endpoint of its own. */
  readonly everyInterface: boolean;
};

/** A policy, as far as it is understood. */
export type Policy = {
  readonly use: Use;
  /** Whether it applies to forwarded traffic at host endpoints too. */
  readonly applyOnForward: boolean;
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
  readonly tier: string;
  readonly order: number;
  readonly selects: Matcher;
  readonly governs: { readonly ingress: boolean; readonly egress: boolean };
  /** In the datastore's order. A rule that can match nothing keeps its place, so that indexes are those of the datastore. */
  readonly ingress: readonly ReadRule[];
  readonly egress: readonly ReadRule[];
};

/** A tier. `exists` is false when policies name it but no Tier resource defines it. `endsIn` is the default action at its end. */
export type Tier = { readonly name: string; readonly exists: boolean; readonly order: number; readonly endsIn: 'deny' | 'pass' };

/** A profile. Endpoints inherit its labels even when its rules are not understood. */
export type Profile = { readonly ingress: readonly ReadRule[]; readonly egress: readonly ReadRule[]; readonly labels: ReadonlyMap<string, string> };

/** All resources. `endpoints` and `hostEndpoints` are keyed by datastore key, the others by name. */
export type World = {
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  /** The addresses of Nodes and BGP peers. */
  readonly reserved: readonly Address[];
  readonly hostEndpoints: ReadonlyMap<string, HostEndpoint>;
  readonly contributors: readonly Contributor[];
  readonly policies: readonly Policy[];
  readonly tiers: ReadonlyMap<string, Tier>;
  readonly profiles: ReadonlyMap<string, Profile>;
};

const root = '/calico/resources/v3/projectcalico.org/';

type Read = { readonly key: string; readonly path: readonly string[]; readonly metadata: Fields; readonly spec: Fields };

/**
 * Reads all resources that policy needs.
 * @param resources datastore keys and values as text; keys of other kinds, and values that are not understood, are skipped
 */
export function readWorld(resources: ReadonlyMap<string, string>): World {
  const byPlural = new Map<string, Read[]>();
  for (const [key, value] of resources) {
    if (!key.startsWith(root)) continue;
    const [plural = '', ...path] = key.slice(root.length).split('/');
    const envelope = readEnvelope(value);
    if (envelope) byPlural.set(plural, [...(byPlural.get(plural) ?? []), { key, path, ...envelope }]);
  }
  const all = (plural: string, depth: 1 | 2): readonly Read[] =>
    (byPlural.get(plural) ?? []).filter((read) => read.path.length === depth && !read.path.includes(''));

  const profiles = new Map(all('profiles', 1).map((read) => [read.path[0]!, readProfile(read.spec)]));
  profiles.set('projectcalico-default-allow', { ingress: [allowAll], egress: [allowAll], labels: new Map() });

  const endpoints = new Map(
    all('workloadendpoints', 2).flatMap((read): [string, Endpoint][] => {
      const endpoint = readEndpoint(read, profiles);
      return endpoint ? [[read.key, endpoint]] : [];
    }),
  );
  const hostEndpoints = new Map(
    all('hostendpoints', 1).flatMap((read): [string, HostEndpoint][] => {
      const endpoint = readHostEndpoint(read, profiles);
      return endpoint ? [[read.key, endpoint]] : [];
    }),
  );
  const contributors: Contributor[] = [
    ...endpoints.values(),
    ...hostEndpoints.values(),
    ...all('networksets', 2).map((read) => readNetworkSet(read, profiles)),
    ...all('globalnetworksets', 1).map((read) => readNetworkSet(read, profiles)),
  ];
  const policies = [
    ...all('networkpolicies', 2).flatMap((read) => readPolicy(read, 'NetworkPolicy')),
    ...all('globalnetworkpolicies', 1).flatMap((read) => readPolicy(read, 'GlobalNetworkPolicy')),
  ];
  const tiers = new Map(
    all('tiers', 1).flatMap((read): [string, Tier][] => {
      const tier = readTier(read);
      return tier ? [[tier.name, tier]] : [];
    }),
  );
  for (const { tier } of policies) if (!tiers.has(tier)) tiers.set(tier, { name: tier, exists: false, order: Number.POSITIVE_INFINITY, endsIn: 'deny' });
  const reserved = reservedBy([
    ...all('nodes', 1).flatMap(({ spec: { bgp, addresses } }) => [
      ...(isFields(bgp) ? [bgp['ipv4Address'], bgp['ipv6Address']] : []),
      ...(Array.isArray(addresses) ? addresses.map((entry: unknown) => (isFields(entry) ? entry['address'] : undefined)) : []),
    ]),
    ...all('bgppeers', 1).map(({ spec }) => spec['peerIP']),
  ]);
  return { endpoints, reserved, hostEndpoints, contributors, policies, tiers, profiles };
}

function readEnvelope(text: string): { readonly metadata: Fields; readonly spec: Fields } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isFields(value)) return undefined;
    const { metadata = {}, spec = {} } = value;
    if (!isFields(metadata) || !isFields(spec)) return undefined;
    for (const what of ['labels', 'annotations']) {
      const map = metadata[what];
      if (map !== undefined && map !== null && !(isFields(map) && Object.values(map).every((entry) => typeof entry === 'string'))) return undefined;
    }
    return { metadata, spec };
  } catch {
    return undefined; // a value that is not JSON counts as absent
  }
}

const allowAll: ReadRule = { matches: { action: 'allow', source: {}, destination: {} } };
const denyAll: Rule = { action: 'deny', source: {}, destination: {} };

const texts = (value: unknown): readonly string[] | undefined =>
  value === undefined || value === null ? [] : Array.isArray(value) && value.every((entry) => typeof entry === 'string') ? value : undefined;

const ownLabels = (metadata: Fields): ReadonlyMap<string, string> => new Map(Object.entries((metadata['labels'] ?? {}) as Record<string, string>));

/** The endpoint's own label wins; otherwise the label of the first profile that has one. */
function withInheritance(own: ReadonlyMap<string, string>, profileNames: readonly string[], profiles: ReadonlyMap<string, Profile>): LabelsOf {
  return (name) => {
    if (own.has(name)) return own.get(name);
    const profile = profileNames.find((candidate) => profiles.get(candidate)?.labels.has(name));
    return profile === undefined ? undefined : profiles.get(profile)!.labels.get(name);
  };
}

const portProtocols: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132, '6': 6, '17': 17, '132': 132 };

function createdMs(timestamp: unknown): number {
  const ms = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(ms) ? Number.POSITIVE_INFINITY : ms;
}

/** undefined when Felix does not act on the value. */
function readEndpoint({ key, path, metadata, spec }: Read, profiles: ReadonlyMap<string, Profile>): Endpoint | undefined {
  // The name has four parts, separated by single dashes. A dash within a part is doubled.
  const parts = path[1]!
    .replaceAll('--', '/')
    .split('-')
    .map((part) => part.replaceAll('/', '-'));
  if (parts.length !== 4) return undefined;
  const prefixes = (texts(spec['ipNetworks']) ?? ['?']).map(readPrefix);
  const spoofable = (texts(spec['allowSpoofedSourcePrefixes']) ?? ['?']).map(readPrefix);
  const profileNames = texts(spec['profiles']);
  const gateways = ['ipv4Gateway', 'ipv6Gateway'].map((field) => spec[field]).filter((gateway) => gateway !== undefined && gateway !== null && gateway !== '');
  const ports = readPorts(spec['ports']);
  const mac = spec['mac'];
  const macIsBad = mac !== undefined && mac !== null && mac !== '' && !(typeof mac === 'string' && /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(mac));
  if (prefixes.length === 0 || prefixes.includes(undefined) || spoofable.includes(undefined) || !profileNames || !ports || macIsBad) return undefined;
  if (
    typeof spec['interfaceName'] !== 'string' ||
    spec['interfaceName'] === '' ||
    gateways.some((gateway) => typeof gateway !== 'string' || !readAddress(gateway))
  )
    return undefined;
  const own = new Map([...ownLabels(metadata)].filter(([name]) => !name.startsWith('pcns.') && !name.startsWith('pcsa.')));
  const account = spec['serviceAccountName'];
  if (typeof account === 'string' && account !== '') own.set(serviceAccountLabel, account);
  return {
    key,
    labels: withInheritance(own, profileNames, profiles),
    prefixes: (prefixes as Prefix[]).filter(isSingle),
    ports,
    profiles: profileNames,
    spoofable: spoofable as Prefix[],
    claimant: {
      key,
      host: parts[0]!,
      id: `${parts[1]}/${path[0]}/${parts[2]}/${parts[3]}`,
      createdMs: createdMs(metadata['creationTimestamp']),
      network: String((metadata['annotations'] as Fields | undefined | null)?.['openstack.projectcalico.org/network-id'] ?? ''),
      prefixes: prefixes as Prefix[],
      // What ipNetworks lists twice is a fixed address as well: writers list those first, and the pairs behind them.
      pairs: (texts(spec['allowedIps']) ?? [])
        .flatMap((text) => readPrefix(text) ?? [])
        .filter((pair) => (prefixes as Prefix[]).filter((prefix) => isSame(prefix, pair)).length < 2),
      gateways: gateways.map((gateway) => readAddress(gateway as string)!),
    },
  };
}

const isSame = (one: Prefix, other: Prefix): boolean => one.family === other.family && one.bits === other.bits && one.length === other.length;

/** Whether the kernel would take the name for an interface. */
const isInterfaceName = (name: unknown): boolean =>
  typeof name === 'string' && /^[\x21-\x7e]{1,15}$/.test(name) && !/[/:]/.test(name) && name !== '.' && name !== '..';

function readPorts(value: unknown): readonly NamedPort[] | undefined {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return undefined;
  const ports: NamedPort[] = [];
  for (const entry of value as unknown[]) {
    if (!isFields(entry)) return undefined;
    const protocol = portProtocols[String(entry['protocol']).toLowerCase()];
    const { name, port } = entry;
    if (protocol === undefined || typeof port !== 'number') return undefined;
    if (typeof name === 'string' && name !== '') ports.push({ name, protocol, port });
  }
  return ports;
}

const goodPrefixes = (value: unknown): readonly Prefix[] =>
  (Array.isArray(value) ? value : []).flatMap((entry: unknown) => (typeof entry === 'string' ? (readPrefix(entry) ?? []) : []));

/** undefined when the value does not say which interface of which host it is for. */
function readHostEndpoint({ key, metadata, spec }: Read, profiles: ReadonlyMap<string, Profile>): HostEndpoint | undefined {
  const addresses = (texts(spec['expectedIPs']) ?? []).flatMap((text) => (text.includes('/') ? [] : (readPrefix(text) ?? [])));
  const { node, interfaceName } = spec;
  const named = !isAbsent(interfaceName) && interfaceName !== '';
  const everyInterface = interfaceName === '*';
  if (typeof node !== 'string' || node === '' || (named ? !everyInterface && !isInterfaceName(interfaceName) : addresses.length === 0)) return undefined;
  const profileNames = texts(spec['profiles']) ?? [];
  return {
    key,
    node,
    interfaceName: named ? (interfaceName as string) : undefined,
    everyInterface,
    profiles: profileNames,
    labels: withInheritance(ownLabels(metadata), profileNames, profiles),
    prefixes: addresses,
    ports: readPorts(spec['ports']) ?? [],
  };
}

function readNetworkSet({ path, metadata, spec }: Read, profiles: ReadonlyMap<string, Profile>): Contributor {
  const own = new Map(ownLabels(metadata));
  const namespace = path.length === 2 ? path[0]! : undefined;
  if (namespace !== undefined) own.set(namespaceLabel, namespace);
  return { labels: withInheritance(own, namespace === undefined ? [] : [`kns.${namespace}`], profiles), prefixes: goodPrefixes(spec['nets']), ports: [] };
}

function readRules(value: unknown, namespace: string | undefined): ReadRule[] {
  if (value === undefined || value === null) return [];
  // Rules that are not a list become one Deny without conditions.
  return Array.isArray(value) ? value.map((rule: unknown) => readRule(rule, namespace)) : [{ matches: denyAll, problem: 'is not a list' }];
}

function readProfile(spec: Fields): Profile {
  const { labelsToApply } = spec;
  const labels = isFields(labelsToApply) ? Object.entries(labelsToApply) : [];
  const texts = labels.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  const problem = texts.length < labels.length || !(isAbsent(labelsToApply) || isFields(labelsToApply));
  const denying: readonly ReadRule[] = problem ? [{ matches: denyAll, problem: 'labelsToApply is not text to text' }] : [];
  return {
    ingress: [...denying, ...readRules(spec['ingress'], undefined)],
    egress: [...denying, ...readRules(spec['egress'], undefined)],
    labels: new Map(texts),
  };
}

const isAbsent = (value: unknown): boolean => value === undefined || value === null;

/** undefined when the tier's order is not understood: then it counts as absent. */
function readTier({ path, spec }: Read): Tier | undefined {
  const { order, defaultAction } = spec;
  if (!isAbsent(order) && typeof order !== 'number') return undefined;
  return {
    name: path[0]!,
    exists: true,
    order: typeof order === 'number' ? order : Number.POSITIVE_INFINITY,
    endsIn: defaultAction === 'Pass' ? 'pass' : 'deny',
  };
}

/** The tier of policies whose own tier is not understood. It comes before all others. */
export const unknownTier = '';

/**
 * Empty when the selector is not understood, because then nobody knows which endpoints the policy governs.
 * When anything else is not understood, only the policy's Deny rules remain, at the place where they deny most.
 */
function readPolicy({ path, spec }: Read, kind: Kind): Policy[] {
  const namespace = kind === 'NetworkPolicy' ? path[0]! : undefined;
  const selects = readPolicySelector(spec, namespace);
  const flags = kind === 'GlobalNetworkPolicy' ? ['doNotTrack', 'preDNAT', 'applyOnForward'].map((name) => spec[name]) : [];
  const flagsUnderstood = flags.every((flag) => isAbsent(flag) || typeof flag === 'boolean');
  if (!selects) return [];
  const [untracked, beforeDnat, forward] = flagsUnderstood ? flags.map((flag) => flag === true) : [false, false, true];
  const use: Use = untracked ? 'untracked' : beforeDnat ? 'before DNAT' : 'normal';
  const { tier, order } = spec;
  const tierUnderstood = isAbsent(tier) || typeof tier === 'string';
  const orderUnderstood = isAbsent(order) || (typeof order === 'number' && Number.isFinite(order));
  const understood = flagsUnderstood && tierUnderstood && orderUnderstood;
  const types = readTypes(spec['types']);
  const rules = (direction: 'ingress' | 'egress'): readonly ReadRule[] => {
    const read = readRules(spec[direction], namespace);
    return understood && types[direction] === 'governed'
      ? read
      : read.map((rule) => (rule.matches?.action === 'deny' ? rule : { matches: undefined, problem: 'of a policy that is not understood' }));
  };
  return [
    {
      use,
      applyOnForward: forward === true,
      kind,
      namespace: namespace ?? '',
      name: path.at(-1)!,
      tier: tierUnderstood ? (tier as string) || 'default' : unknownTier,
      order: typeof order === 'number' ? order : orderUnderstood ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY,
      selects,
      governs: { ingress: types.ingress !== 'not', egress: types.egress !== 'not' && use !== 'before DNAT' },
      ingress: rules('ingress'),
      egress: rules('egress'),
    },
  ];
}

/** Whether a policy governs a direction. `perhaps`: an entry of the list is not understood and may have meant this direction. */
type Governs = 'governed' | 'perhaps' | 'not';

function readTypes(value: unknown): { readonly ingress: Governs; readonly egress: Governs } {
  if (isAbsent(value) || (Array.isArray(value) && value.length === 0)) return { ingress: 'governed', egress: 'governed' };
  const names = texts(value)?.map((name) => name.toLowerCase());
  if (!names) return { ingress: 'perhaps', egress: 'perhaps' };
  const unknown = names.some((name) => name !== 'ingress' && name !== 'egress');
  const governs = (direction: string): Governs => (names.includes(direction) ? 'governed' : unknown ? 'perhaps' : 'not');
  return { ingress: governs('ingress'), egress: governs('egress') };
}

function readPolicySelector(spec: Fields, namespace: string | undefined): Matcher | undefined {
  const matchers: Matcher[] = [];
  const parts: readonly [string, Parameters<typeof readSelector>[1]][] = [
    ['selector', {}],
    ['serviceAccountSelector', { renameLabel: (name: string) => `pcsa.${name}` }],
    ['namespaceSelector', { renameLabel: (name: string) => `pcns.${name}`, all: (labels) => labels(namespaceLabel) !== undefined }],
  ];
  for (const [field, dialect] of parts) {
    const text = spec[field];
    if (text === undefined || text === null || text === '' || (field === 'namespaceSelector' && namespace !== undefined)) continue;
    const matcher = typeof text === 'string' ? readSelector(text, dialect) : undefined;
    if (!matcher) return undefined;
    matchers.push(matcher);
  }
  if (namespace !== undefined) matchers.push((labels) => labels(namespaceLabel) === namespace);
  return (labels) => matchers.every((matcher) => matcher(labels));
}

/** Whether an endpoint or network set that matches has the address. */
export const stands = (world: World, matcher: Matcher, address: Address, holds: (prefix: Prefix, address: Address) => boolean): boolean =>
  world.contributors.some((contributor) => contributor.prefixes.some((prefix) => holds(prefix, address)) && matcher(contributor.labels));
