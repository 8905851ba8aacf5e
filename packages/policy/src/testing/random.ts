// Generates random datastore content, with few distinct labels, addresses, interfaces and names so that they often collide, and with invalid values among them.
import { type Plural, workloadEndpointName } from '@calico-openstack/datamodel';
import fc from 'fast-check';
import { type Entry, namespace, resource, thisHost } from './resources.ts';

const maybe = <T>(arbitrary: fc.Arbitrary<T>, percent = 50): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: percent, arbitrary }, { weight: 100 - percent, arbitrary: fc.constant(undefined) });
const some = <T>(values: readonly T[], maxLength: number) => fc.uniqueArray(fc.constantFrom(...values), { maxLength });
const rarely = <T, U>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<U>) => fc.oneof({ weight: 29, arbitrary: usual }, { weight: 1, arbitrary: odd });
const nonsense = fc.constantFrom<unknown>(7, true, [], {}, 'nonsense', [[]], -1);

const labelNames = ['a', 'b', 'c', 'pcns.x', 'projectcalico.org/namespace'];
const labelValues = ['', 'x', 'xy', namespace];
const labels = fc
  .dictionary(fc.constantFrom(...labelNames), fc.constantFrom(...labelValues), { maxKeys: 3 })
  .map((given): object => ({ 'projectcalico.org/namespace': namespace, ...given }));
const namespaces = [namespace, 'other'];
const profileNames = ['p', 'q', 'kns.openstack', 'projectcalico-default-allow', 'nosuch'];
const nets = ['10.0.0.1', '10.0.0.2/32', '10.0.0.0/24', '10.0.0.9/24', '0.0.0.0/0', '2001:db8::1', '2001:DB8::/64'];

const leaf = fc
  .tuple(fc.constantFrom('a', 'b', 'c', 'x'), fc.constantFrom(...labelValues), fc.nat(8))
  .map(
    ([label, value, kind]) =>
      [
        `${label} == '${value}'`,
        `${label} != '${value}'`,
        `has(${label})`,
        `!has(${label})`,
        `${label} in {'${value}', 'x'}`,
        `${label} not in {'${value}'}`,
        `${label} starts with "${value}"`,
        'all()',
        'global()',
      ][kind]!,
  );
const { selector: deepSelector } = fc.letrec<{ selector: string }>((tie) => ({
  selector: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.tuple(tie('selector'), fc.constantFrom('&&', '||'), tie('selector')).map(([first, word, second]) => `(${first} ${word} ${second})`),
    tie('selector').map((inner) => `!${inner}`),
  ),
}));
const selector = rarely(deepSelector, fc.constantFrom('', 'a ==', 'has('));

const ports = fc.array(fc.constantFrom<unknown>(80, '1:100', 'web', 'dns', 443), { maxLength: 2 });
const side = fc.record({
  selector: maybe(selector, 60),
  notSelector: maybe(selector, 15),
  namespaceSelector: maybe(fc.constantFrom('all()', 'global()', "x == 'x'"), 10),
  nets: maybe(rarely(some(nets, 2), fc.constant(['nonsense'])), 20),
  notNets: maybe(some(nets, 1), 10),
  ports: maybe(ports, 30),
  notPorts: maybe(ports, 10),
  serviceAccounts: maybe(fc.constantFrom({ names: ['s'] }, { selector: 'has(x)' }), 5),
  services: maybe(fc.constant({ name: 's' }), 2),
});
const rule = rarely(
  fc.record({
    action: rarely(fc.constantFrom('Allow', 'Deny', 'Pass', 'Log', 'allow'), nonsense),
    ipVersion: maybe(rarely(fc.constantFrom(4, 6), nonsense), 30),
    protocol: maybe(rarely(fc.constantFrom<unknown>('TCP', 17, '132', 'TCP', 'UDP', 'ICMP'), nonsense), 80),
    notProtocol: maybe(fc.constantFrom<unknown>('UDP', 1), 10),
    icmp: maybe(fc.constantFrom({ type: 8 }, { type: 8, code: 0 }, { code: 0 }), 5),
    source: maybe(side),
    destination: maybe(side),
    metadata: maybe(fc.constant({}), 5),
    http: maybe(fc.constant({}), 2),
  }),
  nonsense,
);
const rules = maybe(rarely(fc.array(rule, { maxLength: 4 }), nonsense), 80);

const policySpec = fc.record({
  tier: maybe(rarely(fc.constantFrom('default', 't', 'u'), nonsense)),
  order: maybe(rarely(fc.constantFrom(-1, 0, 10), fc.constant('first'))),
  selector: maybe(selector),
  types: maybe(rarely(fc.constantFrom(['Ingress'], ['Egress'], ['ingress', 'Egress'], []), fc.constant(['Sideways']))),
  ingress: rules,
  egress: rules,
});
const globalPolicySpec = fc
  .tuple(
    policySpec,
    fc.record({
      namespaceSelector: maybe(fc.constantFrom('all()', 'global()', 'has(x)')),
      doNotTrack: maybe(rarely(fc.boolean(), nonsense)),
      preDNAT: maybe(fc.boolean()),
      applyOnForward: maybe(fc.boolean()),
    }),
  )
  .map(([spec, flags]) => ({ ...spec, ...flags }));

const endpointPorts = maybe(
  fc.array(fc.constantFrom({ name: 'web', protocol: 'TCP', port: 80 }, { name: 'web', protocol: 'UDP', port: 80 }, { name: 'dns', protocol: 17, port: 53 }), {
    maxLength: 3,
  }),
);
const workloadSpec = fc.record({
  interfaceName: rarely(fc.constantFrom('tap1', 'tap2', 'tap3'), fc.constant('../all')),
  ipNetworks: rarely(fc.uniqueArray(fc.constantFrom(...nets), { minLength: 1, maxLength: 2 }), nonsense),
  allowedIps: maybe(some(nets, 2)),
  ipv4Gateway: maybe(fc.constantFrom('10.0.0.1', '10.0.0.3')),
  ipv6Gateway: maybe(fc.constant('2001:db8::1')),
  mac: maybe(fc.constant('FA:16:3E:00:00:01')),
  profiles: maybe(some(profileNames, 2)),
  ports: endpointPorts,
  ipNATs: maybe(fc.constant([{ internalIP: '10.0.0.1', externalIP: '10.0.0.2' }])),
  allowSpoofedSourcePrefixes: maybe(fc.constant(['0.0.0.0/0'])),
  serviceAccountName: maybe(fc.constant('s')),
  qosControls: maybe(fc.constant({ ingressBandwidth: 1000 })),
});

const reference = (host: string, workload: string, endpoint?: string) => ({
  hostname: host,
  orchestratorID: 'openstack',
  workloadID: `${namespace}/${workload}`,
  ...(endpoint && { endpointID: endpoint }),
});
const migrationSide = maybe(
  fc.constantFrom<object>(
    { workloadEndpoint: reference(thisHost, 'vm', 'p1') },
    { workload: reference(thisHost, 'vm') },
    { workloadEndpoint: reference('host-2', 'vm', 'p1') },
    { selector: 'has(a)' },
    {},
  ),
);

type Draft = readonly [plural: Plural, within: string | undefined, name: string, spec: fc.Arbitrary<object>, labels?: fc.Arbitrary<object | undefined>];

const workloadName = (host: string, endpoint: string): string => workloadEndpointName({ host, orchestrator: 'openstack', workload: 'vm', endpoint });

const drafts: readonly Draft[] = [
  ...['p1', 'p2', 'p3'].map((endpoint): Draft => ['workloadendpoints', namespace, workloadName(thisHost, endpoint), workloadSpec, labels]),
  ['workloadendpoints', 'other', workloadName(thisHost, 'p1'), workloadSpec, labels],
  ...['r1', 'r2'].map((endpoint): Draft => ['workloadendpoints', namespace, workloadName('host-2', endpoint), workloadSpec, labels]),
  ['workloadendpoints', namespace, 'not-four-parts', workloadSpec, labels],
  ...['h1', 'h2'].map(
    (name): Draft => [
      'hostendpoints',
      undefined,
      name,
      fc.record({
        node: rarely(fc.constantFrom(thisHost, thisHost, 'host-2'), nonsense),
        interfaceName: maybe(fc.constantFrom('eth0', '*')),
        expectedIPs: maybe(some(['10.0.0.1', '10.0.0.3', 'nonsense'], 2)),
        profiles: maybe(some(profileNames, 2)),
        ports: endpointPorts,
      }),
      labels,
    ],
  ),
  ...namespaces.map((within): Draft => ['networkpolicies', within, 'n1', policySpec]),
  ['networkpolicies', namespace, 'n2', policySpec],
  ['globalnetworkpolicies', undefined, 'n1', globalPolicySpec],
  ['globalnetworkpolicies', undefined, 'g2', globalPolicySpec],
  ['globalnetworkpolicies', undefined, 'g3', globalPolicySpec],
  ...['t', 'u', 'default'].map(
    (name): Draft => [
      'tiers',
      undefined,
      name,
      fc.record({ order: maybe(rarely(fc.constantFrom(1, 2, -5), nonsense)), defaultAction: maybe(fc.constantFrom('Pass', 'Deny')) }),
    ],
  ),
  ...profileNames.slice(0, 4).map((name): Draft => ['profiles', undefined, name, fc.record({ ingress: rules, egress: rules, labelsToApply: maybe(labels) })]),
  ...namespaces.map((within): Draft => ['networksets', within, 's', fc.record({ nets: rarely(some(nets, 3), nonsense) }), labels]),
  ['globalnetworksets', undefined, 's', fc.record({ nets: some([...nets, 'nonsense'], 3) }), labels],
  ...['i1', 'i2'].map(
    (name): Draft => [
      'ippools',
      undefined,
      name,
      fc.record({ cidr: rarely(fc.constantFrom('10.0.0.0/16', '10.0.1.0/16', '2001:db8::/32'), nonsense), natOutgoing: maybe(fc.boolean()) }),
    ],
  ),
  ...['host-1', 'host-2'].map(
    (name): Draft => [
      'nodes',
      undefined,
      name,
      fc.record({ bgp: maybe(rarely(fc.record({ ipv4Address: fc.constantFrom('10.0.0.1/24', '10.0.0.2/24') }), nonsense)) }),
    ],
  ),
  ['bgppeers', undefined, 'b1', fc.record({ peerIP: rarely(fc.constantFrom('10.0.0.2', '2001:db8::1', '[2001:db8::1]:179'), nonsense) })],
  ...['m1', 'm2'].map((name): Draft => ['livemigrations', namespace, name, fc.record({ source: migrationSide, target: migrationSide })]),
  ['stagedglobalnetworkpolicies', undefined, 'n1', globalPolicySpec],
];

const created = maybe(fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', 'lately'));
const noLabels: fc.Arbitrary<object | undefined> = fc.constant(undefined);

const entryOf = ([plural, within, name, spec, ownLabels = noLabels]: Draft, absent: number): fc.Arbitrary<Entry> =>
  fc.tuple(spec, ownLabels, created, fc.nat(99)).map(([content, given, born, fate]): Entry => {
    const entry = resource(plural, name, { created: born, ...(within !== undefined && { namespace: within }), ...(given && { labels: given }), spec: content });
    if (fate < absent) return [entry[0], undefined];
    return fate === 99 ? [entry[0], '{"spec":'] : entry;
  });

/** One step of a history: a key's new value or its deletion. */
export const anyEntry: fc.Arbitrary<Entry> = fc.oneof(...drafts.map((draft) => entryOf(draft, 20)));

/** A whole datastore, in which most keys have a value. */
export const anyContent: fc.Arbitrary<readonly Entry[]> = fc.tuple(...drafts.map((draft) => entryOf(draft, 10)));
