import type { Cidr } from '@calico-openstack/addresses';
import { type LocalWorkload, noChange, type ProfileId, type QosControls, type WorkloadId } from '@calico-openstack/datamodel';
import type { Field } from '@calico-openstack/kernel/nftables/objects';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { describe, expect, test } from 'vitest';
import { applyEdits } from './edits.ts';
import { defaultRenderOptions } from './options.ts';
import { qosLimits } from './qos.ts';
import { Renderer } from './renderer.ts';
import { ifnameBytes, u32 } from './statements.ts';

type Row = {
  readonly what: string;
  readonly controls: QosControls;
  readonly expected: Partial<ReturnType<typeof qosLimits>>;
  readonly told?: RegExp | undefined;
};
const rows = (...list: readonly (readonly [string, QosControls, Row['expected'], RegExp?])[]): Row[] =>
  list.map(([what, controls, expected, told]) => ({ what, controls, expected, told }));

describe('values', () => {
  test.each(
    rows(
      ['none', {}, { bandwidth: {}, packetRate: {}, connections: {} }],
      ['a zero is none', { ingressBandwidth: 0, egressPacketRate: 0, egressMaxConnections: 0 }, { bandwidth: {}, packetRate: {}, connections: {} }],
      [
        'a rate, with what may wait for 25 ms of it',
        { egressBandwidth: 80_000_000, egressBurst: 8_000_000 },
        { bandwidth: { egress: { rateBytesPerSecond: 10_000_000, burstBytes: 1_000_000, queueBytes: 250_000 } } },
      ],
      [
        'a burst of 0 or none is the API’s default, and so is one of packets',
        { ingressBandwidth: 8000, ingressBurst: 0, ingressPacketRate: 10 },
        { bandwidth: { ingress: { rateBytesPerSecond: 1000, burstBytes: 536_870_912, queueBytes: 131_072 } }, packetRate: { ingress: { rate: 10, burst: 5 } } },
      ],
      [
        'a peak above the rate',
        { ingressBandwidth: 8000, ingressPeakrate: 16_000, ingressMinburst: 3000 },
        { bandwidth: { ingress: expect.objectContaining({ peak: { rateBytesPerSecond: 2000, burstBytes: 3000 } }) } },
      ],
      [
        'a peak below the rate, as upstream’s driver writes for a burst, is ignored and told',
        { ingressBandwidth: 1_000_000, ingressPeakrate: 500_000 },
        { bandwidth: { ingress: { rateBytesPerSecond: 125_000, burstBytes: 536_870_912, queueBytes: 131_072 } } },
        /ingressPeakrate is 500000, which is not above ingressBandwidth/,
      ],
      ['a peak like the rate too', { ingressBandwidth: 8000, ingressPeakrate: 8001 }, {}, /ingressPeakrate is 8001/],
      ['a peak alone is nothing', { ingressPeakrate: 500_000 }, { bandwidth: {} }],
      ['a negative value is none, and told', { egressBandwidth: -1 }, { bandwidth: {} }, /egressBandwidth is -1, which is no limit/],
      [
        '2^63 is the greatest',
        { egressBandwidth: 2 ** 63, egressPacketRate: 2 ** 63, egressPacketBurst: 2 ** 63, egressMaxConnections: 2 ** 63 },
        {
          bandwidth: { egress: { rateBytesPerSecond: 125_000_000_000_000, burstBytes: 536_870_912, queueBytes: 67_108_864 } },
          packetRate: { egress: { rate: 1e9, burst: 4_294_967_295 } },
          connections: { egress: 4_294_967_295 },
        },
        /egressBandwidth is 9223372036854776000; 1000000000000000 is in force/,
      ],
      [
        'a fraction is rounded, to the least at least',
        { egressPacketRate: 0.2, egressMaxConnections: 2.6 },
        { packetRate: { egress: { rate: 1, burst: 5 } }, connections: { egress: 3 } },
        /egressPacketRate/,
      ],
      [
        'NaN is none',
        { egressBandwidth: Number.NaN, ingressPacketRate: Number.POSITIVE_INFINITY },
        { bandwidth: {}, packetRate: { ingress: { rate: 1e9, burst: 5 } } },
        /egressBandwidth is NaN/,
      ],
    ),
  )('$what', ({ controls, expected, told }) => {
    const limits = qosLimits(controls);
    expect(limits).toMatchObject(expected);
    if (expected.bandwidth) expect(limits.bandwidth).toEqual(expected.bandwidth);
    expect(limits.unheeded.length > 0).toBe(told !== undefined);
    if (told) expect(limits.unheeded.join()).toMatch(told);
  });
});

const open = {
  id: 'open' as ProfileId,
  ingress: [{ action: 'allow', source: {}, destination: {} }],
  egress: [{ action: 'allow', source: {}, destination: {} }],
} as const;
const closed = { ...open, id: 'closed' as ProfileId, ingress: [] };

const workload = (interfaceName: string, qosControls?: QosControls, profile: ProfileId = open.id): LocalWorkload => ({
  id: `openstack/openstack/vm/${interfaceName}` as WorkloadId,
  orchestrator: 'openstack',
  workload: 'openstack/vm',
  endpoint: interfaceName,
  interfaceName,
  addresses: [`10.0.0.${interfaceName.slice(3)}/32` as Cidr],
  routed: [`10.0.0.${interfaceName.slice(3)}/32` as Cidr],
  ipNats: [],
  allowSpoofedSourcePrefixes: [],
  policy: { ingress: [], egress: [], profiles: [profile] },
  ...(qosControls && { qosControls }),
});

function host() {
  const { table, kernel, evaluate } = fakeTable('inet', 'calico-felix');
  const arp = fakeTable('arp', 'calico-felix').table;
  const renderer = new Renderer(defaultRenderOptions);
  const edit = (edits: Parameters<typeof applyEdits>[1]) => {
    expect(applyEdits({ inet: table, arp }, edits)).toEqual([]);
    table.apply();
  };
  edit(renderer.start());
  edit(renderer.render({ ...noChange, profiles: new Map([open, closed].map((profile) => [profile.id, profile])) }).tables);
  const packet = (from: string, to: string, state: number, protocol = 6) =>
    new Map<Field, Uint8Array>([
      ['meta iifname', ifnameBytes(from)],
      ['meta oifname', ifnameBytes(to)],
      ['meta nfproto', Uint8Array.of(2)],
      ['meta l4proto', Uint8Array.of(protocol)],
      ['ct state', u32(state)],
      ['ct direction', Uint8Array.of(0)],
      ['ct mark', u32(state === 2 ? 0xc0000 : 0)],
    ]);
  return {
    kernel,
    say: (...workloads: readonly LocalWorkload[]) =>
      edit(renderer.render({ ...noChange, workloads: new Map(workloads.map((each) => [each.id, each])) }).tables),
    remove: (...workloads: readonly LocalWorkload[]) =>
      edit(renderer.render({ ...noChange, workloads: new Map(workloads.map((each) => [each.id, undefined])) }).tables),
    setOptions: () => edit(renderer.setOptions({ ...defaultRenderOptions, denyAction: 'REJECT' })),
    judge: (from: string, to: string, traffic: Parameters<typeof evaluate>[2], { established = false, protocol = 6 } = {}) =>
      evaluate('forward', packet(from, to, established ? 2 : 8, protocol), traffic),
    names: () => [...kernel.read()!.chains.keys(), ...kernel.read()!.sets.keys()].filter((name) => name.startsWith('qos-') && /\d|tap/.test(name)),
    /** The maps of limits that packets are looked up in. */
    looks: () => [...new Set(JSON.stringify(['from-workload', 'to-workload'].map((name) => table.rules.chain(name))).match(/qos-[a-z-]+/g) ?? [])],
  };
}

describe('rules', () => {
  const over = { overRate: true };

  test('without limits nothing looks for any; after the last one neither', () => {
    const { say, remove, looks, names } = host();
    say(workload('tap1'), workload('tap2', { ingressBandwidth: 1e6 }));
    expect([looks(), names()]).toEqual([[], []]);
    say(workload('tap1', { egressPacketRate: 10 }));
    expect(looks()).toEqual(['qos-packet-rate-egress']);
    say(workload('tap1', { egressMaxConnections: 10 }));
    expect(looks()).toEqual(['qos-connections-egress']);
    remove(workload('tap1'));
    expect([looks(), names()]).toEqual([[], []]);
  });

  test('beyond its rate every packet of the interface is dropped, in its direction alone, and of nobody else', () => {
    const { say, judge } = host();
    say(workload('tap1', { egressPacketRate: 10 }), workload('tap2', { ingressPacketRate: 10 }), workload('tap3'));
    for (const established of [false, true]) {
      expect(judge('tap1', 'tap3', over, { established }).verdict).toBe('drop');
      expect(judge('tap3', 'tap2', over, { established }).verdict).toBe('drop');
      expect(judge('tap3', 'tap1', over, { established }).verdict).toBe('accept');
      expect(judge('tap2', 'tap3', over, { established }).verdict).toBe('accept');
      expect(judge('tap1', 'tap2', {}, { established }).verdict).toBe('accept');
    }
  });

  test('a TCP connection too many is reset; what policy denies is denied; established ones go on', () => {
    const { say, judge } = host();
    say(workload('tap1', { ingressMaxConnections: 10 }), workload('tap2', { ingressMaxConnections: 10 }, closed.id), workload('tap3'));
    expect(judge('tap3', 'tap1', { connections: 10 }).verdict).toBe('accept');
    expect(judge('tap3', 'tap1', { connections: 11 })).toMatchObject({ verdict: 'drop', rejected: 'tcp-reset' });
    expect(judge('tap3', 'tap1', { connections: 11 }, { protocol: 17 }).verdict).toBe('accept');
    expect(judge('tap3', 'tap1', { connections: 11 }, { established: true }).verdict).toBe('accept');
    expect(judge('tap1', 'tap3', { connections: 11 }).verdict).toBe('accept');
    expect(judge('tap3', 'tap2', { connections: 11 }).rejected).toBeUndefined();
  });

  test('equal rates share a set in which each interface has its own limit; a limit that changes leaves those of others alone', () => {
    const { say, names, kernel, setOptions, judge } = host();
    say(workload('tap1', { egressPacketRate: 10 }), workload('tap2', { egressPacketRate: 10 }), workload('tap3', { egressMaxConnections: 5 }));
    const interfaces = 'qos-packet-rate-egress-10-5-interfaces';
    expect(kernel.read()!.sets.get(interfaces)!.elements).toHaveLength(2);
    say(workload('tap1', { egressPacketRate: 20 }));
    expect(names()).toEqual(expect.arrayContaining([interfaces, 'qos-packet-rate-egress-20-5-interfaces']));
    expect(kernel.read()!.sets.get(interfaces)!.elements).toHaveLength(1);
    say(workload('tap3', { egressMaxConnections: 6 }));
    setOptions();
    expect(judge('tap3', 'tap9', { connections: 6 }).rejected).not.toBe('tcp-reset');
    expect(judge('tap3', 'tap1', { connections: 7 }).rejected).toBe('tcp-reset');
    expect(judge('tap1', 'tap3', over).verdict).toBe('drop');
  });
});
