// For tests: random clusters and packets that use all of policy. They serve to compare the oracle with calculated and rendered rules, and with a kernel.
import type { Question } from '@calico-openstack/oracle';
import fc from 'fast-check';
import { type KeyedValue, resource, type TestEndpoint, workloadEndpoint } from './resources.ts';

/** A datastore. */
export type Cluster = {
  /** Values by key. */
  readonly values: ReadonlyMap<string, string>;
  readonly endpoints: readonly TestEndpoint[];
  /** The keys of the local host's HostEndpoints. */
  readonly hostEndpoints: readonly string[];
};

/** The host whose policy is judged. */
export const localHost = 'host0';
/** How many of `places` are on the local host. */
export const localCount = 6;
const remoteCount = 2;

/** The endpoints that a cluster may have, the local ones first. Their labels and ports are chosen for each cluster. */
export const places: readonly TestEndpoint[] = Array.from({ length: localCount + remoteCount }, (_, number) => ({
  host: number < localCount ? localHost : 'host1',
  id: `0000000${number}-0000-4000-8000-000000000000`,
  mac: `fa:16:3e:00:00:0${number}`,
  addresses: number < localCount ? [`10.128.1.${number}`, `fd00:10::80:${number}`] : [`10.130.0.${number}`, `fd00:10::81:${number}`],
}));

const labelValues = {
  role: ['web', 'db', 'cache'],
  env: ['prod', 'dev', ''],
  tier: ['a', 'b'],
  'sg.projectcalico.org/openstack-1': ['web'],
  'app.kubernetes.io/name': ['x-1', 'x-2'],
} as const;
const labelNames = Object.keys(labelValues) as (keyof typeof labelValues)[];
const pick = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const sometimes = <T>(arbitrary: fc.Arbitrary<T>, share: number): fc.Arbitrary<T | undefined> =>
  fc.integer({ min: 0, max: 99 }).chain((number) => (number < share * 100 ? arbitrary : fc.constant(undefined)));
const some = <T>(arbitrary: fc.Arbitrary<T>, most = 3): fc.Arbitrary<T[]> => fc.array(arbitrary, { minLength: 1, maxLength: most });
/** An object without the fields that are undefined. */
const fields = (arbitraries: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Record<string, unknown>> =>
  fc.record(arbitraries).map((record) => Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)));

const comparison: fc.Arbitrary<string> = pick(...labelNames).chain((name) =>
  pick(...labelValues[name]).chain((value) =>
    pick(
      'all()',
      `has(${name})`,
      `!has(${name})`,
      `${name} == '${value}'`,
      `${name} == "${value}"`,
      `${name} != '${value}'`,
      `${name} in {'${value}', 'nosuch'}`,
      `${name} not in { '${value}' }`,
      `${name} starts with '${value.slice(0, 1)}'`,
      `${name} contains '${value.slice(-1)}'`,
      `${name} ends with '${value.slice(-1)}'`,
    ),
  ),
);
/** A selector over the labels of a cluster. */
export const selector: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: comparison },
  {
    weight: 3,
    arbitrary: fc
      .tuple(comparison, comparison, pick('and', 'or', 'not', 'both'))
      .map(([a, b, how]): string => ({ and: `${a} && ${b}`, or: `${a} || ${b}`, not: `!(${a})`, both: `(${a} || ${b}) && !(${b})` })[how] ?? a),
  },
);

const nets4 = some(pick('10.128.1.0/30', '10.128.1.0/29', '10.130.0.0/16', '0.0.0.0/0', '10.128.1.5/32', '10.128.0.0/9', '192.0.2.0/24', '10.128.1.4'));
const nets6 = some(pick('fd00:10::80:0/126', 'fd00:10::80:0/112', 'fd00:10::/32', 'fd00:10::81:0/112', '::/0', 'fd00:10::80:3/128'));
const ports = (named: boolean): fc.Arbitrary<unknown[]> =>
  some(fc.oneof(pick<unknown>(22, 80, 443, 8080, 53, 5000, '80'), pick('1:100', '80:8080', '5000:65535', '1:65535'), ...(named ? [pick('web', 'dns')] : [])));

const protocolParts: fc.Arbitrary<{ readonly part: Record<string, unknown>; readonly ported: boolean; readonly version: 4 | 6 | undefined }> = fc.oneof(
  {
    weight: 3,
    arbitrary: pick<unknown>('TCP', 'UDP', 'tcp', 6, 17, '17', 132, 'SCTP').map((protocol) => ({ part: { protocol }, ported: true, version: undefined })),
  },
  {
    weight: 2,
    arbitrary: fields({
      icmp: sometimes(fields({ type: pick(8, 13), code: sometimes(pick(0, 1), 0.5) }), 0.6),
      notICMP: sometimes(fields({ type: pick(8, 13), code: sometimes(pick(0, 1), 0.4) }), 0.2),
    }).map((icmp) => ({
      part: { protocol: 'ICMP', ...icmp },
      ported: false,
      version: 4 as const,
    })),
  },
  {
    weight: 1,
    arbitrary: fields({ icmp: sometimes(pick({ type: 128 }, { type: 128, code: 0 }), 0.6) }).map((icmp) => ({
      part: { protocol: 'ICMPv6', ...icmp },
      ported: false,
      version: 6 as const,
    })),
  },
  { weight: 1, arbitrary: pick<unknown>('TCP', 'UDP', 'ICMP', 58).map((notProtocol) => ({ part: { notProtocol }, ported: false, version: undefined })) },
  { weight: 3, arbitrary: fc.constant({ part: {}, ported: false, version: undefined }) },
);

const side = (ported: boolean, version: 4 | 6 | undefined): fc.Arbitrary<Record<string, unknown>> =>
  fields({
    selector: sometimes(selector, 0.3),
    notSelector: sometimes(comparison, 0.12),
    nets: sometimes(
      version === 6
        ? nets6
        : version === 4
          ? nets4
          : fc.oneof(
              nets4,
              nets6,
              fc.tuple(nets4, nets6).map((both) => both.flat()),
            ),
      0.2,
    ),
    notNets: sometimes(version === 6 ? nets6 : nets4, 0.1),
    ports: sometimes(ports(true), ported ? 0.5 : 0),
    notPorts: sometimes(ports(true), ported ? 0.12 : 0),
    namespaceSelector: sometimes(pick('all()', 'global()', 'has(nosuch)', '!has(nosuch) && all()'), 0.05),
  });

/** Changes that make a rule invalid: an unknown action, field, prefix, protocol, port or selector, or ports without a protocol. */
const damages: readonly ((rule: Record<string, unknown>) => Record<string, unknown>)[] = [
  (rule) => ({ ...rule, action: 'Permit' }),
  (rule) => ({ ...rule, source: { ...(rule['source'] as object), domains: ['example.org'] } }),
  (rule) => ({ ...rule, destination: { ...(rule['destination'] as object), nets: ['10.0.0.0/8', 'nonsense'] } }),
  (rule) => ({ ...rule, protocol: 'carrier-pigeon' }),
  (rule) => ({ ...rule, destination: { ...(rule['destination'] as object), ports: [0] } }),
  (rule) => ({ ...rule, source: { ...(rule['source'] as object), selector: 'role ==' } }),
  (rule) => ({ ...rule, http: { methods: ['GET'] } }),
  ({ protocol: _, ...rule }) => ({ ...rule, destination: { ports: [80] } }),
];

const rule: fc.Arbitrary<object> = fc
  .tuple(protocolParts, pick('Allow', 'Allow', 'Allow', 'allow', 'Deny', 'Deny', 'Pass', 'Log'))
  .chain(([{ part, ported, version }, action]) =>
    fc
      .tuple(side(false, version), side(ported, version), sometimes(pick(4, 6), version === undefined ? 0.3 : 0), sometimes(pick(...damages), 0.03))
      .map(([source, destination, ipVersion, damage]) => {
        const whole = {
          action,
          ...part,
          ...(ipVersion && { ipVersion }),
          ...(Object.keys(source).length > 0 && { source }),
          ...(Object.keys(destination).length > 0 && { destination }),
        };
        return damage ? damage(whole) : whole;
      }),
  );
const rules = fc.array(rule, { maxLength: 4 });

const policy = (tiers: readonly string[]): fc.Arbitrary<(number: number) => KeyedValue> =>
  fc
    .tuple(
      fields({
        selector: sometimes(fc.oneof({ weight: 30, arbitrary: selector }, { weight: 1, arbitrary: pick('role == ', 'has(') }), 0.95),
        order: sometimes(pick(-1, 0, 10, 20.5), 0.6),
        types: sometimes(pick(['Ingress'], ['Egress'], ['Ingress', 'Egress']), 0.5),
        ingress: sometimes(rules, 0.8),
        egress: sometimes(rules, 0.8),
      }),
      pick(...tiers),
      pick(true, false),
      pick(true, false),
      sometimes(
        pick<object>({ doNotTrack: true }, { preDNAT: true }, { applyOnForward: true }, { applyOnForward: true }, { doNotTrack: true, preDNAT: true }),
        0.2,
      ),
      sometimes(
        pick<object>(
          { order: '10' },
          { tier: 7 },
          { types: ['Both'] },
          { types: ['egress', 'Sideways'] },
          { types: 'Ingress' },
          { doNotTrack: 'yes' },
          { applyOnForward: 1 },
          { ingress: 'all' },
        ),
        0.04,
      ),
    )
    .map(([spec, tier, global, naming, use, damage]) => (number) => {
      const full = { ...spec, ...((tier !== 'default' || naming) && { tier }), ...(global && use), ...damage };
      const name = `${tier}.p${number}`;
      return global
        ? resource('GlobalNetworkPolicy', `globalnetworkpolicies/${name}`, full)
        : resource('NetworkPolicy', `networkpolicies/openstack/${name}`, full);
    });

/** HostEndpoints of the local host, and one of another host. */
const hostEndpoints = (profiles: readonly string[]): fc.Arbitrary<KeyedValue[]> =>
  fc
    .tuple(
      ...['eth0', '*', 'by-address', 'elsewhere'].map((name) =>
        sometimes(
          fc
            .tuple(
              fields(Object.fromEntries(labelNames.map((label) => [label, sometimes(pick(...labelValues[label]), 0.5)]))),
              fields({
                expectedIPs: fc.constant(name === 'by-address' ? ['10.130.0.99', 'fd00:10::81:99'] : name === 'eth0' ? ['10.130.0.98'] : undefined),
                interfaceName: fc.constant(name === 'by-address' ? undefined : name),
                profiles: sometimes(pick(...profiles.map((profile) => [profile]), ['nosuch']), 0.4),
                ports: sometimes(fc.constant([{ name: 'web', protocol: 'TCP', port: 80 }]), 0.3),
              }),
            )
            .map(([labels, spec]) =>
              resource(
                'HostEndpoint',
                `hostendpoints/hep-${name === '*' ? 'any' : name}`,
                { node: name === 'elsewhere' ? 'host1' : localHost, ...spec },
                { labels },
              ),
            ),
          0.3,
        ),
      ),
    )
    .map((all) => all.filter((each) => each !== undefined));

/** A policy that allows most egress. Without it nearly everything would be denied. */
const lettingOut = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constant(
      resource('NetworkPolicy', 'networkpolicies/openstack/ossg.default.1', {
        selector: 'has(sg.projectcalico.org/openstack-1)',
        ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [80] } }],
        egress: [{ action: 'Allow' }],
      }),
    ),
  },
  { weight: 1, arbitrary: fc.constant(undefined) },
);

/** Addresses that a workload may not have: those of another endpoint, a Node or a gateway, addresses that no host can have, and prefixes. */
const claims = sometimes(
  fc.record({
    addresses: some(
      pick(
        '10.128.1.0/32',
        '10.128.1.3/32',
        'fd00:10::80:3/128',
        '10.128.1.5/32',
        '10.128.1.200/32',
        '10.128.1.250/32',
        '10.65.0.1/32',
        '127.0.0.9/32',
        '10.128.0.0/16',
        '::/1',
      ),
    ),
    pair: pick(true, true, false),
  }),
  0.25,
);
const born = sometimes(pick('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', 'lately'), 0.5);

/** A Node. Sometimes it has a workload's address. */
const nodes = sometimes(
  pick('10.128.1.250/24', '10.128.1.250/24', '10.128.1.4/24').map((ipv4Address) => resource('Node', 'nodes/host9', { bgp: { ipv4Address } })),
  0.4,
);

const endpoints = (profiles: readonly string[]): fc.Arbitrary<TestEndpoint[]> =>
  fc
    .tuple(
      ...places.map((place) =>
        sometimes(
          fc
            .tuple(
              fields(Object.fromEntries(labelNames.map((name) => [name, sometimes(pick(...labelValues[name]), 0.55)]))),
              fields({
                ports: sometimes(
                  fc.tuple(pick('TCP', 'UDP'), pick(80, 8080)).map(([protocol, port]) => [
                    { name: 'web', protocol, port },
                    { name: 'dns', protocol: 'UDP', port: 53 },
                  ]),
                  0.4,
                ),
                profiles: sometimes(pick(...profiles.map((_, index) => profiles.slice(0, index + 1)), ['nosuch'], ['projectcalico-default-allow']), 0.5),
              }),
              place.host === localHost ? claims : fc.constant(undefined),
              born,
            )
            .map(([labels, spec, claimed, created]): TestEndpoint => {
              const own = place.addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`);
              const more = claimed && { ipNetworks: [...own, ...claimed.addresses], allowedIps: claimed.pair ? claimed.addresses : [] };
              return { ...place, labels: labels as Record<string, string>, spec: { ...spec, ...more }, ...(created && { created }) };
            }),
          0.94,
        ),
      ),
    )
    .map((all) => all.filter((each) => each !== undefined));

const named = <T extends fc.Arbitrary<object>>(names: readonly string[], share: number, spec: T) =>
  fc
    .tuple(...names.map((name) => sometimes(spec, share).map((value) => (value ? { name, spec: value } : undefined))))
    .map((all) => all.filter((each) => each !== undefined));

/** A whole datastore, without ClusterInformation and FelixConfiguration. */
export const cluster: fc.Arbitrary<Cluster> = fc
  .tuple(
    named(['security', 'platform', 'default'], 0.5, fields({ order: sometimes(pick(0, 100, 200), 0.8), defaultAction: sometimes(pick('Pass', 'Deny'), 0.5) })),
    named(
      ['prof-a', 'prof-b'],
      0.5,
      fields({ ingress: rules, egress: rules, labelsToApply: sometimes(fc.record({ env: pick('prod', 'dev'), tier: pick('a', 'b') }), 0.8) }),
    ),
    fc.array(fc.tuple(pick(true, false), pick('web', 'db'), nets4, nets6), { maxLength: 2 }),
    lettingOut,
  )
  .chain(([tiers, profiles, sets, out]) =>
    fc
      .tuple(
        fc.array(policy(['default', 'missing', ...tiers.map(({ name }) => name)]), { minLength: 2, maxLength: 6 }),
        endpoints(profiles.map(({ name }) => name)),
        hostEndpoints(profiles.map(({ name }) => name)),
        nodes,
      )
      .map(([policies, present, interfaces, node]): Cluster => {
        const values: KeyedValue[] = [
          ...tiers.map(({ name, spec }) => resource('Tier', `tiers/${name}`, spec)),
          ...profiles.map(({ name, spec }) => resource('Profile', `profiles/${name}`, spec)),
          ...sets.map(([global, role, four, six], number) =>
            resource(
              global ? 'GlobalNetworkSet' : 'NetworkSet',
              global ? `globalnetworksets/gns-${number}` : `networksets/openstack/ns-${number}`,
              { nets: [...four, ...six] },
              { labels: { role } },
            ),
          ),
          ...(out ? [out] : []),
          ...(node ? [node] : []),
          ...policies.map((make, number) => make(number)),
          ...present.map(workloadEndpoint),
          ...interfaces,
        ];
        return {
          values: new Map(values.map(({ key, value }) => [key, value])),
          endpoints: present,
          hostEndpoints: interfaces.map(({ key }) => key).filter((key) => !key.endsWith('elsewhere')),
        };
      }),
  );

const kinds: readonly Partial<Question['packet']>[] = [
  ...[22, 80, 443, 8080].map((destinationPort) => ({ protocol: 6, destinationPort })),
  ...[53, 80, 5000].map((destinationPort) => ({ protocol: 17, destinationPort })),
  { protocol: 132, destinationPort: 80 },
  { protocol: 1, icmpType: 8, icmpCode: 0 },
  { protocol: 1, icmpType: 13, icmpCode: 0 },
];

/** A packet from one of `places` to another, at least one of which is local. */
export type Shot = { readonly from: TestEndpoint; readonly to: TestEndpoint; readonly question: Question };

/** A random packet. Sometimes its source is another endpoint's address. */
export const shot: fc.Arbitrary<Shot> = fc
  .tuple(pick(...places), pick(...places), pick<4 | 6>(4, 6), pick(...kinds), fc.integer({ min: 30000, max: 60000 }), fc.integer({ min: 0, max: 19 }))
  .filter(([from, to]) => from !== to && (from.host === localHost || to.host === localHost))
  .map(([from, to, family, kind, sourcePort, chance]) => {
    const own = (place: TestEndpoint): string => place.addresses[family === 4 ? 0 : 1]!;
    const spoofs = chance === 0 && from.host === localHost;
    // ICMPv6 packets are echo requests. Policy does not decide about an answer without a request, which connection tracking drops.
    const icmpv6 = family === 6 && kind.protocol === 1 ? { protocol: 58, icmpType: 128 } : {};
    const packet = {
      protocol: 6,
      ...kind,
      ...icmpv6,
      ...(kind.destinationPort !== undefined && { sourcePort }),
      source: own(spoofs ? places[(places.indexOf(from) + 1) % localCount]! : from),
      destination: own(to),
    };
    return {
      from,
      to,
      question: {
        packet,
        ...(from.host === localHost && { from: workloadEndpoint(from).key }),
        ...(to.host === localHost && { to: workloadEndpoint(to).key }),
      },
    };
  });
