import { describe, expect, test } from 'vitest';
import { networkId, subnetRow } from '../testing/rows.ts';
import { networkSetContent } from './address-group.ts';
import { defaultQosOptions, qosControls } from './qos.ts';
import { subnetContent } from './subnet.ts';

describe('subnets', () => {
  const value = (changes: Parameters<typeof subnetRow>[0]) => {
    const content = subnetContent(subnetRow(changes));
    return content.ok ? content.value && JSON.parse(content.value) : content.reason;
  };
  const plain = { network_id: networkId, cidr: '10.40.0.0/24', host_routes: [], gateway_ip: '10.40.0.1' };
  test.each([
    ['DHCP off', { enable_dhcp: false }, undefined],
    ['nothing special', {}, plain],
    ['no gateway', { gateway_ip: undefined }, { ...plain, gateway_ip: null }],
    ['name servers in their order', { dns_nameservers: ['10.40.0.3', '10.40.0.2'] }, { ...plain, dns_servers: ['10.40.0.3', '10.40.0.2'] }],
    [
      'host routes',
      { host_routes: [{ destination: '10.99.0.0/16', nexthop: '10.40.0.1' }] },
      { ...plain, host_routes: [{ destination: '10.99.0.0/16', nexthop: '10.40.0.1' }] },
    ],
    ['one IPv6 mode alone', { ipv6_ra_mode: 'slaac' }, plain],
    ['both IPv6 modes', { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' }, { ...plain, ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' }],
    ['no prefix', { cidr: 'ten' }, expect.stringMatching(/cidr/)],
  ])('%s', (_, changes, expected) => {
    expect(value(changes)).toEqual(expected);
  });
});

test('an address group is its prefixes, sorted, each once, under its label', () => {
  expect(
    networkSetContent({ id: 'cc33', name: 'our offices!', addresses: ['192.0.2.0/24', '10.0.0.5/8', '192.0.2.0/24', '2001:DB8::/32', 'ten'] }, 'openstack'),
  ).toEqual({
    kind: 'NetworkSet',
    name: 'osag.cc33',
    namespace: 'openstack',
    labels: { 'ag.projectcalico.org/openstack-cc33': 'our_offices' },
    spec: { nets: ['10.0.0.0/8', '192.0.2.0/24', '2001:db8::/32'] },
  });
});

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
    [
      'ingress',
      [rule({ direction: 'ingress', max_kbps: 5000, max_burst_kbps: 6000 })],
      { ingressBandwidth: 5_000_000, ingressBurst: burst, ingressPeakrate: 6_000_000 },
    ],
    ['a peak alone', [rule({ max_burst_kbps: 1 })], { egressPeakrate: 1010 }],
    ['0 is not set', [rule({ max_kbps: 0, max_burst_kbps: 0 })], undefined],
    ['the least', [rule({ max_kbps: 1 })], { egressBandwidth: 1000, egressBurst: burst }],
    ['packets', [rule({ type: 'packet_rate_limit', max_kpps: 3 })], { egressPacketRate: 3000, egressPacketBurst: 5 }],
    ['more packets than can be said', [rule({ type: 'packet_rate_limit', max_kpps: 11 })], { egressPacketRate: 10_000, egressPacketBurst: 5 }],
    ['a kind that is not known', [rule({ type: 'dscp_marking', max_kbps: 5000 })], undefined],
  ])('%s', (_, rules, expected) => {
    expect(qosControls(rules, defaultQosOptions)).toEqual(expected);
  });
  test('the configuration gives bursts and connections, within their bounds', () => {
    const egress = { burstBits: 1, minburstBytes: 1, burstPackets: 20_000, maxConnections: 2 ** 40 };
    const rules = [rule({ max_kbps: 5000, max_burst_kbps: 6000 }), rule({ type: 'packet_rate_limit', max_kpps: 1 })];
    expect(qosControls(rules, { ...defaultQosOptions, egress })).toEqual({
      egressBandwidth: 5_000_000,
      egressBurst: 1000,
      egressPeakrate: 6_000_000,
      egressMinburst: 1000,
      egressPacketRate: 1000,
      egressPacketBurst: 10_000,
      egressMaxConnections: 4294967295,
    });
  });
});
