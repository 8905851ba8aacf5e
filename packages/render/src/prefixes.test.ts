// What workloads may send and claim: their own addresses, prefixes except the addresses in them that belong to somebody, and the addresses of a pair's MAC. Packets are sent through the rendered
// rules.
import { addressBytes, type Cidr, cidrContains, hostCidr, type IpAddress, macBytes } from '@calico-openstack/addresses';
import { impossibleForHosts, type LocalWorkload, noChange, type PairMac, type Profile, type ProfileId, type WorkloadId } from '@calico-openstack/datamodel';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyEdits } from './edits.ts';
import { defaultRenderOptions } from './options.ts';
import { Renderer } from './renderer.ts';
import { ifnameBytes, u32 } from './statements.ts';

const taps = ['tap1', 'tap2', 'tap3'] as const;
type Tap = (typeof taps)[number];
const macOf = (tap: Tap): string => `fa:16:3e:00:00:0${tap.at(-1)}`;
const vrrp = '00:00:5e:00:01:01';
const openProfile = 'projectcalico-default-allow' as ProfileId;
const profile: Profile = { id: openProfile, ingress: [], egress: [{ action: 'allow', source: {}, destination: {} }] };

type Part = {
  readonly routed: readonly string[];
  readonly prefixes?: readonly string[];
  readonly pairMacs?: readonly PairMac[];
  readonly portSecurity?: boolean;
  readonly gateway?: string;
};

function workload(tap: Tap, { routed, prefixes = [], pairMacs = [], portSecurity = true, gateway }: Part): LocalWorkload {
  const addresses = routed.map((address) => hostCidr(address as IpAddress));
  return {
    id: tap as string as WorkloadId,
    orchestrator: 'openstack',
    workload: tap,
    endpoint: tap,
    interfaceName: tap,
    mac: macOf(tap),
    addresses,
    routed: addresses,
    ...(gateway && { [gateway.includes(':') ? 'ipv6Gateway' : 'ipv4Gateway']: gateway as IpAddress }),
    ipNats: [],
    allowSpoofedSourcePrefixes: prefixes as Cidr[],
    ...(pairMacs.length > 0 && { pairMacs }),
    policy: { ingress: [], egress: [], profiles: portSecurity ? [] : [openProfile] },
  };
}

const RELATED = 4;

function world() {
  const tables = { inet: fakeTable('inet', 'calico-felix'), arp: fakeTable('arp', 'calico-felix') };
  const programmers = { inet: tables.inet.table, arp: tables.arp.table };
  const renderer = new Renderer(defaultRenderOptions);
  applyEdits(programmers, renderer.start());
  applyEdits(programmers, renderer.render({ ...noChange, profiles: new Map([[openProfile, profile]]) }).tables);
  const bytes = (address: string): Uint8Array => addressBytes(address as IpAddress);
  const passes = (hook: 'prerouting' | 'forward', tap: Tap, from: string, mac: string, more: readonly (readonly [Field, Uint8Array])[]): boolean => {
    const v6 = from.includes(':');
    const fields = new Map<Field, Uint8Array>([
      ['meta iifname', ifnameBytes(tap)],
      ['meta oifname', ifnameBytes('eth0')],
      ['meta nfproto', Uint8Array.of(v6 ? 10 : 2)],
      ['meta l4proto', Uint8Array.of(17)],
      [v6 ? 'ip6 saddr' : 'ip saddr', bytes(from)],
      ['ether saddr', macBytes(mac)],
      ['ct state', u32(8)],
      ['fib saddr . mark . iif oif', u32(0)],
      ...more,
    ]);
    return tables.inet.evaluate(hook, fields).verdict === 'accept';
  };
  return {
    elements: (set: string) => tables.inet.kernel.content().sets.get(set)!.elements.length,
    chains: () => [tables.inet, tables.arp].flatMap((table) => [...table.kernel.content().chains.keys()]).sort(),
    say(workloads: ReadonlyMap<Tap, LocalWorkload | undefined>, reserved: ReadonlyMap<Cidr, true | undefined> = new Map()): void {
      const change = { ...noChange, workloads: new Map([...workloads].map(([tap, value]) => [tap as string as WorkloadId, value])), reserved };
      const [rejected] = applyEdits(programmers, renderer.render(change).tables);
      if (rejected) throw rejected.error;
      programmers.inet.apply();
      programmers.arp.apply();
    },
    sends: (tap: Tap, from: string, mac = macOf(tap)) => passes('prerouting', tap, from, mac, []),
    advertises: (tap: Tap, from: string, target: string, mac = macOf(tap)) =>
      passes('prerouting', tap, from, mac, [
        ['meta l4proto', Uint8Array.of(58)],
        ['icmpv6 type', Uint8Array.of(136)],
        ['nd target', bytes(target)],
      ]),
    /** An ICMP error about a connection that policy let through. */
    speaksOf: (tap: Tap, from: string, original: string, reply: string) =>
      passes('forward', tap, from, macOf(tap), [
        ['ct state', u32(RELATED)],
        ['ct mark', u32(defaultRenderOptions.stamps.egress | defaultRenderOptions.stamps.ingress)],
        [from.includes(':') ? 'ct original ip6 saddr' : 'ct original ip saddr', bytes(original)],
        [from.includes(':') ? 'ct reply ip6 saddr' : 'ct reply ip saddr', bytes(reply)],
      ]),
    claims(tap: Tap, address: string, mac = macOf(tap)): boolean {
      const fields: [Field, Uint8Array][] = [
        ['meta iifname', ifnameBytes(tap)],
        ['arp operation', Uint8Array.of(0, 1)],
        ['arp saddr ip', bytes(address)],
        ['arp saddr ether', macBytes(mac)],
      ];
      return tables.arp.evaluate('input', new Map(fields)).verdict === 'accept';
    },
  };
}

const everywhere = ['0.0.0.0/0', '::/0'];
const reserved = (...cidrs: string[]) => new Map(cidrs.map((cidr) => [cidr as Cidr, true as const]));

describe('without port security', () => {
  const there = world();
  there.say(
    new Map([
      ['tap1', workload('tap1', { routed: ['10.0.0.1', 'fd00::1'], prefixes: everywhere, portSecurity: false, gateway: 'fd00::ffff' })],
      ['tap2', workload('tap2', { routed: ['10.0.0.2', 'fd00::2'] })],
    ]),
    reserved('192.0.2.1/32', 'fd09::1/128', '203.0.113.0/24'),
  );
  const others = ['10.0.0.2', 'fd00::2', '192.0.2.1', 'fd09::1', '203.0.113.7', '127.0.0.1', '224.0.0.5', '169.254.169.254', '::1', 'ff02::1', 'fd00::ffff'];

  test('a workload sends from anywhere, with any MAC, and claims anything that nobody has', () => {
    for (const from of ['1.2.3.4', 'fd99::1', '10.0.0.1']) expect(there.sends('tap1', from, macOf('tap3'))).toBe(true);
    expect(there.claims('tap1', '1.2.3.4', macOf('tap3'))).toBe(true);
    expect(there.advertises('tap1', 'fd99::1', 'fd99::1')).toBe(true);
    expect(there.speaksOf('tap1', '1.2.3.4', '1.2.3.4', '198.51.100.9')).toBe(true);
    expect(there.speaksOf('tap1', '10.0.0.1', '10.0.0.2', '10.0.0.1')).toBe(true);
  });
  test.each(others)('it does not speak for %s', (address) => {
    expect(there.sends('tap1', address)).toBe(false);
    expect(there.sends('tap1', address, macOf('tap2'))).toBe(false);
    if (address.includes(':')) expect(there.advertises('tap1', 'fd00::1', address)).toBe(false);
    else expect(there.claims('tap1', address)).toBe(false);
    const [own, else_] = address.includes(':') ? ['fd00::1', 'fd99::9'] : ['10.0.0.1', '198.51.100.9'];
    expect(there.speaksOf('tap1', own, address, else_)).toBe(false);
    expect(there.speaksOf('tap1', own, else_, address)).toBe(false);
  });
});

test('with a prefix a workload speaks for what is in it, with its own MAC, and of no other connections', () => {
  const there = world();
  there.say(new Map([['tap1', workload('tap1', { routed: ['10.0.0.1', 'fd00::1'], prefixes: ['10.9.0.0/30', 'fd09::/64'] })]]));
  expect([there.sends('tap1', '10.9.0.1'), there.sends('tap1', '10.9.0.5'), there.sends('tap1', '10.9.0.1', macOf('tap2'))]).toEqual([true, false, false]);
  expect([there.claims('tap1', '10.9.0.1'), there.claims('tap1', '10.9.0.5'), there.claims('tap1', '10.9.0.1', macOf('tap2'))]).toEqual([true, false, false]);
  expect([there.advertises('tap1', 'fd09::1', 'fd09::2'), there.advertises('tap1', 'fd09::1', 'fd0a::2')]).toEqual([true, false]);
  expect([there.speaksOf('tap1', '10.9.0.1', '10.9.0.1', '1.2.3.4'), there.speaksOf('tap1', '10.9.0.1', '1.2.3.4', '5.6.7.8')]).toEqual([true, false]);
  expect(there.sends('tap1', 'fd09::1')).toBe(true);
});

test('a pair’s MAC is good for its address only, and no other MAC is', () => {
  const there = world();
  const pairMacs = [{ mac: vrrp, addresses: ['10.0.0.200/32', 'fd00::200/128'] as Cidr[] }];
  there.say(
    new Map([
      ['tap1', workload('tap1', { routed: ['10.0.0.1', '10.0.0.200', 'fd00::1', 'fd00::200'], pairMacs })],
      ['tap2', workload('tap2', { routed: ['10.0.0.2'], pairMacs })],
    ]),
  );
  expect([there.sends('tap1', '10.0.0.200', vrrp), there.sends('tap1', 'fd00::200', vrrp), there.claims('tap1', '10.0.0.200', vrrp)]).toEqual([
    true,
    true,
    true,
  ]);
  expect([there.sends('tap1', '10.0.0.1', vrrp), there.sends('tap1', 'fd00::1', vrrp), there.claims('tap1', '10.0.0.1', vrrp)]).toEqual([false, false, false]);
  expect([there.sends('tap1', '10.0.0.200', '00:00:5e:00:01:02'), there.claims('tap1', '10.0.0.200', '00:00:5e:00:01:02')]).toEqual([false, false]);
  expect(there.advertises('tap1', 'fd00::200', 'fd00::200', vrrp)).toBe(true);
  expect(there.advertises('tap1', 'fd00::200', 'fd00::9', vrrp)).toBe(false);
  // The other member of the group names the address as a pair but does not own it on this host.
  expect([there.sends('tap2', '10.0.0.200', vrrp), there.claims('tap2', '10.0.0.200', vrrp)]).toEqual([false, false]);
});

test('nothing of others is held while nobody has a prefix, and no chain stays behind', () => {
  const there = world();
  there.say(new Map());
  const base = there.chains();
  there.say(new Map([['tap2', workload('tap2', { routed: ['10.0.0.2'] })]]), reserved('192.0.2.1/32'));
  expect(there.elements('others-addresses4')).toBe(0);
  const before = there.chains();
  const pairMacs = [{ mac: vrrp, addresses: ['10.0.0.200/32'] as Cidr[] }];
  there.say(new Map([['tap1', workload('tap1', { routed: ['10.0.0.1'], prefixes: everywhere, pairMacs })]]));
  expect(there.elements('others-addresses4')).toBe(3);
  there.say(new Map([['tap1', undefined]]));
  expect(there.elements('others-addresses4')).toBe(0);
  expect(there.chains()).toEqual(before);
  there.say(new Map([['tap2', undefined]]));
  expect(there.chains()).toEqual(base);
});

const universe = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.1.1', '127.0.0.1', '224.0.0.1', 'fd00::1', 'fd00::2', 'fd00:1::1', 'ff02::1', '::1'];
const prefixes = ['0.0.0.0/0', '0.0.0.0/1', '10.0.0.0/30', '10.0.0.0/23', '10.0.0.2/32', '127.0.0.0/8', '::/0', 'fd00::/64', 'fd00::/16'];
const wide = ['10.0.1.0/24', 'fd00:1::/32', '127.0.0.0/8'];

test('whoever has what: a workload speaks for its own, and for what is in its prefixes and nobody’s, whatever came before', () => {
  const holder = fc.constantFrom('nobody' as const, 'reserved' as const, ...taps);
  const part = fc.record({
    prefixes: fc.uniqueArray(fc.constantFrom(...prefixes), { maxLength: 3 }),
    portSecurity: fc.boolean(),
    pair: fc.uniqueArray(fc.constantFrom(...universe), { maxLength: 2 }),
    here: fc.boolean(),
  });
  const state = fc.record({
    holders: fc.array(holder, { minLength: universe.length, maxLength: universe.length }),
    parts: fc.tuple(part, part, part),
    wide: fc.uniqueArray(fc.constantFrom(...wide), { maxLength: 2 }),
  });
  fc.assert(
    fc.property(fc.array(state, { minLength: 1, maxLength: 4 }), (states) => {
      const there = world();
      let heldReserved = new Set<Cidr>();
      let held = new Set<Tap>();
      for (const { holders, parts, wide: wideReserved } of states) {
        const isImpossible = (address: string): boolean => impossibleForHosts(address as IpAddress) !== undefined;
        const inWide = (address: string): boolean => wideReserved.some((cidr) => cidrContains(cidr as Cidr, address as IpAddress));
        const ownerOf = (address: string): Tap | undefined => {
          const who = holders[universe.indexOf(address)]!;
          const at = taps.indexOf(who as Tap);
          return at >= 0 && parts[at]!.here && !isImpossible(address) && !inWide(address) ? (who as Tap) : undefined;
        };
        const nowReserved = new Set<Cidr>([
          ...universe.filter((_, index) => holders[index] === 'reserved').map((address) => hostCidr(address as IpAddress)),
          ...(wideReserved as Cidr[]),
        ]);
        const change = new Map<Cidr, true | undefined>();
        for (const cidr of nowReserved) if (!heldReserved.has(cidr)) change.set(cidr, true);
        for (const cidr of heldReserved) if (!nowReserved.has(cidr)) change.set(cidr, undefined);
        const workloads = new Map<Tap, LocalWorkload | undefined>();
        for (const [index, tap] of taps.entries()) {
          const { here, pair, ...rest } = parts[index]!;
          const pairMacs = pair.length > 0 ? [{ mac: vrrp, addresses: pair.map((address) => hostCidr(address as IpAddress)) }] : [];
          if (here) workloads.set(tap, workload(tap, { routed: universe.filter((address) => ownerOf(address) === tap), pairMacs, ...rest }));
          else if (held.has(tap)) workloads.set(tap, undefined);
        }
        there.say(workloads, change);
        heldReserved = nowReserved;
        held = new Set(taps.filter((_, index) => parts[index]!.here));
        for (const [index, tap] of taps.entries()) {
          const { here, prefixes: mine, portSecurity, pair } = parts[index]!;
          for (const address of universe) {
            const someones = isImpossible(address) || inWide(address) || ownerOf(address) !== undefined || holders[universe.indexOf(address)] === 'reserved';
            const inPrefix = mine.some((cidr) => cidrContains(cidr as Cidr, address as IpAddress));
            const speaks = here && (ownerOf(address) === tap || (inPrefix && !someones));
            expect([tap, address, there.sends(tap, address)]).toEqual([tap, address, speaks]);
            const byPair = speaks && (!portSecurity || pair.includes(address));
            expect([tap, address, vrrp, there.sends(tap, address, vrrp)]).toEqual([tap, address, vrrp, byPair]);
            if (!address.includes(':')) {
              expect([tap, 'arp', address, there.claims(tap, address)]).toEqual([tap, 'arp', address, speaks]);
              expect([tap, 'arp', address, vrrp, there.claims(tap, address, vrrp)]).toEqual([tap, 'arp', address, vrrp, byPair]);
            } else if (there.sends(tap, 'fd00::1'))
              expect([tap, 'nd', address, there.advertises(tap, 'fd00::1', address)]).toEqual([tap, 'nd', address, speaks]);
          }
        }
      }
    }),
    { numRuns: 60 },
  );
});
