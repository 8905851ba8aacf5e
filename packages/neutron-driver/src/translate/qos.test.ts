import { describe, expect, test } from 'vitest';
import { defaultQosOptions, greatPacketRates, qosControls } from './qos.ts';

describe('QoS', () => {
  const rule = (changes: object) => ({
    type: 'bandwidth_limit',
    direction: undefined,
    max_kbps: undefined,
    max_burst_kbps: undefined,
    max_kpps: undefined,
    ...changes,
  });
  const burst = 4294967296;
  test.each([
    ['nothing', [], undefined],
    ['without a direction it is egress', [rule({ max_kbps: 5000 })], { egressBandwidth: 5_000_000, egressBurst: burst }],
    ['ingress', [rule({ direction: 'ingress', max_kbps: 5000, max_burst_kbps: 6000 })], { ingressBandwidth: 5_000_000, ingressBurst: 6_000_000 }],
    ['a burst is an amount, and never a peak rate', [rule({ max_kbps: 1000, max_burst_kbps: 500 })], { egressBandwidth: 1_000_000, egressBurst: 500_000 }],
    ['a burst alone', [rule({ max_burst_kbps: 1 })], undefined],
    ['0 is not set', [rule({ max_kbps: 0, max_burst_kbps: 0 })], undefined],
    ['the least', [rule({ max_kbps: 1 })], { egressBandwidth: 1000, egressBurst: burst }],
    ['packets', [rule({ type: 'packet_rate_limit', max_kpps: 3 })], { egressPacketRate: 3000, egressPacketBurst: 5 }],
    ['more packets than can be expressed', [rule({ type: 'packet_rate_limit', max_kpps: 11 })], { egressPacketRate: 10_000, egressPacketBurst: 5 }],
    ['a kind that is not known', [rule({ type: 'dscp_marking', max_kbps: 5000 })], undefined],
  ])('%s', (_, rules, expected) => {
    expect(qosControls(rules, defaultQosOptions)).toEqual(expected);
  });
  test('the configuration gives bursts and connections, within their bounds', () => {
    const egress = { burstBits: 1, burstPackets: 20_000, maxConnections: 2 ** 40 };
    const rules = [rule({ max_kbps: 5000 }), rule({ type: 'packet_rate_limit', max_kpps: 1 })];
    expect(qosControls(rules, { ...defaultQosOptions, egress })).toEqual({
      egressBandwidth: 5_000_000,
      egressBurst: 1000,
      egressPacketRate: 1000,
      egressPacketBurst: 10_000,
      egressMaxConnections: 4294967295,
    });
  });

  test('packet rates beyond those of the API are told apart', () => {
    const rules = [rule({ type: 'packet_rate_limit', max_kpps: 50 }), rule({ type: 'packet_rate_limit', direction: 'ingress', max_kpps: 10 })];
    expect(greatPacketRates(rules)).toEqual({ egressPacketRate: 50_000 });
    expect(qosControls(rules, defaultQosOptions)).toMatchObject({ egressPacketRate: 10_000, ingressPacketRate: 10_000 });
  });
});
