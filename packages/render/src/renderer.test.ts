import { addressBytes, type Cidr, type IpAddress, macBytes, parseAddress } from '@calico-openstack/addresses';
import {
  type DesiredChange,
  type EndpointPolicy,
  type IpSetChange,
  type IpSetId,
  type LocalWorkload,
  noChange,
  type Policy,
  type PolicyId,
  type Profile,
  type ProfileId,
  type Rule,
  type WorkloadId,
} from '@calico-openstack/datamodel';
import type { Packet } from '@calico-openstack/kernel/nftables/evaluate';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { describe, expect, test } from 'vitest';
import { applyEdits } from './edits.ts';
import { defaultRenderOptions, type RenderOptions } from './options.ts';
import { Renderer, type Rendering } from './renderer.ts';
import { ifnameBytes, port, u32 } from './statements.ts';
import { earlierAddresses, leavingAddresses } from './workloads.ts';

const MAC = { tap1: 'fa:16:3e:00:00:01', tap2: 'fa:16:3e:00:00:02' } as const;
const [NEW, RELATED, ESTABLISHED, INVALID] = [8, 4, 2, 1];

type Sent = {
  readonly in?: string;
  readonly out?: string;
  readonly from?: string;
  readonly to?: string;
  readonly mac?: string;
  readonly protocol?: number;
  readonly sport?: number;
  readonly dport?: number;
  readonly icmp?: readonly [number, number];
  readonly state?: number;
  /** The result of the reverse-path lookup: 0 when no route leads back through the interface that the packet came in on. */
  readonly wayBack?: number;
  readonly ndTarget?: string;
  readonly relay?: string;
  /** The source addresses of the packet's connection in its original and in its reply direction. */
  readonly connection?: readonly [original: string, reply: string];
};

function packet({ in: iif, out, from, to, mac, protocol = 6, sport, dport, icmp, state = NEW, wayBack = 0, ndTarget, relay, connection }: Sent): Packet {
  const fields = new Map<Field, Uint8Array>();
  if (iif) fields.set('meta iifname', ifnameBytes(iif));
  if (out) fields.set('meta oifname', ifnameBytes(out));
  const v6 = (from ?? to)?.includes(':');
  const bytes = (address: string): Uint8Array => addressBytes(parseAddress(address)!);
  if (from) fields.set(v6 ? 'ip6 saddr' : 'ip saddr', bytes(from));
  if (to) fields.set(v6 ? 'ip6 daddr' : 'ip daddr', bytes(to));
  fields.set('meta nfproto', Uint8Array.of(v6 ? 10 : 2));
  fields.set('meta l4proto', Uint8Array.of(icmp ? (v6 ? 58 : 1) : protocol));
  if (sport !== undefined) fields.set('th sport', port(sport));
  if (dport !== undefined) fields.set('th dport', port(dport));
  if (icmp) {
    fields.set(v6 ? 'icmpv6 type' : 'icmp type', Uint8Array.of(icmp[0]));
    fields.set(v6 ? 'icmpv6 code' : 'icmp code', Uint8Array.of(icmp[1]));
  }
  const sender = mac ?? MAC[iif as keyof typeof MAC];
  if (sender) fields.set('ether saddr', macBytes(sender));
  fields.set('ct state', u32(state));
  fields.set('fib saddr . mark . iif oif', u32(wayBack));
  if (relay) fields.set('dhcp giaddr', bytes(relay));
  if (connection) {
    fields.set(`ct original ${v6 ? 'ip6' : 'ip'} saddr`, bytes(connection[0]));
    fields.set(`ct reply ${v6 ? 'ip6' : 'ip'} saddr`, bytes(connection[1]));
  }
  if (ndTarget) fields.set('nd target', bytes(ndTarget));
  return fields;
}

function host(options: Partial<RenderOptions> = {}) {
  const tables = { inet: fakeTable('inet', 'calico-felix'), arp: fakeTable('arp', 'calico-felix') };
  const programmers = { inet: tables.inet.table, arp: tables.arp.table };
  const renderer = new Renderer({ ...defaultRenderOptions, ...options });
  const apply = (): void => {
    programmers.inet.apply();
    programmers.arp.apply();
  };
  applyEdits(programmers, renderer.start());
  apply();
  return {
    tables,
    say(change: Partial<DesiredChange>): Rendering {
      const rendering = renderer.render({ ...noChange, ...change });
      applyEdits(programmers, rendering.tables);
      apply();
      return rendering;
    },
    setOptions(next: Partial<RenderOptions>): void {
      applyEdits(programmers, renderer.setOptions({ ...defaultRenderOptions, ...next }));
      apply();
    },
    /** The verdict on a packet at a hook. */
    at: (hook: 'prerouting' | 'input' | 'forward', sent: Sent) => tables.inet.evaluate(hook, packet(sent)),
    passes(hook: 'prerouting' | 'input' | 'forward', sent: Sent): boolean {
      return tables.inet.evaluate(hook, packet(sent)).verdict === 'accept';
    },
    arp(hook: 'input' | 'output', device: string, sender: { ip: string; mac?: string; operation?: number }): boolean {
      const fields: [Field, Uint8Array][] = [
        [hook === 'input' ? 'meta iifname' : 'meta oifname', ifnameBytes(device)],
        ['arp operation', Uint8Array.of(0, sender.operation ?? 1)],
        ['arp saddr ip', addressBytes(parseAddress(sender.ip)!)],
        ['arp saddr ether', macBytes(sender.mac ?? MAC[device as keyof typeof MAC])],
      ];
      return tables.arp.evaluate(hook, new Map(fields)).verdict === 'accept';
    },
  };
}

const rule = (more: Partial<Rule> = {}): Rule => ({ action: 'allow', source: {}, destination: {}, ...more });
const policyOf = (name: string, ingress: readonly Rule[], egress: readonly Rule[] = [], tier = 'default'): Policy => ({
  id: `NetworkPolicy/openstack/${name}` as PolicyId,
  tier,
  ingress,
  egress,
});
const inTier = (...policies: readonly Policy[]): EndpointPolicy => {
  const tiers = [{ tier: 'default', policies: policies.map(({ id }) => id), endAction: 'deny' as const }];
  return { ingress: tiers, egress: tiers, profiles: [] };
};

function workload(name: 'tap1' | 'tap2', policy: EndpointPolicy, more: Partial<LocalWorkload> = {}): [WorkloadId, LocalWorkload] {
  const id = `openstack/openstack/${name}/${name}` as WorkloadId;
  const addresses = [`10.0.0.${name.at(-1)}/32`, `fd00::${name.at(-1)}/128`] as Cidr[];
  return [
    id,
    {
      id,
      orchestrator: 'openstack',
      workload: `openstack/${name}`,
      endpoint: name,
      interfaceName: name,
      mac: MAC[name],
      addresses,
      routed: addresses,
      ipNats: [],
      allowSpoofedSourcePrefixes: [],
      policy,
      ...more,
    },
  ];
}

const policies = (...all: readonly Policy[]): Map<PolicyId, Policy> => new Map(all.map((policy) => [policy.id, policy]));
const everything = policyOf('all', [rule()], [rule()]);

describe('before anything is known', () => {
  test('nothing passes from or to a workload interface, in either family, also on established connections', () => {
    const { passes, arp } = host();
    for (const [from, to] of [
      ['10.0.0.1', '10.0.0.2'],
      ['fd00::1', 'fd00::2'],
    ] as const) {
      expect(passes('prerouting', { in: 'tap1', from, to })).toBe(false);
      expect(passes('forward', { in: 'eth0', out: 'tap1', from, to })).toBe(false);
      expect(passes('forward', { in: 'eth0', out: 'tap1', from, to, state: ESTABLISHED })).toBe(false);
    }
    expect(arp('input', 'tap1', { ip: '10.0.0.1' })).toBe(false);
  });
  test('other interfaces are nobody’s business', () => {
    const { passes } = host();
    expect(passes('prerouting', { in: 'eth0', from: '192.0.2.1', to: '192.0.2.2' })).toBe(true);
    expect(passes('forward', { in: 'eth0', out: 'eth1', from: '192.0.2.1', to: '192.0.2.2' })).toBe(true);
    expect(passes('input', { in: 'eth0', from: '192.0.2.1', to: '192.0.2.2' })).toBe(true);
  });
});

describe('a workload', () => {
  const both = (more: Partial<LocalWorkload> = {}, options: Partial<RenderOptions> = {}) => {
    const world = host(options);
    world.say({ policies: policies(everything), workloads: new Map([workload('tap1', inTier(everything), more), workload('tap2', inTier(everything))]) });
    return world;
  };

  test('may send from its own addresses with its own MAC only', () => {
    const { passes } = both();
    expect(passes('prerouting', { in: 'tap1', from: '10.0.0.1' })).toBe(true);
    expect(passes('prerouting', { in: 'tap1', from: 'fd00::1' })).toBe(true);
    expect(passes('prerouting', { in: 'tap1', from: '10.0.0.2' })).toBe(false);
    expect(passes('prerouting', { in: 'tap1', from: 'fd00::2' })).toBe(false);
    expect(passes('prerouting', { in: 'tap1', from: '10.0.0.1', mac: MAC.tap2 })).toBe(false);
  });
  test('that sends from another address is dropped, not rejected, whatever denial is: the rejection would go to whom it names', () => {
    const { at } = both({}, { denyAction: 'REJECT' });
    expect(at('prerouting', { in: 'tap1', from: '10.0.0.2' }).verdict).toBe('drop');
    expect(at('prerouting', { in: 'tap1', from: '10.0.0.1', mac: MAC.tap2 }).verdict).toBe('drop');
    expect(at('prerouting', { in: 'tap9', from: '10.0.0.1' }).verdict).toBe('drop');
  });
  test('does not reach the host’s loopback', () => {
    expect(both().passes('prerouting', { in: 'tap1', from: '10.0.0.1', to: '127.0.0.53', protocol: 17, dport: 53 })).toBe(false);
  });
  test('may send what the routing table would send back to it', () => {
    expect(both().passes('prerouting', { in: 'tap1', from: 'fd77::1', wayBack: 7 })).toBe(true);
  });
  test('may ask for an address by DHCP', () => {
    const { passes } = both();
    expect(passes('prerouting', { in: 'tap1', from: '0.0.0.0', to: '255.255.255.255', protocol: 17, sport: 68, dport: 67 })).toBe(true);
    expect(passes('prerouting', { in: 'tap1', from: '0.0.0.0', to: '255.255.255.255', protocol: 17, sport: 69, dport: 67 })).toBe(false);
  });
  test('that does not own its address, because another has it, may not send from it', () => {
    expect(both({ routed: [] }).passes('prerouting', { in: 'tap1', from: '10.0.0.1' })).toBe(false);
  });
  test('may send from the prefixes that it was given, and from no others', () => {
    const { passes } = both({ allowSpoofedSourcePrefixes: ['10.9.0.0/16'] as Cidr[] });
    expect(passes('prerouting', { in: 'tap1', from: '10.9.1.1' })).toBe(true);
    expect(passes('prerouting', { in: 'tap1', from: '10.8.1.1' })).toBe(false);
    expect(passes('prerouting', { in: 'tap1', from: '10.9.1.1', mac: MAC.tap2 })).toBe(false);
    expect(passes('prerouting', { in: 'tap2', from: '10.9.1.1' })).toBe(false);
  });
  test('claims by ARP and neighbour discovery what is its own, and nothing else', () => {
    const { arp, passes } = both();
    expect(arp('input', 'tap1', { ip: '10.0.0.1' })).toBe(true);
    expect(arp('input', 'tap1', { ip: '0.0.0.0' })).toBe(true);
    expect(arp('input', 'tap1', { ip: '10.0.0.2' })).toBe(false);
    expect(arp('input', 'tap1', { ip: '10.0.0.1', mac: MAC.tap2 })).toBe(false);
    const advertises = (ndTarget: string): boolean => passes('prerouting', { in: 'tap1', from: 'fd00::1', icmp: [136, 0], ndTarget });
    expect([advertises('fd00::1'), advertises('fe80::5'), advertises('fd00::2')]).toEqual([true, true, false]);
  });
  test('is not answered by proxy ARP when it asks whether its own address is taken', () => {
    const { arp } = both();
    const answers = (ip: string): boolean => arp('output', 'tap1', { ip, operation: 2 });
    expect([answers('10.0.0.1'), answers('10.0.0.2')]).toEqual([false, true]);
  });
  test('with the link-layer check switched off is held to its addresses still', () => {
    const { passes, arp } = both({}, { antiSpoofLinkLayer: false });
    expect(passes('prerouting', { in: 'tap1', from: '10.0.0.1', mac: MAC.tap2 })).toBe(true);
    expect(passes('prerouting', { in: 'tap1', from: '10.0.0.2' })).toBe(false);
    expect(arp('input', 'tap1', { ip: '10.0.0.2' })).toBe(true);
    expect(arp('input', 'tap3', { ip: '10.0.0.2', mac: MAC.tap2 })).toBe(false);
  });
  test.each([
    ['forward', { out: 'eth0', to: '192.0.2.9' }],
    ['input', { to: '192.0.2.1' }],
  ] as const)('speaks of connections that it has a part in, and of no others, whatever its policy: %s', (hook, where) => {
    const there = host();
    there.say({ workloads: new Map([workload('tap1', inTier())]) });
    const speaks = (...connection: [string, string]) =>
      there.passes(hook, { in: 'tap1', from: '10.0.0.1', ...where, icmp: [3, 4], state: RELATED, connection });
    expect(speaks('10.0.0.1', '192.0.2.9')).toBe(true);
    expect(speaks('192.0.2.9', '10.0.0.1')).toBe(true);
    expect(speaks('192.0.2.9', '10.0.0.2')).toBe(false);
    expect(speaks('192.0.2.1', '192.0.2.9')).toBe(false);
  });
  test('never sends tunnels, nor plays DHCP server or router, whatever its policy', () => {
    const { passes } = both();
    const sends = (more: Sent): boolean => passes('forward', { in: 'tap1', out: 'eth0', from: '10.0.0.1', to: '192.0.2.1', ...more });
    expect(sends({ protocol: 17, sport: 1, dport: 1 })).toBe(true);
    expect(sends({ protocol: 17, sport: 1, dport: 4789 })).toBe(false);
    expect(sends({ protocol: 4 })).toBe(false);
    expect(sends({ protocol: 17, sport: 67, dport: 68 })).toBe(false);
    expect(passes('input', { in: 'tap1', from: 'fe80::1', to: 'ff02::1', icmp: [134, 0] })).toBe(false);
  });
  test('that is gone is closed at once', () => {
    const { passes, say } = both();
    const reaches = (): boolean => passes('forward', { in: 'tap1', out: 'tap2', from: '10.0.0.1', to: '10.0.0.2' });
    expect(reaches()).toBe(true);
    say({ workloads: new Map([[workload('tap2', inTier())[0], undefined]]) });
    expect(reaches()).toBe(false);
    expect(passes('forward', { in: 'tap1', out: 'tap2', from: '10.0.0.1', to: '10.0.0.2', state: ESTABLISHED })).toBe(false);
    expect(passes('prerouting', { in: 'tap2', from: '10.0.0.2' })).toBe(false);
  });
  test('whose interface another one has is not programmed', () => {
    const world = host();
    const { devices } = world.say({
      policies: policies(everything),
      workloads: new Map([workload('tap1', inTier(everything), { shadowedBy: 'x' as WorkloadId })]),
    });
    expect([...devices.values()]).toEqual([undefined]);
    expect(world.passes('prerouting', { in: 'tap1', from: '10.0.0.1' })).toBe(false);
  });
  test('passes from one interface to another in one step, without its old one staying open', () => {
    const { passes, say } = both();
    const [id, moved] = workload('tap1', inTier(everything));
    say({ workloads: new Map([[id, { ...moved, interfaceName: 'tap9' }]]) });
    expect(passes('prerouting', { in: 'tap1', from: '10.0.0.1' })).toBe(false);
    expect(passes('prerouting', { in: 'tap9', from: '10.0.0.1', mac: MAC.tap1 })).toBe(true);
  });
});

test('where addresses led can be read from what the tables hold', () => {
  const there = host();
  there.say({ workloads: new Map([workload('tap1', inTier())]) });
  const held = there.tables.inet.kernel.content().sets;
  const elementsOf = ({ name }: { name: string }) => held.get(name)?.elements ?? [];
  expect([...earlierAddresses(elementsOf)]).toEqual([
    ['10.0.0.1/32', 'tap1'],
    ['fd00::1/128', 'tap1'],
  ]);
  there.tables.inet.table.addElements(leavingAddresses(4), [{ key: Uint8Array.of(10, 0, 0, 9) }]);
  there.tables.inet.table.apply();
  expect(earlierAddresses((set) => there.tables.inet.kernel.content().sets.get(set.name)?.elements ?? []).get('10.0.0.9/32' as Cidr)).toBe('');
});

describe('on the way to the host', () => {
  const world = (options: Partial<RenderOptions> = {}, policy = inTier()) => {
    const there = host(options);
    there.say({ policies: policies(everything), workloads: new Map([workload('tap1', policy)]) });
    return (more: Sent): boolean => there.passes('input', { in: 'tap1', from: '10.0.0.1', to: '192.0.2.2', ...more });
  };
  test.each<[string, Sent, boolean]>([
    ['DHCP', { protocol: 17, sport: 68, dport: 67 }, true],
    ['DHCP by a relay, to which the answer would go', { protocol: 17, sport: 68, dport: 67, relay: '10.0.0.2' }, false],
    ['DHCP by no relay', { protocol: 17, sport: 68, dport: 67, relay: '0.0.0.0' }, true],
    ['DHCPv6', { from: 'fe80::f816:3eff:fe00:1', to: 'ff02::1:2', protocol: 17, sport: 546, dport: 547 }, true],
    ['DNS by UDP', { protocol: 17, sport: 9, dport: 53 }, true],
    ['DNS by TCP', { protocol: 6, sport: 9, dport: 53 }, true],
    ['SSH', { protocol: 6, sport: 9, dport: 22 }, false],
    ['a neighbour solicitation', { from: 'fd00::1', to: 'ff02::1', icmp: [135, 0] }, true],
    ['a multicast report of version 2', { from: 'fd00::1', to: 'ff02::16', icmp: [143, 0] }, true],
    ['an echo request', { from: 'fd00::1', to: 'fd00::99', icmp: [128, 0] }, false],
    ['what belongs to no connection', { protocol: 6, sport: 22, dport: 9, state: INVALID }, false],
  ])('%s passes: %s', (_, sent, passes) => expect(world()(sent)).toBe(passes));

  test.each([
    ['DROP', false],
    ['RETURN', true],
    ['ACCEPT', true],
  ] as const)('what policy allows is then subject to endpointToHostAction %s', (endpointToHostAction, passes) => {
    expect(world({ endpointToHostAction }, inTier(everything))({ protocol: 6, dport: 22, sport: 9 })).toBe(passes);
    expect(world({ endpointToHostAction }, inTier())({ protocol: 6, dport: 22, sport: 9 })).toBe(false);
  });
  test('the host’s BIRD is reached by the workload that a BGPPeer selects, at its address and port, and by no other', () => {
    const there = host();
    const guest = workload('tap1', inTier());
    const bgpPeering = { addresses: ['169.254.0.179', 'fd12::1'] as IpAddress[], port: 179 };
    there.say({ policies: policies(everything), workloads: new Map([[guest[0], { ...guest[1]!, bgpPeering }], workload('tap2', inTier())]) });
    const asks = (more: Sent) => there.passes('input', { in: 'tap1', from: '10.0.0.1', to: '169.254.0.179', protocol: 6, sport: 9, dport: 179, ...more });
    expect(asks({})).toBe(true);
    expect(asks({ from: 'fd00::1', to: 'fd12::1' })).toBe(true);
    expect(asks({ dport: 180 })).toBe(false);
    expect(asks({ protocol: 17 })).toBe(false);
    expect(asks({ to: '192.0.2.2' })).toBe(false);
    expect(asks({ in: 'tap2', from: '10.0.0.2' })).toBe(false);
    there.say({ workloads: new Map([guest]) });
    expect(asks({})).toBe(false);
  });
  test('metadata is led where it is served, and let in there', () => {
    const metadata = { address: '127.0.0.1' as IpAddress, port: 8775 };
    const there = host({ metadata });
    there.say({ workloads: new Map([workload('tap1', inTier())]) });
    const asked = there.at('prerouting', { in: 'tap1', from: '10.0.0.1', to: '169.254.169.254', dport: 80, sport: 9 });
    expect(asked.translated).toMatchObject({ kind: 'dnat', address: Uint8Array.of(127, 0, 0, 1), port: 8775 });
    expect(there.passes('input', { in: 'tap1', from: '10.0.0.1', to: '127.0.0.1', dport: 8775, sport: 9 })).toBe(true);
    expect(there.passes('input', { in: 'tap1', from: '10.0.0.1', to: '127.0.0.1', dport: 8776, sport: 9 })).toBe(false);
  });
});

describe('policy', () => {
  /** Whether a packet from outside reaches tap2 under these ingress rules. */
  const reaches = (rules: readonly Rule[], sent: Sent, sets: Iterable<[IpSetId, IpSetChange]> = [], options: Partial<RenderOptions> = {}) => {
    const there = host(options);
    const policy = policyOf('p', rules);
    there.say({ ipSets: new Map(sets), policies: policies(policy), workloads: new Map([workload('tap2', inTier(policy))]) });
    return there.at('forward', { in: 'eth0', out: 'tap2', from: '192.0.2.1', to: '10.0.0.2', sport: 9, dport: 80, ...sent });
  };
  const v6: Sent = { from: 'fd09::1', to: 'fd00::2' };
  const twoRanges = (first: number) => [
    { first: 22, last: 22 },
    { first, last: 90 },
  ];
  const nets = (...cidrs: string[]) => cidrs as Cidr[];
  const members = (...cidrs: string[]): IpSetChange => ({ change: 'whole', kind: 'addresses', members: new Set(nets(...cidrs)) });
  const id = 's1' as IpSetId;

  test.each<[string, Partial<Rule>, Sent, 'accept' | 'drop']>([
    ['nothing', {}, {}, 'accept'],
    ['nothing, IPv6', {}, v6, 'accept'],
    ['a protocol', { protocol: 17 }, {}, 'drop'],
    ['not a protocol', { notProtocol: 17 }, {}, 'accept'],
    ['a family', { ipVersion: 6 }, {}, 'drop'],
    ['a family, its own', { ipVersion: 6 }, v6, 'accept'],
    ['a port', { protocol: 6, destination: { ports: [{ first: 80, last: 80 }] } }, {}, 'accept'],
    [
      'several ports, overlapping',
      {
        protocol: 6,
        destination: {
          ports: [
            { first: 90, last: 95 },
            { first: 1, last: 50 },
            { first: 40, last: 85 },
          ],
        },
      },
      {},
      'accept',
    ],
    [
      'several ports, none of them',
      {
        protocol: 6,
        destination: {
          ports: [
            { first: 81, last: 95 },
            { first: 1, last: 50 },
          ],
        },
      },
      {},
      'drop',
    ],
    [
      'not some ports',
      {
        protocol: 6,
        destination: {
          notPorts: [
            { first: 22, last: 22 },
            { first: 79, last: 81 },
          ],
        },
      },
      {},
      'drop',
    ],
    ['a source port', { protocol: 6, source: { ports: [{ first: 9, last: 9 }] } }, {}, 'accept'],
    ['a prefix', { source: { nets: nets('192.0.2.0/24') } }, {}, 'accept'],
    ['prefixes, one inside another', { source: { nets: nets('192.0.2.0/24', '192.0.0.0/16', '10.0.0.0/8') } }, {}, 'accept'],
    ['prefixes of the other family', { source: { nets: nets('192.0.2.0/24') } }, v6, 'drop'],
    ['prefixes of both families', { source: { nets: nets('192.0.2.0/24', 'fd09::/16') } }, v6, 'accept'],
    ['all of IPv4', { source: { nets: nets('0.0.0.0/0') } }, {}, 'accept'],
    ['not a prefix', { source: { notNets: nets('192.0.2.0/24') } }, {}, 'drop'],
    ['not another prefix', { source: { notNets: nets('192.0.3.0/24') } }, {}, 'accept'],
    ['not everything', { source: { notNets: nets('0.0.0.0/0') } }, {}, 'drop'],
    ['none of the halves of everything', { source: { notNets: nets('0.0.0.0/1', '128.0.0.0/1') } }, {}, 'drop'],
    ['none of some prefixes', { source: { notNets: nets('198.51.100.0/24', '192.0.2.0/25', '192.0.0.0/16') } }, {}, 'drop'],
    ['none of some other prefixes', { source: { notNets: nets('198.51.100.0/24', '192.0.3.0/25') } }, {}, 'accept'],
    ['none of some ports', { protocol: 6, destination: { notPorts: twoRanges(80) } }, {}, 'drop'],
    ['none of some other ports', { protocol: 6, destination: { notPorts: twoRanges(81) } }, {}, 'accept'],
    ['not a prefix of the other family', { source: { notNets: nets('192.0.3.0/24') } }, v6, 'drop'],
    ['ICMP type and code', { protocol: 1, icmp: { type: 8, code: 0 } }, { icmp: [8, 0] }, 'accept'],
    ['ICMP of another code', { protocol: 1, icmp: { type: 8, code: 1 } }, { icmp: [8, 0] }, 'drop'],
    ['ICMP, but TCP', { icmp: { type: 8 } }, {}, 'drop'],
    ['ICMPv6', { icmp: { type: 128 } }, { ...v6, icmp: [128, 0] }, 'accept'],
    ['not an ICMP type', { notIcmp: { type: 8 } }, { icmp: [8, 0] }, 'drop'],
    ['not an ICMP type, of another', { notIcmp: { type: 8 } }, { icmp: [13, 0] }, 'accept'],
    ['not type and code, of another code', { notIcmp: { type: 8, code: 1 } }, { icmp: [8, 0] }, 'accept'],
    ['not type and code, of both', { notIcmp: { type: 8, code: 0 } }, { icmp: [8, 0] }, 'drop'],
  ])('a rule for %s', (_, more, sent, verdict) => expect(reaches([rule(more)], sent).verdict).toBe(verdict));

  test.each<[string, string[], Partial<Rule>, Sent, 'accept' | 'drop']>([
    ['that has the address', ['192.0.2.1/32'], { source: { sets: [id] } }, {}, 'accept'],
    ['that has not', ['192.0.2.9/32'], { source: { sets: [id] } }, {}, 'drop'],
    ['of the other family', ['192.0.2.1/32'], { source: { sets: [id] } }, v6, 'drop'],
    ['with a prefix', ['192.0.2.0/24', '192.0.0.0/8', '10.0.0.1/32'], { source: { sets: [id] } }, {}, 'accept'],
    ['with everything', ['0.0.0.0/0', '::/0'], { source: { sets: [id] } }, v6, 'accept'],
    ['negated', ['192.0.2.1/32'], { source: { notSets: [id] } }, {}, 'drop'],
    ['empty, negated', [], { source: { notSets: [id] } }, {}, 'accept'],
    ['empty', [], { source: { sets: [id] } }, {}, 'drop'],
  ])('a rule for a set %s', (_, cidrs, more, sent, verdict) => expect(reaches([rule(more)], sent, [[id, members(...cidrs)]]).verdict).toBe(verdict));

  test('named ports go with address and protocol, beside ports by number', () => {
    const named: IpSetChange = { change: 'whole', kind: 'named-ports', members: [{ address: '10.0.0.2' as IpAddress, protocol: 6, port: 80 }] };
    const allow = (more: object, sent: Sent) => reaches([rule({ protocol: 6, destination: more })], sent, [[id, named]]).verdict;
    expect(allow({ namedPorts: [id] }, {})).toBe('accept');
    expect(allow({ namedPorts: [id] }, { dport: 81 })).toBe('drop');
    expect(allow({ namedPorts: [id], ports: [{ first: 81, last: 81 }] }, { dport: 81 })).toBe('accept');
    expect(allow({ namedPorts: [id] }, { protocol: 17 })).toBe('drop');
    expect(allow({ notNamedPorts: [id] }, {})).toBe('drop');
    const anyProtocol = (sent: Sent) => reaches([rule({ destination: { notNamedPorts: [id] } })], sent, [[id, named]]).verdict;
    expect([anyProtocol({}), anyProtocol({ dport: 81 }), anyProtocol({ protocol: 17 }), anyProtocol({ icmp: [8, 0] })]).toEqual([
      'drop',
      'accept',
      'accept',
      'accept',
    ]);
  });

  test('members come and go, prefixes hide and bare one another', () => {
    const there = host();
    const policy = policyOf('p', [rule({ source: { sets: [id] } })]);
    there.say({ ipSets: new Map([[id, members('10.1.0.1/32')]]), policies: policies(policy), workloads: new Map([workload('tap2', inTier(policy))]) });
    const from = (address: string): boolean => there.passes('forward', { in: 'eth0', out: 'tap2', from: address, to: '10.0.0.2' });
    const change = (added: string[], removed: string[]): void =>
      void there.say({ ipSets: new Map([[id, { change: 'members', kind: 'addresses', added: nets(...added), removed: nets(...removed) }]]) });
    expect([from('10.1.0.1'), from('10.1.0.2')]).toEqual([true, false]);
    change(['10.1.0.2/32'], ['10.1.0.1/32']);
    expect([from('10.1.0.1'), from('10.1.0.2')]).toEqual([false, true]);
    change(['10.1.0.0/24', '10.1.0.0/16'], []);
    expect([from('10.1.0.1'), from('10.1.9.9')]).toEqual([true, true]);
    change([], ['10.1.0.0/16']);
    expect([from('10.1.0.1'), from('10.1.9.9')]).toEqual([true, false]);
    change([], ['10.1.0.0/24']);
    expect([from('10.1.0.1'), from('10.1.0.2')]).toEqual([false, true]);
  });

  test('a set that gets its first prefix is another set, under another name, so that it is never empty for whoever looks into it meanwhile', () => {
    const there = host();
    const policy = policyOf('p', [rule({ source: { notSets: [id] } })]);
    there.say({ ipSets: new Map([[id, members('10.1.0.1/32')]]), policies: policies(policy), workloads: new Map([workload('tap2', inTier(policy))]) });
    const prefixed: IpSetChange = { change: 'members', kind: 'addresses', added: ['10.2.0.0/16' as Cidr], removed: [] };
    const { inet } = there.say({ ipSets: new Map([[id, prefixed]]) }).tables;
    const made = inet.flatMap((edit) => (edit.edit === 'set-set' ? [edit.set.name] : []));
    const gone = inet.flatMap((edit) => (edit.edit === 'remove-set' ? [edit.name] : []));
    expect([made.length, gone.length]).toEqual([1, 1]);
    expect(made).not.toEqual(gone);
    const reaches = (from: string) => there.passes('forward', { in: 'eth0', out: 'tap2', from, to: '10.0.0.2' });
    expect([reaches('10.1.0.1'), reaches('10.2.9.9'), reaches('10.3.0.1')]).toEqual([false, false, true]);
  });

  test('the first rule that matches decides; a Log goes on, and says which policy it is of', () => {
    const logged = reaches([rule({ action: 'log' }), rule({ action: 'deny', protocol: 17 }), rule()], {}, [], { logPrefix: 'calico %k %p %n %t' });
    expect(logged).toMatchObject({ verdict: 'accept', logged: ['calico np openstack/p p default: '] });
    expect(reaches([rule({ action: 'deny' }), rule()], {}).verdict).toBe('drop');
    expect(reaches([rule({ action: 'deny' })], {}, [], { denyAction: 'REJECT' })).toMatchObject({ verdict: 'drop', rejected: 'port-unreachable' });
  });

  test('a pass goes to the next tier, then to the profiles; the end of a tier is what the tier says', () => {
    const there = host();
    const [first, second] = [
      policyOf('first', [rule({ action: 'pass', protocol: 6 }), rule({ protocol: 17 })], [], 'early'),
      policyOf('second', [rule({ action: 'pass' })]),
    ];
    const profile: Profile = { id: 'prof' as ProfileId, ingress: [rule()], egress: [] };
    const policy = (endAction: 'deny' | 'pass', profiles: ProfileId[]): EndpointPolicy => ({
      egress: [],
      profiles,
      ingress: [
        { tier: 'early', policies: [first.id], endAction },
        { tier: 'default', policies: [second.id], endAction: 'deny' },
      ],
    });
    const enters = (endAction: 'deny' | 'pass', profiles: ProfileId[], protocol: number): boolean => {
      there.say({
        policies: policies(first, second),
        profiles: new Map([[profile.id, profile]]),
        workloads: new Map([workload('tap2', policy(endAction, profiles))]),
      });
      return there.passes('forward', { in: 'eth0', out: 'tap2', from: '192.0.2.1', to: '10.0.0.2', protocol });
    };
    expect(enters('deny', [profile.id], 6)).toBe(true);
    expect(enters('deny', [], 6)).toBe(false);
    expect(enters('deny', [], 17)).toBe(true);
    expect(enters('deny', [profile.id], 1)).toBe(false);
    expect(enters('pass', [profile.id], 1)).toBe(true);
  });

  test('both ends have their say on one host, and a mark of the first does not open the second', () => {
    const there = host();
    const [out, none] = [policyOf('out', [], [rule()]), policyOf('none', [])];
    there.say({ policies: policies(out, none), workloads: new Map([workload('tap1', inTier(out)), workload('tap2', inTier(none))]) });
    expect(there.passes('forward', { in: 'tap1', out: 'eth0', from: '10.0.0.1', to: '192.0.2.1' })).toBe(true);
    expect(there.passes('forward', { in: 'tap1', out: 'tap2', from: '10.0.0.1', to: '10.0.0.2' })).toBe(false);
  });
});

test('however long its lists are, a rule stays short enough for the kernel, which refuses everything beside a rule of more than 128 expressions', () => {
  const cidrs = Array.from({ length: 1000 }, (_, index) => `172.16.${index >> 2}.${(index & 3) * 64}/27` as Cidr);
  const ranges = Array.from({ length: 1000 }, (_, index) => ({ first: 2 * index, last: 2 * index }));
  const side = { nets: cidrs, notNets: cidrs, ports: ranges, notPorts: ranges };
  const renderer = new Renderer(defaultRenderOptions);
  const policy = policyOf('long', [rule({ protocol: 6, source: side, destination: side })]);
  const { tables } = renderer.render({ ...noChange, policies: new Map([[policy.id, policy]]) });
  const rules = tables.inet.flatMap((edit) => (edit.edit === 'set-chain' ? edit.chain.rules : []));
  expect(rules).toHaveLength(1);
  expect(rules[0]!.statements.length).toBeLessThan(12);
});

test('a chain that cannot be said drops, and stops nothing else', () => {
  const table = fakeTable('inet', 'calico-felix');
  const nonsense = { name: 'policy', rules: [{ statements: [{ is: 'match', field: 'th dport', value: new Uint8Array(1) } as const] }] };
  const other = { name: 'other', rules: [] };
  const rejected = applyEdits(
    { inet: table.table, arp: fakeTable('arp').table },
    { inet: [nonsense, other].map((chain) => ({ edit: 'set-chain', chain })), arp: [] },
  );
  expect(rejected).toMatchObject([{ table: 'inet', edit: { chain: { name: 'policy' } }, error: { code: 'INVALID' } }]);
  table.table.apply();
  const { chains } = table.kernel.content();
  expect(chains.get('policy')?.rules).toEqual([{ statements: [{ is: 'verdict', verdict: 'drop' }] }]);
  expect(chains.has('other')).toBe(true);
});

describe('floating IPs', () => {
  test('lead to the workload, and it sees itself answer', () => {
    const there = host();
    const external = '203.0.113.9' as IpAddress;
    const [id, floating] = workload('tap1', inTier(everything));
    const nat = { ...floating, ipNats: [{ internal: '10.0.0.1' as IpAddress, external }], routed: [...floating.routed, '203.0.113.9/32' as Cidr] };
    there.say({ policies: policies(everything), workloads: new Map([[id, nat]]) });
    expect(there.at('prerouting', { in: 'eth0', from: '192.0.2.1', to: external }).translated).toMatchObject({
      kind: 'dnat',
      address: Uint8Array.of(10, 0, 0, 1),
    });
    const toItself = there.tables.inet.evaluate('postrouting', packet({ out: 'tap1', from: '10.0.0.1', to: '10.0.0.1' }));
    expect(toItself.translated).toMatchObject({ kind: 'snat', address: Uint8Array.of(203, 0, 113, 9) });
    there.say({ workloads: new Map([[id, { ...nat, routed: floating.routed }]]) });
    expect(there.at('prerouting', { in: 'eth0', from: '192.0.2.1', to: external }).translated).toBeUndefined();
  });
});

describe('policies that allow everything', () => {
  type Content = { readonly rules: readonly Rule[]; readonly decides: (port: number, isIpv6: boolean) => 'allow' | 'deny' | undefined };
  const toPort80 = { protocol: 6, destination: { ports: [{ first: 80, last: 80 }] } };
  const contents: readonly Content[] = [
    { rules: [rule({ ipVersion: 4 }), rule({ ipVersion: 6 })], decides: () => 'allow' },
    { rules: [], decides: () => undefined },
    { rules: [rule(toPort80)], decides: (to) => (to === 80 ? 'allow' : undefined) },
    { rules: [rule({ ...toPort80, action: 'deny' }), rule()], decides: (to) => (to === 80 ? 'deny' : 'allow') },
    { rules: [rule({ ipVersion: 6 })], decides: (_, isIpv6) => (isIpv6 ? 'allow' : undefined) },
    { rules: [rule({ action: 'log' }), rule()], decides: () => 'allow' },
  ];
  /** All pairs of contents, in an order in which each follows many others. */
  const pairs = [1, 5, 7, 11].flatMap((step) => Array.from({ length: 36 }, (_, at) => (at * step) % 36).map((at) => [at % 6, Math.floor(at / 6)] as const));

  test('come and go while workloads are under them, and each packet is judged by the rules as they are now', () => {
    const there = host({ endpointToHostAction: 'ACCEPT' });
    const named = (first: number, second: number): Policy[] => [policyOf('p1', [rule()], contents[first]!.rules), policyOf('p2', [], contents[second]!.rules)];
    there.say({ policies: policies(...named(0, 0)), workloads: new Map([workload('tap1', inTier(...named(0, 0)))]) });
    for (const [first, second] of pairs) {
      const { devices } = there.say({ policies: policies(...named(first, second)) });
      expect(devices.size).toBe(0);
      for (const [port, isIpv6] of [
        [80, false],
        [81, false],
        [80, true],
      ] as const) {
        const ways = isIpv6 ? { from: 'fd00::1', to: 'fd09::1' } : { from: '10.0.0.1', to: '192.0.2.1' };
        const expected = (contents[first]!.decides(port, isIpv6) ?? contents[second]!.decides(port, isIpv6)) === 'allow';
        for (const [hook, out] of [['forward', 'eth0'] as const, ['input', undefined] as const])
          expect([first, second, hook, port, isIpv6, there.passes(hook, { in: 'tap1', ...(out && { out }), ...ways, sport: 9, dport: port })]).toEqual([
            first,
            second,
            hook,
            port,
            isIpv6,
            expected,
          ]);
      }
    }
  });
  test('lead to one class for all workloads, whatever their groups, and to no chain of a policy', () => {
    const there = host();
    const [one, other] = [policyOf('one', [rule(toPort80)], [rule()]), policyOf('other', [], [rule({ protocol: 17 }), rule()])];
    there.say({ policies: policies(one, other), workloads: new Map([workload('tap1', inTier(one, other)), workload('tap2', inTier(other))]) });
    const egress = [...there.tables.inet.kernel.content().chains.values()].filter(({ name }) => name.startsWith('class-egress-'));
    expect(egress.map(({ rules }) => rules.length)).toEqual([1]);
  });
  test('do not help a port whose first tier does not', () => {
    const there = host();
    const [narrow, wide] = [policyOf('narrow', [rule()], [rule(toPort80)], 'first'), policyOf('wide', [rule()], [rule()])];
    const tiers = [narrow, wide].map(({ id, tier }) => ({ tier, policies: [id], endAction: 'deny' as const }));
    there.say({ policies: policies(narrow, wide), workloads: new Map([workload('tap1', { ingress: tiers, egress: tiers, profiles: [] })]) });
    const passes = (dport: number) => there.passes('forward', { in: 'tap1', out: 'eth0', from: '10.0.0.1', to: '192.0.2.1', sport: 9, dport });
    expect([passes(80), passes(81)]).toEqual([true, false]);
  });
});

describe('packets to the host that are dropped whatever policy says', () => {
  const jumps = (there: ReturnType<typeof host>): boolean =>
    there.tables.inet.kernel
      .content()
      .chains.get('workload-to-host')!
      .rules.some((each) => JSON.stringify(each).includes('"chain":"egress"'));
  test('are not judged, unless a policy logs packets, or denied packets get an answer', () => {
    const there = host();
    expect(jumps(there)).toBe(false);
    const logging = policyOf('p', [], [rule({ action: 'log' })]);
    there.say({ policies: policies(logging) });
    expect(jumps(there)).toBe(true);
    there.say({ policies: new Map([[logging.id, undefined]]) });
    expect(jumps(there)).toBe(false);
    expect([jumps(host({ denyAction: 'REJECT' })), jumps(host({ endpointToHostAction: 'ACCEPT' }))]).toEqual([true, true]);
  });
});

describe('cost', () => {
  test('an endpoint of a known class adds and removes elements only', () => {
    const there = host();
    there.say({ policies: policies(everything), workloads: new Map([workload('tap1', inTier(everything))]) });
    const { tables } = there.say({ workloads: new Map([workload('tap2', inTier(everything))]) });
    expect(new Set([...tables.inet, ...tables.arp].map(({ edit }) => edit))).toEqual(new Set(['add-elements']));
    const gone = there.say({ workloads: new Map([[workload('tap2', inTier())[0], undefined]]) });
    expect(new Set([...gone.tables.inet, ...gone.tables.arp].map(({ edit }) => edit))).toEqual(new Set(['remove-elements']));
  });
  test('a rule more is one chain, however many endpoints its policy governs', () => {
    const there = host();
    there.say({ policies: policies(everything), workloads: new Map([workload('tap1', inTier(everything)), workload('tap2', inTier(everything))]) });
    const { tables } = there.say({ policies: policies(policyOf('all', [rule(), rule()], [rule()])) });
    expect(tables.inet.map(({ edit }) => edit)).toEqual(['set-chain', 'set-chain']);
  });
  test('when all is gone, nothing is left but the base', () => {
    const there = host();
    const untouched = there.tables.inet.kernel.content().sets;
    const before = JSON.stringify([...there.tables.inet.kernel.content().chains.keys(), ...there.tables.inet.kernel.content().sets.keys()].sort());
    const set: IpSetChange = { change: 'whole', kind: 'addresses', members: new Set(['10.0.0.0/8' as Cidr]) };
    const policy = policyOf('p', [
      rule({
        protocol: 6,
        source: { sets: ['s1' as IpSetId], nets: ['10.0.0.0/8', '192.0.2.0/24'] as Cidr[] },
        destination: {
          ports: [
            { first: 1, last: 2 },
            { first: 5, last: 6 },
          ],
        },
      }),
    ]);
    const [id, spoofing] = workload('tap1', inTier(policy), { allowSpoofedSourcePrefixes: ['10.0.0.0/8'] as Cidr[] });
    there.say({ ipSets: new Map([['s1' as IpSetId, set]]), policies: policies(policy), workloads: new Map([[id, spoofing]]) });
    there.say({
      ipSets: new Map([['s1' as IpSetId, { change: 'removed' }]]),
      policies: new Map([[policy.id, undefined]]),
      workloads: new Map([[id, undefined]]),
    });
    const { chains, sets } = there.tables.inet.kernel.content();
    expect(JSON.stringify([...chains.keys(), ...sets.keys()].sort())).toBe(before);
    for (const { set, elements } of sets.values()) expect(elements.length).toBe(untouched.get(set.name)?.elements.length);
  });
  test('other options rewrite chains and nothing that a workload has', () => {
    const there = host();
    there.say({ policies: policies(everything), workloads: new Map([workload('tap1', inTier(everything)), workload('tap2', inTier(everything))]) });
    there.setOptions({ ipv6: false, denyAction: 'REJECT', interfacePrefixes: ['tap', 'veth'] });
    expect(there.passes('forward', { in: 'tap1', out: 'tap2', from: '10.0.0.1', to: '10.0.0.2' })).toBe(true);
    expect(there.passes('prerouting', { in: 'tap1', from: 'fd00::1' })).toBe(false);
    expect(there.passes('prerouting', { in: 'veth7', from: '10.0.0.1' })).toBe(false);
  });
});
