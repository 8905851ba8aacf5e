import { describe, expect, test } from 'vitest';
import { type Answer, createOracle, type Packet } from './judge.ts';

const root = '/calico/resources/v3/projectcalico.org/';
const web = `${root}workloadendpoints/openstack/h1-openstack-w1-p1`;
const db = `${root}workloadendpoints/openstack/h2-openstack-w2-p2`;

type Resources = Record<string, { labels?: object; spec: object }>;

const endpoint = (address: string, labels: object, spec: object = {}) => ({
  labels: { 'projectcalico.org/namespace': 'openstack', ...labels },
  spec: { interfaceName: 'tap1', ipNetworks: [`${address}/32`, `fd00::${address.split('.')[3]}/128`], ...spec },
});

const base: Resources = { [web]: endpoint('10.0.0.1', { role: 'web' }), [db]: endpoint('10.0.0.2', { role: 'db' }) };

function ask(more: Resources, packet: Partial<Packet> = {}, ends: { from?: string; to?: string } = { from: web, to: db }): Answer {
  const resources = new Map(Object.entries({ ...base, ...more }).map(([key, { labels, spec }]) => [key, JSON.stringify({ metadata: { labels }, spec })]));
  return createOracle(resources).ask({
    ...ends,
    packet: { source: '10.0.0.1', destination: '10.0.0.2', protocol: 6, sourcePort: 30000, destinationPort: 80, ...packet },
  });
}

const policy = (name: string, spec: object): Resources => ({ [`${root}networkpolicies/openstack/${name}`]: { spec } });
const globalPolicy = (name: string, spec: object): Resources => ({ [`${root}globalnetworkpolicies/${name}`]: { spec } });
const tier = (name: string, spec: object): Resources => ({ [`${root}tiers/${name}`]: { spec } });
const openEgress = policy('out', { selector: "role == 'web'", types: ['Egress'], egress: [{ action: 'Allow' }] });
const ingress = (...rules: object[]): Resources => ({ ...openEgress, ...policy('in', { selector: "role == 'db'", types: ['Ingress'], ingress: rules }) });

test('without policy and profile nothing passes, and the reason says so', () => {
  expect(ask({})).toEqual({
    verdict: 'deny',
    says: [{ endpoint: web, direction: 'egress', verdict: 'deny', reason: { because: 'no policy and no profile accepts' }, passed: [] }],
  });
});

test('both ends have their say, and each names its rule', () => {
  const answer = ask(ingress({ action: 'Deny', protocol: 'UDP' }, { action: 'Allow' }));
  expect(answer.verdict).toBe('allow');
  expect(answer.says.map((say) => say.reason)).toMatchObject([
    { because: 'rule', rule: { name: 'out', direction: 'egress', index: 0 } },
    { because: 'rule', rule: { in: 'policy', kind: 'NetworkPolicy', namespace: 'openstack', name: 'in', tier: 'default', direction: 'ingress', index: 1 } },
  ]);
});

describe('a rule matches', () => {
  const verdict = (rule: object, packet: Partial<Packet> = {}): string => ask(ingress({ action: 'Allow', ...rule }), packet).verdict;
  const v6 = { source: 'fd00::1', destination: 'fd00::2' };
  const ping = { protocol: 1, icmpType: 8, icmpCode: 0 };
  test.each<[string, object, Partial<Packet>, string]>([
    ['a protocol by number', { protocol: 6 }, {}, 'allow'],
    ['a protocol by digits', { protocol: '17' }, {}, 'deny'],
    ['not a protocol', { notProtocol: 'TCP' }, {}, 'deny'],
    ['a port', { protocol: 'TCP', destination: { ports: [80] } }, {}, 'allow'],
    ['a range', { protocol: 'TCP', destination: { ports: ['81:90'] } }, {}, 'deny'],
    ['not a port', { protocol: 'TCP', destination: { notPorts: ['70:90'] } }, {}, 'deny'],
    ['a prefix', { source: { nets: ['10.0.0.0/31'] } }, {}, 'allow'],
    ['a prefix in its own family only', { source: { nets: ['10.0.0.0/8'] } }, v6, 'deny'],
    ['a negated prefix in its own family only', { source: { notNets: ['10.9.0.0/16'] } }, v6, 'deny'],
    ['not a prefix', { source: { notNets: ['10.0.0.1/32'] } }, {}, 'deny'],
    ['an address of a selected endpoint', { source: { selector: "role == 'web'" } }, {}, 'allow'],
    ['not an address of a selected endpoint', { source: { notSelector: "role == 'web'" } }, {}, 'deny'],
    ['its namespace', { source: { namespaceSelector: 'all()' } }, {}, 'allow'],
    ['outside of any namespace', { source: { namespaceSelector: 'global()' } }, {}, 'deny'],
    ['IPv6', { ipVersion: 6 }, {}, 'deny'],
    ['ICMP with type and code', { protocol: 'ICMP', icmp: { type: 8, code: 0 } }, ping, 'allow'],
    ['ICMP with another code', { protocol: 'ICMP', icmp: { type: 8, code: 1 } }, ping, 'deny'],
    ['not an ICMP type', { protocol: 'ICMP', notICMP: { type: 8 } }, ping, 'deny'],
    ['not an ICMP type and code', { protocol: 'ICMP', notICMP: { type: 8, code: 1 } }, ping, 'allow'],
  ])('%s', (_, rule, packet, expected) => expect(verdict(rule, packet)).toBe(expected));

  test('a named port of the endpoint that has the address, with its protocol', () => {
    const named = (protocol: string): string =>
      ask({
        ...ingress({ action: 'Allow', protocol: 'TCP', destination: { ports: ['web'] } }),
        [db]: endpoint('10.0.0.2', { role: 'db' }, { ports: [{ name: 'web', protocol, port: 80 }] }),
      }).verdict;
    expect([named('TCP'), named('UDP')]).toEqual(['allow', 'deny']);
  });
  test('an address of a network set', () => {
    const set = { [`${root}networksets/openstack/ns`]: { labels: { net: 'lab' }, spec: { nets: ['10.0.0.0/24'] } } };
    expect(ask({ ...ingress({ action: 'Allow', source: { selector: 'has(net)' } }), ...set }).verdict).toBe('allow');
  });
});

describe('what is not understood never lets a packet through', () => {
  test.each<[string, object]>([
    ['an Allow with a field that nobody knows', { action: 'Allow', source: { domains: ['x'] } }],
    ['an Allow with a prefix that is none', { action: 'Allow', source: { nets: ['10.0.0.0/8', 'x'] } }],
    ['an Allow with ports and no protocol', { action: 'Allow', destination: { ports: [80] } }],
    ['an unknown action', { action: 'Permit' }],
    ['an Allow for HTTP', { action: 'Allow', http: { methods: ['GET'] } }],
  ])('%s', (_, rule) => expect(ask(ingress(rule)).verdict).toBe('deny'));
  test('a Deny keeps what is understood of it', () => {
    const denying = (port: number) =>
      ask(ingress({ action: 'Deny', protocol: 'TCP', destination: { ports: [port] }, source: { nets: ['x'] } }, { action: 'Allow' })).verdict;
    expect([denying(80), denying(81)]).toEqual(['deny', 'allow']);
  });
  test('a policy whose selector does not parse is as good as absent', () => {
    expect(ask({ ...ingress({ action: 'Allow' }), ...globalPolicy('bad', { selector: 'has(', order: 1, ingress: [{ action: 'Deny' }] }) }).verdict).toBe(
      'allow',
    );
  });
});

describe('order', () => {
  test('policies go by order, then by name; the first rule that matches decides', () => {
    const with_ = (order: number) =>
      ask({ ...ingress({ action: 'Allow' }), ...globalPolicy('z', { order, types: ['Ingress'], ingress: [{ action: 'Deny' }] }) });
    expect(with_(1).says[1]!.reason).toMatchObject({ rule: { name: 'z' } });
  });
  test('a tier that exists comes before one that is only named, and ends as it says', () => {
    const early = (spec: object) => ({
      ...tier('early', spec),
      ...globalPolicy('e', { tier: 'early', selector: "role == 'db'", types: ['Ingress'], ingress: [{ action: 'Allow', protocol: 'UDP' }] }),
    });
    expect(ask({ ...ingress({ action: 'Allow' }), ...early({}) }).says[1]!.reason).toEqual({ because: 'end of tier', tier: 'early', policies: ['e'] });
    expect(ask({ ...ingress({ action: 'Allow' }), ...early({ defaultAction: 'Pass' }) }).verdict).toBe('allow');
  });
  test('Pass goes to the next tier, and is told', () => {
    const passing = { ...tier('early', {}), ...globalPolicy('e', { tier: 'early', types: ['Ingress'], ingress: [{ action: 'Log' }, { action: 'Pass' }] }) };
    expect(ask({ ...ingress({ action: 'Allow' }), ...passing }).says[1]).toMatchObject({ verdict: 'allow', passed: [{ name: 'e', index: 1 }] });
  });
  test('a tier counts only in the directions that its policies govern', () => {
    expect(
      ask({ ...ingress({ action: 'Allow' }), ...tier('early', {}), ...globalPolicy('e', { tier: 'early', types: ['Ingress'], ingress: [{ action: 'Pass' }] }) })
        .verdict,
    ).toBe('allow');
  });
  test('after the tiers come the profiles; a missing one denies in its place', () => {
    const profiles = (...names: string[]) => ({ [db]: endpoint('10.0.0.2', { role: 'db' }, { profiles: names }), ...openEgress });
    expect(ask(profiles('projectcalico-default-allow', 'nosuch')).verdict).toBe('allow');
    expect(ask(profiles('nosuch', 'projectcalico-default-allow')).says[1]!.reason).toEqual({ because: 'profile missing', profile: 'nosuch' });
  });
});

test('labels are inherited from profiles, the endpoint’s own first', () => {
  const profile = { [`${root}profiles/p`]: { spec: { labelsToApply: { role: 'db', more: 'yes' } } } };
  const both = { ...profile, ...openEgress, [db]: endpoint('10.0.0.2', { role: 'cache' }, { profiles: ['p'] }) };
  const seen = (selector: string): string => ask({ ...both, ...policy('in', { selector, types: ['Ingress'], ingress: [{ action: 'Allow' }] }) }).verdict;
  expect([seen("role == 'cache' && more == 'yes'"), seen("role == 'db'")]).toEqual(['allow', 'deny']);
});

describe('what no policy lets a workload send', () => {
  test.each<[Partial<Packet>, object]>([
    [{ source: '10.0.0.9' }, { because: 'source not its own' }],
    [
      { protocol: 17, destinationPort: 4789 },
      { because: 'never from a workload', what: 'VXLAN' },
    ],
    [{ protocol: 4 }, { because: 'never from a workload', what: 'IP in IP' }],
    [
      { protocol: 17, sourcePort: 67, destinationPort: 68 },
      { because: 'never from a workload', what: 'DHCP server' },
    ],
  ])('%j', (packet, reason) => expect(ask(ingress({ action: 'Allow' }), packet).says[0]).toMatchObject({ verdict: 'deny', reason }));
});

test('an endpoint that is not valid, or not there, lets nothing pass', () => {
  expect(ask({ ...ingress({ action: 'Allow' }), [db]: endpoint('10.0.0.2', { role: 'db' }, { mac: 'x' }) }).says.at(-1)!.reason).toEqual({
    because: 'endpoint unknown',
    key: db,
  });
  expect(ask(ingress({ action: 'Allow' }), {}, { to: 'nosuch' }).verdict).toBe('deny');
});
