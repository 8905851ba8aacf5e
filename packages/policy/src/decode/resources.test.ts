import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytes, Cluster, namespace, thisHost } from '../testing/resources.ts';
import { decodeHostEndpoint } from './host-endpoint.ts';
import { decodeIpPool } from './ip-pool.ts';
import { workloadLabels } from './labels.ts';
import { decodeLiveMigration } from './live-migration.ts';
import { decodeNetworkSet } from './network-set.ts';
import { decodeProfile, denyingRules } from './profile.ts';

const value = (spec: unknown, labels?: object): Uint8Array => bytes(JSON.stringify({ metadata: { ...(labels && { labels }) }, spec }));

describe('a profile', () => {
  test('has rules without a namespace, and labels', () => {
    const { value: profile, defects } = decodeProfile(
      value({ ingress: [{ action: 'Allow', source: { selector: 'has(a)' } }], labelsToApply: { a: 'b', empty: '' } }),
    );
    expect(profile).toMatchObject({ ingress: [{ action: 'allow', source: { selector: { text: 'has(a)' } } }], egress: [] });
    expect(profile?.labels).toEqual(
      new Map([
        ['a', 'b'],
        ['empty', ''],
      ]),
    );
    expect(defects).toEqual([]);
  });
  test.each([
    { ingress: [{ action: 'Allow', protocol: 'x' }], egress: [{ action: 'Allow' }] },
    { ingress: {} },
    { egress: [{ action: 'Allow' }], labelsToApply: { a: 1, b: 'c' } },
    { labelsToApply: [] },
  ])('of which anything is not understood denies everything: %j', (spec) => {
    expect(decodeProfile(value(spec))).toMatchObject({ value: denyingRules, defects: [expect.stringContaining('denies everything')] });
  });
  test('keeps the labels that are understood', () =>
    expect(decodeProfile(value({ labelsToApply: { a: 1, b: 'c' } })).value?.labels).toEqual(new Map([['b', 'c']])));
});

describe('a network set', () => {
  test('is in its namespace, whatever it says, and inherits from the namespace’s profile', () => {
    expect(decodeNetworkSet(value({ nets: ['10.0.0.5/8', '10.0.0.0/8'] }, { a: 'b', 'projectcalico.org/namespace': 'x' }), 'n').value).toEqual({
      labels: { a: 'b', 'projectcalico.org/namespace': 'n' },
      profiles: ['kns.n'],
      nets: ['10.0.0.0/8'],
    });
    expect(decodeNetworkSet(value({}, { a: 'b' }), undefined).value).toEqual({ labels: { a: 'b' }, profiles: [], nets: [] });
  });
  test('goes without the entries that are none', () => {
    expect(decodeNetworkSet(value({ nets: ['10.0.0.0/33', 5, '::/0'] }), undefined)).toMatchObject({ value: { nets: ['::/0'] }, defects: [{}, {}] });
    expect(decodeNetworkSet(value({ nets: 'x' }), undefined)).toMatchObject({ value: { nets: [] }, defects: [{}] });
  });
});

describe('a host endpoint', () => {
  test('by interface', () =>
    expect(
      decodeHostEndpoint(value({ node: 'h', interfaceName: 'eth0', profiles: ['p'], ports: [{ name: 'web', protocol: 'TCP', port: 80 }] }, { a: 'b' })),
    ).toEqual({
      value: { host: 'h', labels: { a: 'b' }, interfaceName: 'eth0', expectedIps: [], profiles: ['p'], ports: [{ name: 'web', protocol: 6, port: 80 }] },
      defects: [],
    }));
  test('by address', () =>
    expect(decodeHostEndpoint(value({ node: 'h', expectedIPs: ['2001:DB8::1'] })).value).toMatchObject({ expectedIps: ['2001:db8::1'] }));
  test('for every interface', () => expect(decodeHostEndpoint(value({ node: 'h', interfaceName: '*' })).value).toMatchObject({ interfaceName: '*' }));
  test.each([
    { interfaceName: 'eth0' },
    { node: 7, interfaceName: 'eth0' },
    { node: 'h' },
    { node: 'h', expectedIPs: ['x'] },
    { node: 'h', interfaceName: '../all' },
    { node: 'h', interfaceName: 5 },
  ])('counts as absent when nobody knows which interface it is: %j', (spec) => expect(decodeHostEndpoint(value(spec)).value).toBeUndefined());
  test('stays when something else is not understood: its interface must not open', () => {
    const { value: endpoint, defects } = decodeHostEndpoint(
      value({ node: 'h', interfaceName: 'eth0', expectedIPs: ['x'], profiles: 'p', ports: [{ name: 'x', protocol: ['TCP'], port: 1 }] }),
    );
    expect(endpoint).toMatchObject({ expectedIps: [], profiles: [], ports: [] });
    expect(defects).toHaveLength(3);
  });
});

test.each<[object, unknown]>([
  [{ cidr: '10.0.0.5/16' }, { cidr: '10.0.0.0/16', natOutgoing: false }],
  [
    { cidr: '10.0.0.0/16', natOutgoing: true, disabled: true },
    { cidr: '10.0.0.0/16', natOutgoing: true },
  ],
  [
    { cidr: '10.0.0.0/16', natOutgoing: 'yes' },
    { cidr: '10.0.0.0/16', natOutgoing: false },
  ],
  [{ cidr: 'x' }, undefined],
  [{}, undefined],
])('the pool %j', (spec, expected) => expect(decodeIpPool(value(spec)).value).toEqual(expected));

describe('a live migration', () => {
  const reference = { hostname: 'h', orchestratorID: 'openstack', workloadID: 'n/vm', endpointID: 'p' };
  const { endpointID: _, ...workload } = reference;
  test.each<[string, unknown, object]>([
    [
      'from endpoint to endpoint',
      { source: { workloadEndpoint: reference }, target: { workloadEndpoint: reference } },
      { source: { endpoint: 'p' }, target: { host: 'h', orchestrator: 'openstack', workload: 'n/vm' } },
    ],
    [
      'from a workload to whom a selector matches',
      { source: { workload }, target: { selector: 'has(a)' } },
      { source: { host: 'h' }, targetSelector: { text: 'has(a)' } },
    ],
    ['from and to nobody', { source: null, target: {} }, {}],
    ['with empty fields', { source: { workloadEndpoint: {} }, target: { workloadEndpoint: { ...reference, hostname: '' }, selector: '' } }, {}],
    ['that is not understood', { source: 'x', target: { workloadEndpoint: 5, selector: '(' } }, {}],
  ])('%s', (_, spec, expected) => {
    const { value: migration } = decodeLiveMigration(value(spec));
    expect(migration).toMatchObject(expected);
    expect(Object.keys(migration!)).toEqual(Object.keys(expected));
  });
});

test('a workload cannot say that it is in another namespace than it is, nor under another service account', () => {
  const labels = { a: '1', 'pcns.a': '1', 'pcsa.a': '1', 'projectcalico.org/serviceaccount': 'x' };
  expect(workloadLabels({ labels })).toEqual(['a', '1', 'projectcalico.org/serviceaccount', 'x']);
  expect(workloadLabels({ labels, serviceAccount: 's' })).toEqual(['a', '1', 'projectcalico.org/serviceaccount', 's']);
});

const plurals = [
  'workloadendpoints',
  'networkpolicies',
  'networksets',
  'livemigrations',
  'globalnetworkpolicies',
  'globalnetworksets',
  'tiers',
  'profiles',
  'hostendpoints',
  'ippools',
];
const namespaced = new Set(plurals.slice(0, 4));
const field = fc.constantFrom(
  ...[
    'selector',
    'namespaceSelector',
    'types',
    'order',
    'tier',
    'ingress',
    'egress',
    'action',
    'source',
    'destination',
    'protocol',
    'ports',
    'nets',
    'icmp',
    'type',
    'labelsToApply',
  ],
  ...[
    'interfaceName',
    'ipNetworks',
    'mac',
    'profiles',
    'ipNATs',
    'node',
    'expectedIPs',
    'cidr',
    'target',
    'workloadEndpoint',
    'hostname',
    'name',
    'port',
    '__proto__',
    'constructor',
    'serviceAccounts',
    'qosControls',
  ],
);
const { anything } = fc.letrec((tie) => ({
  anything: fc.oneof(
    { depthSize: 'large', withCrossShrink: true },
    fc.constantFrom(null, true, 0, -1, 'Allow', 'Deny', 'TCP', 'all()', '10.0.0.0/8', 'eth0', thisHost, '', '1:2', 80),
    fc.array(tie('anything'), { maxLength: 3 }),
    fc.array(fc.tuple(field, tie('anything')), { maxLength: 6 }).map((entries) => Object.fromEntries(entries)),
  ),
}));

test('no content of the datastore makes the calculation throw', () => {
  const name = `${thisHost.replaceAll('-', '--')}-openstack-vm-p`;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...plurals), fc.oneof(anything, fc.record({ spec: anything as fc.Arbitrary<unknown>, metadata: fc.constant({}) }))), {
        maxLength: 8,
      }),
      (entries) => {
        const cluster = new Cluster();
        for (const [plural, content] of entries)
          cluster.put([`/calico/resources/v3/projectcalico.org/${plural}/${namespaced.has(plural) ? `${namespace}/` : ''}${name}`, JSON.stringify(content)]);
      },
    ),
    { numRuns: 1000 },
  );
});

test('what nests without end does not make it throw either', () => {
  const deep = '['.repeat(20_000) + ']'.repeat(20_000);
  const name = `${thisHost.replaceAll('-', '--')}-openstack-vm-p`;
  for (const plural of plurals) {
    for (const spec of [
      'selector',
      'ingress',
      'types',
      'order',
      'tier',
      'nets',
      'cidr',
      'node',
      'interfaceName',
      'labelsToApply',
      'source',
      'target',
      'ports',
      'profiles',
    ]) {
      for (const content of [deep, `[${deep}]`, `[{"action":${deep},"protocol":${deep},"source":{"nets":${deep}}}]`, `{"selector":${deep}}`]) {
        const key = `/calico/resources/v3/projectcalico.org/${plural}/${namespaced.has(plural) ? `${namespace}/` : ''}${name}`;
        new Cluster([key, `{"spec":{"${spec}":${content}}}`]);
      }
    }
  }
});
