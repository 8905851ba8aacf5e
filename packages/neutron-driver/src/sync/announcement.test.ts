import { describe, expect, test } from 'vitest';
import { announcement, apiPort } from '../testing/database.ts';
import { bindingRow, deviceId, portId, portRow, ruleRow } from '../testing/rows.ts';
import { derive } from './announcement.ts';

type Row = Record<string, unknown> | null;
const after = (kind: string, original: Row, current: Row) => derive(announcement(kind, 'x', original, current), 'after').changes;
const port = (changes: Parameters<typeof portRow>[0] = {}) => apiPort(portRow(changes));
const withHolders = (id: string): readonly unknown[] => [
  { kind: 'port', id, slots: [] },
  { kind: 'ports_of', of: 'pair_holders', id },
];
const bound = (host: string, vif = 'tap', profile = {}) => ({ bindings: [bindingRow(host, vif, profile)] });
const slots = (...places: readonly string[]) => [
  {
    kind: 'port',
    id: portId,
    slots: places.map((place) => {
      const [host, device = deviceId] = place.split(' ');
      return { host, device };
    }),
  },
];

describe('ports', () => {
  test.each<readonly [string, Row, Row, unknown]>([
    ['bound', port(bound('h1', 'unbound')), port(bound('h1')), slots('h1')],
    ['created bound, in bulk', null, port(bound('h1')), slots('h1')],
    ['created, to be bound', null, port(bound('h1', 'unbound')), []],
    ['deleted', port(bound('h1')), null, slots('h1')],
    ['moved', port(bound('h1')), port(bound('h2', 'unbound')), slots('h1', 'h2')],
    ['detached, owner and device cleared', port(bound('h1')), port({ ...bound('h1'), device_owner: '', device_id: '' }), slots('h1')],
    ['given to another VM', port(bound('h1')), port({ ...bound('h1'), device_id: 'other' }), slots('h1', 'h1 other')],
    ['moving', port(bound('h1')), port(bound('h1', 'unbound', { migrating_to: 'h2' })), slots('h1', 'h2')],
    ['no longer moving', port(bound('h1', 'tap', { migrating_to: 'h2' })), port(bound('h1')), slots('h1', 'h2')],
    ['moving to where it is', port(bound('h1')), port(bound('h1', 'tap', { migrating_to: 'h1' })), slots('h1')],
    ['with another status', port({ ...bound('h1'), status: 'DOWN' }), port({ ...bound('h1'), status: 'ACTIVE' }), []],
    ['unchanged', port(bound('h1')), port(bound('h1')), []],
    ["a router's", null, port({ ...bound('h1'), device_owner: 'network:router_interface' }), []],
    ['without a host', port(bound('')), port({ ...bound(''), mac_address: 'fa:16:3e:00:00:01' }), []],
  ])('%s', (_, original, current, changes) => {
    expect(derive(announcement('port', portId, original, current), 'after').changes).toEqual(changes);
  });
  test('of the two halves of a binding, only the second is checked at once', () => {
    const halfway = (original: Row, current: Row) => derive(announcement('port', portId, original, current), 'after').halfway ?? false;
    expect(halfway(port(bound('h1')), port(bound('h2', 'unbound')))).toBe(true);
    expect(halfway(port(bound('h2', 'unbound')), port(bound('h2')))).toBe(false);
    expect(halfway(port(bound('h2', 'unbound')), port(bound('h2', 'binding_failed')))).toBe(false);
    expect(halfway(port(bound('h1')), port(bound('', 'unbound')))).toBe(false); // detached: no second half comes
    expect(halfway(port(bound('h1', 'unbound')), null)).toBe(false);
  });
  test('a port to be bound is announced before it is created, so that it can be refused as a whole', () => {
    expect(derive(announcement('port', portId, null, port(bound('h1', 'unbound'))), 'before').changes).toEqual(slots('h1'));
  });
});

const ports = (of: string, id = 'x') => ({ kind: 'ports_of', of, id });
test.each<readonly [string, string, Row, Row, unknown]>([
  ['a group created', 'security_group', null, { stateful: true }, [{ kind: 'security_group', id: 'x' }]],
  ['a group renamed', 'security_group', { name: 'a' }, { name: 'b' }, [{ kind: 'security_group', id: 'x' }, ports('security_group')]],
  ['a group deleted', 'security_group', { name: 'a' }, null, [{ kind: 'security_group', id: 'x' }]],
  ['a rule created', 'security_group_rule', null, ruleRow({ security_group_id: 'g' }), [{ kind: 'security_group', id: 'g' }]],
  ['a rule deleted', 'security_group_rule', { security_group_id: 'g' }, null, [{ kind: 'security_group', id: 'g' }]],
  ['an address group', 'address_group', {}, {}, [{ kind: 'address_group', id: 'x' }]],
  ['a subnet created', 'subnet', null, { gateway_ip: '10.0.0.1' }, [{ kind: 'subnet', id: 'x' }]],
  ['a subnet on a network', 'subnet', null, { network_id: 'n' }, [{ kind: 'subnet', id: 'x' }, ports('network_pairs', 'n')]],
  ["a subnet's name servers", 'subnet', { network_id: 'n' }, { network_id: 'n', dns_nameservers: ['10.0.0.3'] }, [{ kind: 'subnet', id: 'x' }]],
  ["a subnet's gateway", 'subnet', { gateway_ip: '10.0.0.1' }, { gateway_ip: null }, [{ kind: 'subnet', id: 'x' }, ports('subnet')]],
  ['a subnet deleted', 'subnet', { network_id: 'n' }, null, [{ kind: 'subnet', id: 'x' }, ports('network_pairs', 'n')]],
  ['a SLAAC subnet deleted', 'subnet', { network_id: 'n', ipv6_address_mode: 'slaac' }, null, [{ kind: 'subnet', id: 'x' }, ports('network', 'n')]],
  ['a network created', 'network', null, { name: 'a' }, []],
  ['a network renamed', 'network', { name: 'a' }, { name: 'b' }, [ports('network')]],
  ["a network's QoS", 'network', { name: 'a', qos_policy_id: null }, { name: 'a', qos_policy_id: 'q' }, [ports('network')]],
  ["a network's MTU", 'network', { name: 'a', mtu: 1500 }, { name: 'a', mtu: 1400 }, []],
  ['a network deleted', 'network', { name: 'a' }, null, []],
  ['a floating IP moved', 'floatingip', { port_id: 'p1' }, { fixed_port_id: 'p2' }, ['p1', 'p2'].flatMap(withHolders)],
  ['a floating IP deleted', 'floatingip', { port_id: 'p1' }, null, withHolders('p1')],
  ['a floating IP of no port', 'floatingip', null, { port_id: null }, []],
  ['a QoS policy', 'qos_policy', {}, {}, [ports('qos_policy')]],
  ['something else', 'trunk', {}, {}, []],
])('%s', (_, kind, original, current, changes) => {
  expect(after(kind, original, current)).toEqual(changes);
});

describe('what is refused before the commit', () => {
  const refusal = (kind: string, original: Row, current: Row) => derive(announcement(kind, 'x', original, current), 'before').refusal;
  test.each<readonly [string, string, Row, Row, RegExp | undefined]>([
    ['a rule that can be expressed', 'security_group_rule', null, ruleRow(), undefined],
    ['a rule with ports on udplite', 'security_group_rule', null, ruleRow({ protocol: 'udplite', port_range_min: 1, port_range_max: 2 }), /TCP, UDP and SCTP/],
    [
      'a template of such a rule',
      'default_security_group_rule',
      null,
      { ...ruleRow({ protocol: 'udplite', port_range_min: 1, port_range_max: 2 }), id: '' },
      /UDP and SCTP/,
    ],
    ['a template of a rule that can be', 'default_security_group_rule', null, { ...ruleRow(), remote_group_id: 'PARENT' }, undefined],
    ['a rule that lacks everything', 'security_group_rule', null, { security_group_id: 'g' }, /lacks fields|not known/],
    ['deleting a rule that cannot be expressed', 'security_group_rule', ruleRow({ protocol: 'quic' }), null, undefined],
    ['a stateless group', 'security_group', null, { name: 'g', stateful: false }, /stateless/],
    ['a group made stateless', 'security_group', { stateful: true }, { name: 'g', stateful: false }, /stateless/],
    ['renaming one that is stateless already', 'security_group', { name: 'a', stateful: false }, { name: 'b', stateful: false }, undefined],
    ['deleting one', 'security_group', { name: 'a', stateful: false }, null, undefined],
  ])('%s', (_, kind, original, current, expected) => {
    if (expected) expect(refusal(kind, original, current)).toMatch(expected);
    else expect(refusal(kind, original, current)).toBeUndefined();
  });
});
