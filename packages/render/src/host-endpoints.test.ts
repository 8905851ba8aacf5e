import { parseCidr } from '@calico-openstack/addresses';
import {
  type EndpointPolicy,
  type HostEndpointId,
  type LocalHostEndpoint,
  noChange,
  type Policy,
  type PolicyId,
  type ProfileId,
} from '@calico-openstack/datamodel';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { describe, expect, test } from 'vitest';
import { applyEdits } from './edits.ts';
import { defaultRenderOptions, type RenderOptions } from './options.ts';
import { Renderer } from './renderer.ts';
import { ifnameBytes, port, u32 } from './statements.ts';

const none: EndpointPolicy = { ingress: [], egress: [], profiles: [] };
/** The policy with this name in both directions, in a tier that ends in `pass`. */
const governedBy = (name: string): EndpointPolicy => {
  const tiers = [{ tier: 'default', policies: [`GlobalNetworkPolicy//${name}` as PolicyId], endAction: 'pass' as const }];
  return { ingress: tiers, egress: tiers, profiles: [] as readonly ProfileId[] };
};
const policyOf = (name: string, action: 'allow' | 'deny', ports: readonly number[]): [PolicyId, Policy] => {
  const id = `GlobalNetworkPolicy//${name}` as PolicyId;
  const rules = [{ action, protocol: 6, source: {}, destination: { ports: ports.map((each) => ({ first: each, last: each })) } }];
  return [id, { id, tier: 'default', ingress: rules, egress: rules } as unknown as Policy];
};
const policies = new Map([policyOf('allows-80', 'allow', [80]), policyOf('denies-81', 'deny', [81, 22, 53])]);
const failsafes: RenderOptions['failsafes'] = {
  inbound: [
    { protocol: 'tcp', port: 22 },
    { protocol: 'tcp', port: 23, net: parseCidr('192.0.2.0/24')! },
  ],
  outbound: [{ protocol: 'tcp', port: 53 }],
};

function setUp(parts: Partial<LocalHostEndpoint>, name = 'eth0', options: Partial<RenderOptions> = {}) {
  const tables = { inet: fakeTable(), arp: fakeTable('arp') };
  const programmers = { inet: tables.inet.table, arp: tables.arp.table };
  const renderer = new Renderer({ ...defaultRenderOptions, failsafes, ...options });
  const take = (edits: ReturnType<Renderer['start']>): void => {
    expect(applyEdits(programmers, edits)).toEqual([]);
    tables.inet.table.apply();
  };
  take(renderer.start());
  const before = tables.inet.table.print();
  const endpoint: LocalHostEndpoint = { id: 'h' as HostEndpointId, expectedIps: [], policy: none, forward: none, untracked: none, preDnat: none, ...parts };
  take(renderer.render({ ...noChange, policies }, new Map([[name, endpoint]])).tables);
  return {
    before,
    print: () => tables.inet.table.print(),
    remove: () =>
      take(renderer.render({ ...noChange, policies: new Map([...policies.keys()].map((id) => [id, undefined])) }, new Map([[name, undefined]])).tables),
    /** The verdict at one hook on a packet of TCP to a port, with other fields. */
    at(hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting', destinationPort: number, fields: Partial<Record<Field, Uint8Array>> = {}) {
      const packet = new Map<Field, Uint8Array>([
        ['meta nfproto', Uint8Array.of(2)],
        ['meta l4proto', Uint8Array.of(6)],
        ['ip saddr', Uint8Array.of(192, 0, 2, 7)],
        ['ip daddr', Uint8Array.of(192, 0, 2, 1)],
        ['th sport', port(40000)],
        ['th dport', port(destinationPort)],
        ['meta iif', u32(hook === 'output' || hook === 'postrouting' ? 0 : 7)],
        ['ct state', u32(8)],
        ['ct status', u32(0)],
        [hook === 'output' || hook === 'postrouting' ? 'meta oifname' : 'meta iifname', ifnameBytes('eth0')],
        ...(Object.entries(fields) as [Field, Uint8Array][]),
      ]);
      return tables.inet.evaluate(hook, packet);
    },
  };
}

const translated = { 'ct status': u32(32) };

test('without host endpoints nothing is there for them, and after the last one neither', () => {
  const all = governedBy('allows-80');
  const { before, print, remove } = setUp({ policy: all, forward: all, untracked: all, preDnat: all });
  expect(before).not.toContain('chain host-');
  expect(print().match(/hook \w+ priority/g)!.length - before.match(/hook \w+ priority/g)!.length).toBe(7);
  remove();
  expect(print()).toBe(before);
});

describe('at the host’s own sockets', () => {
  test('what no policy allows is denied on this interface; failsafe ports, connections in progress and loopback pass', () => {
    const { at } = setUp({ policy: governedBy('allows-80') });
    const verdicts = (hook: 'input' | 'output'): string[] => [80, 81, 22, 23, 53].filter((each) => at(hook, each).verdict === 'accept').map(String);
    expect(verdicts('input')).toEqual(['80', '22', '23']);
    expect(verdicts('output')).toEqual(['80', '53']);
    expect(at('input', 23, { 'ip saddr': Uint8Array.of(198, 51, 100, 1) }).verdict).toBe('drop');
    for (const [field, hook] of [
      ['meta iifname', 'input'],
      ['meta oifname', 'output'],
    ] as const) {
      for (const name of ['lo', 'eth1', 'tap1'])
        expect(at(hook, 81, { [field]: ifnameBytes(name), 'ct state': u32(8) }).verdict).toBe(name === 'tap1' && hook === 'input' ? 'drop' : 'accept');
      for (const state of [2, 4]) expect(at(hook, 81, { 'ct state': u32(state) }).verdict).toBe('accept');
    }
  });
  test('invalid packets are denied here alone, and not to failsafe ports', () => {
    const { at } = setUp({ policy: governedBy('allows-80') });
    const invalid = { 'ct state': u32(1) };
    expect([
      at('input', 80, invalid).verdict,
      at('input', 22, invalid).verdict,
      at('input', 80, { ...invalid, 'meta iifname': ifnameBytes('eth1') }).verdict,
    ]).toEqual(['drop', 'accept', 'accept']);
  });
  test('neighbour and router discovery pass, other ICMPv6 does not', () => {
    const { at } = setUp({ policy: none });
    const icmp = (type: number) => ({ 'meta nfproto': Uint8Array.of(10), 'meta l4proto': Uint8Array.of(58), 'icmpv6 type': Uint8Array.of(type) });
    const passing = [128, 129, 130, 133, 134, 135, 136, 137, 143].filter(
      (type) => at('input', 0, icmp(type)).verdict === 'accept' && at('output', 0, icmp(type)).verdict === 'accept',
    );
    expect(passing).toEqual([130, 133, 134, 135, 136, 143]);
  });
  test('what another program has translated is judged where it leaves, unless the kernel would have to reject it there', () => {
    const { at } = setUp({ policy: governedBy('allows-80') });
    expect([at('output', 81, translated).verdict, at('postrouting', 81, translated).verdict, at('postrouting', 80, translated).verdict]).toEqual([
      'accept',
      'drop',
      'accept',
    ]);
    expect([at('postrouting', 81).verdict, at('postrouting', 81, { ...translated, 'meta iif': u32(3) }).verdict]).toEqual(['accept', 'accept']);
    const rejecting = setUp({ policy: governedBy('allows-80') }, 'eth0', { denyAction: 'REJECT' });
    expect([rejecting.at('output', 81, translated).verdict, rejecting.print().includes('host-postrouting')]).toEqual(['drop', false]);
  });
});

test('what is allowed before connection tracking or NAT is not judged again where it came in; what a program marked so is', () => {
  for (const place of ['untracked', 'preDnat'] as const) {
    const { at } = setUp({ policy: none, forward: governedBy('denies-81'), [place]: governedBy('allows-80') });
    const { mark, tracked } = at('prerouting', 80, { 'meta mark': u32(0xff) });
    expect([mark, tracked]).toEqual([0x100ff, place === 'preDnat']);
    expect([at('input', 80, { 'meta mark': u32(mark) }).verdict, at('forward', 81, { 'meta mark': u32(mark) }).verdict]).toEqual(['accept', 'accept']);
    const forged = at('prerouting', 90, { 'meta mark': u32(0x10000) }).mark;
    expect([forged, at('input', 90, { 'meta mark': u32(forged) }).verdict, at('forward', 81, { 'meta mark': u32(forged) }).verdict]).toEqual([
      0,
      'drop',
      'drop',
    ]);
  }
});

test('before connection tracking, no rule denies a failsafe port or the answer in a connection of one', () => {
  const { at } = setUp({ policy: none, untracked: governedBy('denies-81'), preDnat: governedBy('denies-81') });
  const from = (each: number) => ({ 'th sport': port(each) });
  expect([
    at('prerouting', 81).verdict,
    at('prerouting', 22).verdict,
    at('prerouting', 53).verdict,
    at('prerouting', 81, { ...from(53), 'ct state': u32(2) }).verdict,
  ]).toEqual(['drop', 'accept', 'drop', 'accept']);
  expect([at('output', 81, { 'ct state': u32(2) }).verdict, at('output', 81, { ...from(22), 'ct state': u32(2) }).verdict, at('output', 53).verdict]).toEqual([
    'drop',
    'accept',
    'accept',
  ]);
});

test('the host endpoint for every interface governs those alone that have none of their own, and taps where packets pass through', () => {
  const { at } = setUp({ policy: governedBy('allows-80'), forward: governedBy('denies-81') }, '*');
  for (const name of ['eth0', 'eth9']) expect(at('input', 81, { 'meta iifname': ifnameBytes(name) }).verdict).toBe('drop');
  expect([at('input', 81, { 'meta iifname': ifnameBytes('lo') }).verdict, at('output', 81, { 'meta oifname': ifnameBytes('tap1') }).verdict]).toEqual([
    'accept',
    'accept',
  ]);
  expect([at('forward', 81).verdict, at('forward', 82).verdict]).toEqual(['drop', 'accept']);
});
