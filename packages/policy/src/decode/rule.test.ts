import { describe, expect, test } from 'vitest';
import { decodeRule, decodeRules, denyEverything, type RuleDefinition } from './rule.ts';

/** A decoded rule with its selectors as text, and the complaints about it. */
function decode(value: unknown, namespace?: string): { rule: unknown; problems: string[] } {
  const problems: string[] = [];
  const rule = decodeRule(value, namespace, (problem) => problems.push(problem));
  return { rule: rule && { ...rule, source: readable(rule.source), destination: readable(rule.destination) }, problems };
}
const readable = ({ selector, notSelector, ...rest }: RuleDefinition['source']) => ({
  ...rest,
  ...(selector && { selector: selector.text }),
  ...(notSelector && { notSelector: notSelector.text }),
});
const plain = { source: {}, destination: {} };
const ns = 'projectcalico.org/namespace';

describe('what is understood', () => {
  test.each<[string, object, object]>([
    ['an action in any case', { action: 'aLLoW' }, { action: 'allow' }],
    ['Pass', { action: 'Pass' }, { action: 'pass' }],
    ['Log', { action: 'Log' }, { action: 'log' }],
    ['an IP version', { action: 'Deny', ipVersion: 6 }, { action: 'deny', ipVersion: 6 }],
    ['a protocol by name, in any case', { action: 'Deny', protocol: 'sCtP' }, { action: 'deny', protocol: 132 }],
    ['a protocol by number', { action: 'Deny', protocol: 255 }, { action: 'deny', protocol: 255 }],
    ['a protocol by number as text', { action: 'Deny', protocol: '17' }, { action: 'deny', protocol: 17 }],
    ['ICMP, which is IPv4', { action: 'Deny', protocol: 'ICMP' }, { action: 'deny', protocol: 1, ipVersion: 4 }],
    ['ICMPv6, which is IPv6', { action: 'Deny', protocol: 'ICMPv6' }, { action: 'deny', protocol: 58, ipVersion: 6 }],
    ['ICMP where a version is said', { action: 'Deny', protocol: 'ICMP', ipVersion: 6 }, { action: 'deny', protocol: 1, ipVersion: 6 }],
    ['1 and 58, of either version', { action: 'Deny', protocol: 1 }, { action: 'deny', protocol: 1 }],
    ['notProtocol, of either version', { action: 'Deny', notProtocol: 'ICMP' }, { action: 'deny', notProtocol: 1 }],
    ['ICMP type and code', { action: 'Deny', icmp: { type: 8, code: 0 } }, { action: 'deny', icmp: { type: 8, code: 0 } }],
    ['a negated ICMP type', { action: 'Deny', notICMP: { type: 254 } }, { action: 'deny', notIcmp: { type: 254 } }],
    ['an empty ICMP match, which limits nothing', { action: 'Allow', icmp: {} }, { action: 'allow' }],
    ['null, which is absent', { action: 'Allow', protocol: null, source: null, http: null }, { action: 'allow' }],
    ['field names in any case', { Action: 'Deny', IPVersion: 4, NOTicmp: { Type: 1 } }, { action: 'deny', ipVersion: 4, notIcmp: { type: 1 } }],
    ['metadata, which limits nothing', { action: 'Allow', metadata: { annotations: { a: 'b' } } }, { action: 'allow' }],
  ])('%s', (_, value, expected) => expect(decode(value)).toEqual({ rule: { ...plain, ...expected }, problems: [] }));

  test.each<[string, object, object]>([
    ['prefixes, masked, each once', { nets: ['10.0.0.5/24', '10.0.0.0/24', '2001:DB8::1'] }, { nets: ['10.0.0.0/24', '2001:db8::1/128'] }],
    ['no prefixes, which limit nothing', { nets: [], notNets: null }, {}],
    ['negated prefixes', { notNets: ['0.0.0.0/0'] }, { notNets: ['0.0.0.0/0'] }],
    ['ports', { ports: [80, '443', '1:100', 65535] }, { ports: [80, 443, [1, 100], 65535] }],
    ['named ports', { ports: ['web', 'a.b_c-d'] }, { namedPorts: ['web', 'a.b_c-d'] }],
    ['named and numeric ports', { ports: ['web', 80], notPorts: ['dns'] }, { ports: [80], namedPorts: ['web'], notNamedPorts: ['dns'] }],
  ])('%s', (_, side, expected) => {
    const ranges = (ports: readonly (number | number[])[] | undefined) =>
      ports?.map((port) => (typeof port === 'number' ? { first: port, last: port } : { first: port[0], last: port[1] }));
    const { ports, ...rest } = expected as { ports?: (number | number[])[] };
    expect(decode({ action: 'Allow', protocol: 6, destination: side })).toEqual({
      rule: { action: 'allow', protocol: 6, source: {}, destination: { ...rest, ...(ports && { ports: ranges(ports) }) } },
      problems: [],
    });
  });

  test('a named port needs no protocol, and a protocol that has ports where there is one', () => {
    expect(decode({ action: 'Allow', destination: { ports: ['web'] } }).rule).toMatchObject({ destination: { namedPorts: ['web'] } });
    expect(decode({ action: 'Allow', protocol: 'ICMP', destination: { ports: ['web'] } }).rule).toBeUndefined();
  });
});

describe('where selectors apply', () => {
  test.each<[string, string | undefined, object, object]>([
    ['a selector, confined to the policy’s namespace', 'n', { selector: 'has(a)' }, { selector: `(has(a) && ${ns} == "n")` }],
    ['a selector of something global, everywhere', undefined, { selector: 'has(a)' }, { selector: 'has(a)' }],
    ['a lone notSelector, confined too', 'n', { notSelector: 'has(a)' }, { selector: `(!has(a) && ${ns} == "n")` }],
    ['a lone notSelector of something global: the rest of the world', undefined, { notSelector: 'has(a)' }, { notSelector: 'has(a)' }],
    ['both, as one', undefined, { selector: 'has(a)', notSelector: 'has(b)' }, { selector: '(!has(b) && has(a))' }],
    ['prefixes alone, not confined', 'n', { nets: ['10.0.0.0/8'] }, { nets: ['10.0.0.0/8'] }],
    ['an empty selector, which is none', 'n', { selector: '' }, {}],
    ['all(), which is everybody who has an address here', undefined, { selector: 'all()' }, { selector: 'all()' }],
    ['global() in a selector, true for everything', 'n', { selector: 'global()' }, { selector: `${ns} == "n"` }],
    ['a namespace selector, of labels of the namespace', 'n', { namespaceSelector: "a == 'b'" }, { selector: 'pcns.a == "b"' }],
    ['all() there: in some namespace', 'n', { namespaceSelector: 'all()', selector: 'has(a)' }, { selector: `(has(a) && has(${ns}))` }],
    ['global() there: in none', 'n', { namespaceSelector: 'global()', selector: 'has(a)' }, { selector: `(!has(${ns}) && has(a))` }],
    [
      'a namespace selector lifts the confinement of a notSelector',
      'n',
      { namespaceSelector: 'all()', notSelector: 'has(a)' },
      { selector: `(!has(a) && has(${ns}))` },
    ],
    ['a value that looks like all() stays a value', undefined, { namespaceSelector: "a == 'all()'" }, { selector: 'pcns.a == "all()"' }],
    [
      'service accounts by name and label',
      'n',
      { serviceAccounts: { names: ['s'], selector: 'has(a)' } },
      { selector: `(has(pcsa.a) && ${ns} == "n" && projectcalico.org/serviceaccount == "s")` },
    ],
    ['service accounts that name nothing, which limit nothing', 'n', { serviceAccounts: {} }, {}],
  ])('%s', (_, namespace, side, expected) =>
    expect(decode({ action: 'Allow', source: side }, namespace)).toEqual({ rule: { action: 'allow', source: expected, destination: {} }, problems: [] }),
  );
});

/** Conditions that are not understood, with what a Deny keeps of them. */
const notUnderstood: [string, object][] = [
  ['an unknown field', { domains: ['x'] }],
  ['HTTP, which is not enforced', { http: { methods: ['GET'] } }],
  ['an IP version that does not exist', { ipVersion: 5 }],
  ['an IP version as text', { ipVersion: '4' }],
  ['protocol 0', { protocol: 0 }],
  ['protocol 256', { protocol: 256 }],
  ['an unknown protocol', { protocol: 'QUIC' }],
  ['a protocol that only JavaScript knows', { protocol: 'constructor' }],
  ['a protocol that is an object', { protocol: {} }],
  ['an unknown negated protocol', { notProtocol: 'QUIC' }],
  ['ICMP type 255', { icmp: { type: 255 } }],
  ['an ICMP code without a type', { icmp: { code: 0 } }],
  ['an ICMP match that is a number', { icmp: 8 }],
  ['an unknown field of the ICMP match', { icmp: { type: 8, kind: 1 } }],
  ['a source that is a list', { source: [] }],
  ['an unknown field of the source', { source: { domains: ['x'] } }],
  ['services, of which this datastore has none', { source: { services: { name: 's' } } }],
  ['a prefix that is none', { source: { nets: ['10.0.0.0/8', '10.0.0.0/33'] } }],
  ['prefixes that are text', { source: { nets: '10.0.0.0/8' } }],
  ['a negated prefix that is none', { source: { notNets: ['x'] } }],
  ['a selector that does not parse', { source: { selector: 'a ==' } }],
  ['a selector that is a number', { source: { selector: 1 } }],
  ['a negated selector that does not parse', { destination: { notSelector: 'a ==' } }],
  ['a namespace selector that does not parse', { destination: { namespaceSelector: '(' } }],
  ['service accounts that are a list', { destination: { serviceAccounts: [] } }],
  ['a service account selector that does not parse', { destination: { serviceAccounts: { selector: '(' } } }],
  ['ports without a protocol', { destination: { ports: [80] } }],
];
const notUnderstoodTcp: [string, object][] = [
  ['port 0', { destination: { ports: [0] } }],
  ['port 65536', { destination: { ports: [65536] } }],
  ['half a port', { destination: { ports: [80.5] } }],
  ['a list in the list of ports', { destination: { ports: [[80]] } }],
  ['an open range', { destination: { ports: ['80:'] } }],
  ['a range backwards', { destination: { ports: ['80:70'] } }],
  ['a port that is no name', { destination: { ports: ['a b'] } }],
  ['ports that are a number', { destination: { notPorts: 80 } }],
];

describe.each([...notUnderstood, ...notUnderstoodTcp.map(([what, given]): [string, object] => [what, { protocol: 'TCP', ...given }])])('%s', (_, given) => {
  test.each(['Allow', 'Pass', 'Log'])('makes %s match nothing', (action) => {
    const { rule, problems } = decode({ ...given, action, notProtocol: 'UDP', ...given });
    expect(rule).toBeUndefined();
    expect(problems.length).toBeGreaterThan(0);
  });
  test('leaves Deny its other conditions', () => {
    const { rule, problems } = decode({ notICMP: { type: 3 }, ...given, action: 'Deny' });
    expect(rule).toMatchObject({ action: 'deny', notIcmp: { type: 3 } });
    expect(JSON.stringify(rule)).not.toMatch(/\b(nets|selector|ports|notNets|notSelector|notPorts)\b/);
    expect(problems.length).toBeGreaterThan(0);
  });
});

test('UDPLite has no ports that a rule can name', () =>
  expect(decode({ action: 'Allow', protocol: 'UDPLite', destination: { ports: [80] } }).rule).toBeUndefined());

test('a Deny keeps what it understands of the same side', () => {
  const rule = (source: object) => (decode({ action: 'Deny', source }, 'n').rule as { source: object }).source;
  expect(rule({ nets: ['x'], selector: 'has(a)', notSelector: '(' })).toEqual({ selector: `(has(a) && ${ns} == "n")` });
  expect(rule({ selector: '(', notSelector: 'has(a)' })).toEqual({ selector: `(!has(a) && ${ns} == "n")` });
});
test('a Deny of which no selector is understood is not confined to its namespace', () => {
  const rule = (source: object) => (decode({ action: 'Deny', source }, 'n').rule as { source: object }).source;
  expect(rule({ selector: '(' })).toEqual({});
  expect(rule({ selector: 'has(a)', namespaceSelector: '(' })).toEqual({ selector: 'has(a)' });
});

test.each([undefined, '', 'Reject', 7, ['Allow'], 'toString'])('an action %j denies', (action) => {
  expect(decode({ action, protocol: 'TCP' })).toMatchObject({ rule: { action: 'deny', protocol: 6 }, problems: [expect.stringContaining('action')] });
});

test('a rule that is no object, and rules that are no list, deny everything', () => {
  expect(decode('Allow')).toEqual({ rule: denyEverything, problems: [expect.any(String)] });
  const problems: string[] = [];
  expect(decodeRules({}, 'spec.ingress', undefined, (problem) => problems.push(problem))).toEqual([denyEverything]);
  expect(problems).toHaveLength(1);
});

test('a rule that says one thing twice, differently spelled, is not understood', () =>
  expect(decode({ action: 'Allow', protocol: 'TCP', Protocol: 'UDP' }).rule).toBeUndefined());

test('rules stay in order, without those that match nothing, and complaints say where', () => {
  const problems: string[] = [];
  const rules = decodeRules([{ action: 'Allow', protocol: 'x' }, { action: 'Deny' }, { action: 'Pass' }], 'spec.egress', undefined, (problem) =>
    problems.push(problem),
  );
  expect(rules.map(({ action }) => action)).toEqual(['deny', 'pass']);
  expect(problems).toEqual(['spec.egress[0] protocol is "x", not a protocol']);
});
