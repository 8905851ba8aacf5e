import { describe, expect, test } from 'vitest';
import { networkId, subnetRow } from '../testing/rows.ts';
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
