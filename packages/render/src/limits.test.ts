import { addressBytes, type Cidr, macBytes, parseAddress } from '@calico-openstack/addresses';
import { type LocalWorkload, noChange, type PolicyId, type ProfileId, type WorkloadId } from '@calico-openstack/datamodel';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { printRule } from '@calico-openstack/kernel/nftables/print';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { describe, expect, test } from 'vitest';
import { applyEdits } from './edits.ts';
import { defaultRenderOptions, type RenderOptions } from './options.ts';
import { Renderer } from './renderer.ts';
import { ifnameBytes, port, u32 } from './statements.ts';

const mac = 'fa:16:3e:00:00:01';
const [ownLinkLocal, invented] = ['fe80::f816:3eff:fe00:1', 'fe80::1'];
const [UDP, ICMPV6] = [17, 58];
const all = ['limit-dhcp', 'limit-dns', 'limit-neighbours', 'limit-arp', 'limit-strangers'];

const workload = (more: Partial<LocalWorkload> = {}): LocalWorkload => ({
  id: 'openstack/openstack/vm/port' as WorkloadId,
  orchestrator: 'openstack',
  workload: 'openstack/vm',
  endpoint: 'port',
  interfaceName: 'tap1',
  mac,
  addresses: ['10.0.0.1/32', 'fd00::1/128'] as Cidr[],
  routed: ['10.0.0.1/32', 'fd00::1/128'] as Cidr[],
  ipNats: [],
  allowSpoofedSourcePrefixes: [],
  policy: { ingress: [], egress: [], profiles: [] },
  ...more,
});

const openProfile = { id: 'projectcalico-default-allow' as ProfileId, ingress: [], egress: [] };
/** A port without port security. */
const anySource = { allowSpoofedSourcePrefixes: ['0.0.0.0/0', '::/0'] as Cidr[], policy: { ingress: [], egress: [], profiles: [openProfile.id] } };

type Sent = { readonly from: string; readonly port?: number; readonly icmp?: number; readonly loud?: readonly string[] };

function host(one: LocalWorkload = workload(), options: Partial<RenderOptions> = {}) {
  const tables = { inet: fakeTable('inet', 'calico-felix'), arp: fakeTable('arp', 'calico-felix') };
  const programmers = { inet: tables.inet.table, arp: tables.arp.table };
  const renderer = new Renderer({ ...defaultRenderOptions, ...options });
  applyEdits(programmers, renderer.start());
  const { tables: edits, devices } = renderer.render({ ...noChange, profiles: new Map([[openProfile.id, openProfile]]), workloads: new Map([[one.id, one]]) });
  applyEdits(programmers, edits);
  for (const table of Object.values(programmers)) table.apply();
  const bytes = (address: string): Uint8Array => addressBytes(parseAddress(address)!);
  return {
    device: devices.get(one.id),
    /** Whether a packet passes at a hook. `loud` lists the sets whose limit for this interface is exceeded. */
    passes(hook: 'prerouting' | 'input', { from, port: to = 9, icmp, loud: overRate = [] }: Sent): boolean {
      const v6 = from.includes(':');
      const fields = new Map<Field, Uint8Array>([
        ['meta iifname', ifnameBytes('tap1')],
        ['ether saddr', macBytes(mac)],
        [v6 ? 'ip6 saddr' : 'ip saddr', bytes(from)],
        ['meta nfproto', Uint8Array.of(v6 ? 10 : 2)],
        ['meta l4proto', Uint8Array.of(icmp === undefined ? UDP : ICMPV6)],
        ['fib saddr . mark . iif oif', u32(from.startsWith('fe80') ? 7 : 0)],
        ['ct state', u32(8)],
        ...(icmp === undefined ? [] : ([['icmpv6 type', Uint8Array.of(icmp)]] as const)),
        ...(icmp === undefined
          ? ([
              ['th sport', port(to === 67 ? 68 : 546)],
              ['th dport', port(to)],
            ] as const)
          : []),
        ['nd target', bytes('fd00::1')],
      ]);
      return tables.inet.evaluate(hook, fields, { overRate }).verdict === 'accept';
    },
    arp(sender: string, overRate: readonly string[] = []): boolean {
      const fields = new Map<Field, Uint8Array>([
        ['meta iifname', ifnameBytes('tap1')],
        ['arp saddr ip', bytes(sender)],
        ['arp saddr ether', macBytes(mac)],
      ]);
      return tables.arp.evaluate('input', fields, { overRate }).verdict === 'accept';
    },
  };
}

describe('what is limited for each interface, on the way to the host', () => {
  test.each<[string, string, Sent]>([
    ['DHCP from no address', 'limit-dhcp', { from: '0.0.0.0', port: 67 }],
    ['DHCP from its address', 'limit-dhcp', { from: '10.0.0.1', port: 67 }],
    ['DNS', 'limit-dns', { from: '10.0.0.1', port: 53 }],
    ['DHCPv6', 'limit-dhcp', { from: ownLinkLocal, port: 547 }],
    ['a multicast query', 'limit-neighbours', { from: ownLinkLocal, icmp: 130 }],
    ['a neighbour solicitation', 'limit-neighbours', { from: 'fd00::1', icmp: 135 }],
    ['a question whether an address is taken', 'limit-neighbours', { from: '::', icmp: 135 }],
    ['a neighbour advertisement', 'limit-neighbours', { from: 'fd00::1', icmp: 136 }],
    ['a multicast report', 'limit-neighbours', { from: '::', icmp: 143 }],
  ])('%s, by %s and no other', (_, limit, sent) => {
    const { passes } = host();
    const others = all.filter((each) => each !== limit);
    expect([passes('input', { ...sent, loud: others }), passes('input', { ...sent, loud: [limit] })]).toEqual([true, false]);
  });
  test('a router solicitation, as what Dnsmasq answers and as neighbour discovery', () => {
    const passes = (...loud: string[]) => host().passes('input', { from: ownLinkLocal, icmp: 133, loud });
    expect([passes('limit-strangers', 'limit-arp'), passes('limit-dhcp'), passes('limit-neighbours')]).toEqual([true, false, false]);
  });
  test('ARP, also of what is its own', () => {
    const { arp } = host();
    expect([arp('10.0.0.1', ['limit-strangers']), arp('0.0.0.0', ['limit-strangers']), arp('10.0.0.1', ['limit-arp'])]).toEqual([true, true, false]);
  });
  test.each<Sent>([
    { from: '10.0.0.1', port: 53 },
    { from: '10.0.0.1', port: 67 },
    { from: 'fd00::1', port: 547 },
    { from: 'fd00::1', icmp: 135 },
  ])('and nothing that may be on its way elsewhere: %j', (sent) => expect(host().passes('prerouting', { ...sent, loud: all })).toBe(true));
});

describe('link-local sources', () => {
  const sources = [ownLinkLocal, invented];
  const passing = (...of: Parameters<typeof host>): boolean[] => sources.map((from) => host(...of).passes('prerouting', { from, icmp: 128 }));
  test('are what the port’s MAC makes', () => expect(passing()).toEqual([true, false]));
  test('or the MAC of one of its address pairs', () => {
    const pairMacs = [{ mac: '00:00:5e:00:01:07', addresses: ['10.0.0.7/32'] as Cidr[] }];
    expect(host(workload({ pairMacs })).passes('prerouting', { from: 'fe80::200:5eff:fe00:107', icmp: 128 })).toBe(true);
  });
  test('may be any where the MAC is not checked: without port security, or a MAC, or the check', () => {
    expect(passing(workload(anySource))).toEqual([true, true]);
    const { mac: _, ...withoutMac } = workload();
    expect(passing(withoutMac)).toEqual([true, true]);
    expect(passing(workload(), { antiSpoofLinkLayer: false })).toEqual([true, true]);
  });
  test('of anybody’s invention are limited also then, and the port’s own is not among them', () => {
    const loud = (from: string) => host(workload(anySource)).passes('prerouting', { from, icmp: 128, loud: ['limit-strangers'] });
    expect(sources.map(loud)).toEqual([true, false]);
  });
  test('ask for DHCPv6 only as the port’s own, whatever else the port may do: for others Dnsmasq would look', () => {
    const asks = (from: string, ...of: Parameters<typeof host>) => host(...of).passes('input', { from, port: 547 });
    expect(sources.map((from) => asks(from, workload(anySource)))).toEqual([true, false]);
    expect(asks('fd00::1')).toBe(false);
    expect(asks(invented, workload(), { antiSpoofLinkLayer: false })).toBe(true);
  });
  test('have a permanent neighbour where there is IPv6', () => {
    expect(host().device?.neighbours).toContainEqual({ address: ownLinkLocal, mac });
    const pairMacs = [{ mac: '00:00:5e:00:01:07', addresses: ['10.0.0.7/32'] as Cidr[] }];
    expect(host(workload({ pairMacs })).device?.neighbours).toContainEqual({ address: 'fe80::200:5eff:fe00:107', mac: '00:00:5e:00:01:07' });
    expect(host(workload({ routed: ['10.0.0.1/32'] as Cidr[] })).device?.neighbours).toEqual([{ address: '10.0.0.1', mac }]);
  });
});

test('from no address a guest asks whether one is taken, for routers, and says its groups, and nothing else', () => {
  const { passes } = host();
  expect([133, 135, 131, 143, 136, 128].map((icmp) => passes('prerouting', { from: '::', icmp }))).toEqual([true, true, true, true, false, false]);
  expect(passes('prerouting', { from: '::', port: 547 })).toBe(false);
});

test('neighbours that a port makes known out of its prefixes are limited, its own addresses are not among them', () => {
  const prefixed = host(workload({ allowSpoofedSourcePrefixes: ['10.9.0.0/16', 'fd09::/16'] as Cidr[] }));
  const loud = ['limit-strangers'];
  expect([prefixed.arp('10.9.1.1'), prefixed.arp('10.9.1.1', loud), prefixed.arp('10.0.0.1', loud)]).toEqual([true, false, true]);
  const solicits = (from: string, used: readonly string[]) => prefixed.passes('prerouting', { from, icmp: 135, loud: used });
  expect([solicits('fd09::1', []), solicits('fd09::1', loud), solicits('fd00::1', loud), solicits(ownLinkLocal, loud)]).toEqual([true, false, true, true]);
});

test('a Log rule writes as much as its limit lets it, and what is beyond that is judged the same', () => {
  const chains = (logLimit: RenderOptions['logLimit']) => {
    const table = fakeTable('inet', 'calico-felix');
    const { logLimit: _, ...options } = defaultRenderOptions;
    const renderer = new Renderer({ ...options, ...(logLimit && { logLimit }) });
    const log = { action: 'log', source: {}, destination: {} } as const;
    const id = 'GlobalNetworkPolicy//l' as PolicyId;
    const policy = { id, tier: 'default', ingress: [log, { ...log, action: 'deny' as const }], egress: [] };
    for (const edits of [renderer.start(), renderer.render({ ...noChange, policies: new Map([[id, policy]]) }).tables])
      applyEdits({ inet: table.table, arp: fakeTable('arp').table }, edits);
    table.table.apply();
    const [chain] = [...table.kernel.content().chains.values()].filter(({ name }) => name.startsWith('policy-ingress-'));
    return chain!.rules.map((each) => printRule(each));
  };
  const log = 'log prefix "calico-packet: "';
  expect(chains({ rate: 5, unit: 'second', burst: 7 })).toEqual([`limit rate 5/second burst 7 packets ${log}`, 'drop']);
  expect(chains(undefined)).toEqual([log, 'drop']);
});
