import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { groupId, ruleRow } from '../testing/rows.ts';
import { calicoRule, groupRefusal, policyContent } from './policy.ts';

const said = (rule: Parameters<typeof ruleRow>[0]) => calicoRule(ruleRow(rule));
const sayable = (rule: Parameters<typeof ruleRow>[0]) => {
  const result = said(rule);
  if ('reason' in result) throw new Error(result.reason);
  return result.rule;
};

/** neutron-lib 3.1, IP_PROTOCOL_MAP: all names that Neutron knows. */
const neutronNames =
  'ah dccp egp esp gre hopopt icmp igmp ip ipip ipv6-encap ipv6-frag ipv6-icmp icmpv6 ipv6-nonxt ipv6-opts ipv6-route ospf pgm rsvp sctp tcp udp udplite vrrp';

type Said = number | string | 'any' | 'nothing';
const protocolCases: readonly (readonly [protocol: string | number | undefined, ipv4: Said, ipv6: Said])[] = [
  [undefined, 'any', 'any'],
  ['any', 'any', 'any'],
  [-1, 'any', 'any'],
  ['-1', 'any', 'any'],
  [0, 'any', 'any'],
  ['0', 'any', 'any'],
  ['ip', 'any', 'any'],
  ['hopopt', 'any', 'any'],
  ['tcp', 6, 6],
  ['TCP', 6, 6],
  ['udp', 17, 17],
  ['sctp', 132, 132],
  ['udplite', 136, 136],
  ['ah', 51, 51],
  ['dccp', 33, 33],
  ['egp', 8, 8],
  ['esp', 50, 50],
  ['gre', 47, 47],
  ['igmp', 2, 2],
  ['ipip', 4, 4],
  ['ospf', 89, 89],
  ['pgm', 113, 113],
  ['rsvp', 46, 46],
  ['vrrp', 112, 112],
  ['ipv6-encap', 41, 41],
  ['ipv6-frag', 44, 44],
  ['ipv6-nonxt', 59, 59],
  ['ipv6-opts', 60, 60],
  ['ipv6-route', 43, 43],
  ['icmp', 'ICMP', 'ICMPv6'],
  ['1', 'ICMP', 'ICMPv6'],
  [1, 'ICMP', 'ICMPv6'],
  ['icmpv6', 'nothing', 'ICMPv6'],
  ['ipv6-icmp', 'nothing', 'ICMPv6'],
  ['58', 'nothing', 'ICMPv6'],
  [58, 'nothing', 'ICMPv6'],
  ['123', 123, 123],
  [255, 255, 255],
  ['256', 'nothing', 'nothing'],
  ['-2', 'nothing', 'nothing'],
  ['6tcp', 'nothing', 'nothing'],
  ['quic', 'nothing', 'nothing'],
];

describe('protocols', () => {
  test('every name that Neutron knows has a row', () => {
    const rows = new Set(protocolCases.map(([protocol]) => protocol));
    expect(neutronNames.split(' ').filter((name) => !rows.has(name))).toEqual([]);
  });
  const cases = protocolCases.flatMap(([protocol, ipv4, ipv6]) => [
    { protocol, ethertype: 'IPv4', ipVersion: 4, expected: ipv4 },
    { protocol, ethertype: 'IPv6', ipVersion: 6, expected: ipv6 },
  ]);
  test.each(cases)('protocol $protocol on $ethertype → $expected', ({ protocol, ethertype, ipVersion, expected }) => {
    const result = said({ protocol, ethertype });
    if (expected === 'nothing') expect(result).toHaveProperty('reason');
    else expect(result).toEqual({ direction: 'ingress', rule: { action: 'Allow', ipVersion, ...(expected !== 'any' && { protocol: expected }) } });
  });
});

const nothing = 'nothing';
describe('port ranges, ICMP types and codes', () => {
  test.each([
    // protocol, ethertype, min, max, what the rule says
    ['tcp', 'IPv4', 443, 443, { destination: { ports: [443] } }],
    ['tcp', 'IPv6', 8000, 8080, { destination: { ports: ['8000:8080'] } }],
    ['17', 'IPv4', 53, 53, { destination: { ports: [53] } }],
    ['sctp', 'IPv4', 1, 65535, { destination: { ports: ['1:65535'] } }],
    ['tcp', 'IPv4', undefined, undefined, {}],
    ['tcp', 'IPv4', -1, -1, {}],
    ['tcp', 'IPv4', 0, 80, nothing],
    ['tcp', 'IPv4', 80, 79, nothing],
    ['tcp', 'IPv4', undefined, 80, nothing],
    ['tcp', 'IPv4', 80, undefined, nothing],
    ['tcp', 'IPv4', 1, 65536, nothing],
    ['udplite', 'IPv4', 53, 53, nothing],
    ['dccp', 'IPv4', 53, 53, nothing],
    ['gre', 'IPv4', 1, 1, nothing],
    [undefined, 'IPv4', 80, 80, nothing],
    ['0', 'IPv4', 80, 80, nothing],
    ['icmp', 'IPv4', 8, 0, { icmp: { type: 8, code: 0 } }],
    ['icmp', 'IPv4', 8, undefined, { icmp: { type: 8 } }],
    ['1', 'IPv4', 8, undefined, { icmp: { type: 8 } }],
    ['icmp', 'IPv6', 128, 0, { icmp: { type: 128, code: 0 } }],
    ['58', 'IPv6', 128, undefined, { icmp: { type: 128 } }],
    ['icmpv6', 'IPv6', 135, 0, { icmp: { type: 135, code: 0 } }],
    ['icmp', 'IPv4', 254, 255, { icmp: { type: 254, code: 255 } }],
    ['icmp', 'IPv4', 255, undefined, nothing],
    ['icmp', 'IPv4', 8, 256, nothing],
    ['icmp', 'IPv4', undefined, 0, nothing],
  ] as const)('%s on %s with %s to %s → %j', (protocol, ethertype, min, max, expected) => {
    const result = said({ protocol, ethertype, port_range_min: min, port_range_max: max });
    if (expected === nothing) expect(result).toHaveProperty('reason');
    else {
      const plain = said({ protocol, ethertype });
      expect(result).toEqual({ ...plain, rule: { ...('rule' in plain && plain.rule), ...expected } });
    }
  });
});

const remotes = {
  prefix: { row: { remote_ip_prefix: '192.0.2.0/24' }, entity: { nets: ['192.0.2.0/24'] } },
  'prefix with host bits': { row: { remote_ip_prefix: '192.0.2.9/24' }, entity: { nets: ['192.0.2.0/24'] } },
  everywhere: { row: { remote_ip_prefix: '0.0.0.0/0' }, entity: { nets: ['0.0.0.0/0'] } },
  group: { row: { remote_group_id: 'bb22' }, entity: { selector: 'has(sg.projectcalico.org/openstack-bb22)' } },
  'address group': { row: { remote_address_group_id: 'cc33' }, entity: { selector: 'has(ag.projectcalico.org/openstack-cc33)' } },
} as const;

describe.each(Object.entries(remotes))('remote %s', (_, { row, entity }) => {
  test('is the source of what comes in; ports stay with the destination', () => {
    expect(sayable({ direction: 'ingress', protocol: 'tcp', port_range_min: 22, port_range_max: 22, ...row })).toEqual({
      action: 'Allow',
      ipVersion: 4,
      protocol: 6,
      source: entity,
      destination: { ports: [22] },
    });
  });
  test('is the destination of what goes out, together with the ports', () => {
    expect(sayable({ direction: 'egress', protocol: 'tcp', port_range_min: 22, port_range_max: 22, ...row })).toEqual({
      action: 'Allow',
      ipVersion: 4,
      protocol: 6,
      destination: { ...entity, ports: [22] },
    });
  });
});

test.each([
  [{ ethertype: 'IPv6', remote_ip_prefix: '192.0.2.0/24' }],
  [{ ethertype: 'IPv4', remote_ip_prefix: '2001:db8::/32' }],
  [{ remote_ip_prefix: 'example.org' }],
  [{ remote_ip_prefix: '192.0.2.0/24', remote_group_id: 'bb22' }],
  [{ remote_group_id: 'bb22', remote_address_group_id: 'cc33' }],
  [{ direction: 'both' }],
  [{ ethertype: 'ARP' }],
])('%j cannot be expressed', (row) => {
  expect(said(row)).toHaveProperty('reason');
});

test('a rule is never widened: its remote, ports, protocol and type are all translated, or nothing is', () => {
  const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  const row = fc.record({
    direction: fc.constantFrom('ingress', 'egress', 'sideways'),
    ethertype: fc.constantFrom('IPv4', 'IPv6', 'IPv5'),
    protocol: maybe(fc.oneof(fc.constantFrom(...neutronNames.split(' ')), fc.integer({ min: -2, max: 300 }), fc.string())),
    port_range_min: maybe(fc.integer({ min: -1, max: 70_000 })),
    port_range_max: maybe(fc.integer({ min: -1, max: 70_000 })),
    remote_ip_prefix: maybe(fc.oneof(fc.constantFrom('10.0.0.0/8', '::/0', '2001:db8::1/64'), fc.string())),
    remote_group_id: maybe(fc.constant('bb22')),
    remote_address_group_id: maybe(fc.constant('cc33')),
  });
  fc.assert(
    fc.property(row, (fields) => {
      const result = said(fields);
      if ('reason' in result) return;
      const { rule } = result;
      const side = (rule[fields.direction === 'ingress' ? 'source' : 'destination'] ?? {}) as Record<string, unknown>;
      const remote = fields.remote_ip_prefix ?? fields.remote_group_id ?? fields.remote_address_group_id;
      if (remote !== undefined) expect(side['nets'] ?? side['selector']).toBeDefined();
      const ranged = [fields.port_range_min, fields.port_range_max].some((value) => value !== undefined && value !== -1);
      const ports = (rule['destination'] as Record<string, unknown> | undefined)?.['ports'];
      if (ranged) expect(ports ?? rule['icmp']).toBeDefined();
      const any = ['', 'any', '-1', '0', 'ip', 'hopopt'].includes(String(fields.protocol ?? '').toLowerCase());
      expect(rule['protocol'] === undefined).toBe(any);
      expect(rule['protocol']).not.toBe(0);
      if (ports !== undefined) expect([6, 17, 132]).toContain(rule['protocol']);
    }),
    { numRuns: 3000 },
  );
});

test("a group's policy governs both directions, has its rules sorted by id, and leaves out only what cannot be expressed", () => {
  const warnings: string[] = [];
  const rules = [
    ruleRow({ id: 'c', direction: 'egress' }),
    ruleRow({ id: 'b', protocol: 'udplite', port_range_min: 5, port_range_max: 5 }),
    ruleRow({ id: 'a', protocol: 'tcp', port_range_min: 22, port_range_max: 22 }),
    ruleRow({ id: 'd', remote_group_id: groupId }),
  ];
  const content = policyContent({ id: groupId, name: 'web', stateful: true, rules }, 'openstack', (rule) => warnings.push(rule));
  expect(content).toEqual({
    kind: 'NetworkPolicy',
    name: `ossg.default.${groupId}`,
    namespace: 'openstack',
    spec: {
      selector: `has(sg.projectcalico.org/openstack-${groupId})`,
      ingress: [
        { action: 'Allow', ipVersion: 4, protocol: 6, destination: { ports: [22] } },
        { action: 'Allow', ipVersion: 4, source: { selector: `has(sg.projectcalico.org/openstack-${groupId})` } },
      ],
      egress: [{ action: 'Allow', ipVersion: 4 }],
    },
  });
  expect(warnings).toEqual(['b']);
});

test('a group without rules still has a policy, which denies its members everything', () => {
  expect(policyContent({ id: 'g', name: '', stateful: true, rules: [] }, 'openstack').spec).toEqual({
    selector: 'has(sg.projectcalico.org/openstack-g)',
    ingress: [],
    egress: [],
  });
});

test('a stateless group is refused', () => {
  expect(groupRefusal({ stateful: false })).toMatch(/stateless/);
  expect(groupRefusal({ stateful: true })).toBeUndefined();
  expect(groupRefusal({})).toBeUndefined();
});
