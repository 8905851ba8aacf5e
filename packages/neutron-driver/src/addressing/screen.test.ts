import { expect, test } from 'vitest';
import { networkId, portRow, rowsWith, subnetId, subnetRow } from '../testing/rows.ts';
import { plainAddresses } from '../testing/settings.ts';
import { etcdAddresses, infrastructureOf } from './infrastructure.ts';
import { screen } from './screen.ts';

const rules = { ...plainAddresses, infrastructure: infrastructureOf(etcdAddresses(['10.40.0.99', '172.16.0.2'], 'ctl')) };
const pair = (ip_address: string) => ({ ip_address, mac_address: '' });

test('rows without forbidden addresses are not changed', () => {
  const rows = rowsWith({ subnets: [subnetRow()], ports: [portRow({ allowed_address_pairs: [pair('10.40.0.200'), pair('10.40.0.128/25')] })] });
  const screened = screen(rows, plainAddresses);
  expect(screened).toEqual({ rows, speaksFor: new Map(), leftOut: [] });
  expect(screened.rows.ports[0]).toBe(rows.ports[0]);
});

test('forbidden addresses are left out one by one, and reported', () => {
  const fixed = ['10.40.0.7', '10.40.0.1', '10.40.0.99'].map((ip_address) => ({ ip_address, subnet_id: subnetId }));
  const rows = rowsWith({
    subnets: [
      subnetRow(),
      subnetRow({ id: 'taken', network_id: 'n2', cidr: '10.41.0.0/24', gateway_ip: '172.16.0.2' }),
      subnetRow({ id: 'odd', cidr: '224.0.0.0/24' }),
    ],
    ports: [portRow({ fixed_ips: fixed, allowed_address_pairs: [pair('10.40.0.200'), pair('10.99.0.1'), pair('0.0.0.0/0'), pair('172.16.0.2')] })],
  });
  const { rows: left, leftOut } = screen(rows, rules);
  expect(left.ports).toMatchObject([{ fixed_ips: [{ ip_address: '10.40.0.7' }], allowed_address_pairs: [pair('10.40.0.200')] }]);
  expect(left.subnets.map(({ id, gateway_ip }) => [id, gateway_ip])).toEqual([
    [subnetId, '10.40.0.1'],
    ['taken', undefined],
  ]);
  expect(leftOut.map(({ what }) => what)).toEqual([
    "the gateway 172.16.0.2 is an endpoint of this cloud's etcd",
    expect.stringMatching(/224\.0\.0\.0\/24 overlaps/),
    "the address 10.40.0.1 is its subnet's gateway, which every host has",
    "the address 10.40.0.99 is an endpoint of this cloud's etcd",
    expect.stringMatching(/10\.99\.0\.1 lies outside/),
    expect.stringMatching(/0\.0\.0\.0\/0 overlaps/),
    expect.stringMatching(/172\.16\.0\.2 is an endpoint/),
  ]);
});

test("a port without port security may use its network's subnets, and no prefix around the cloud's own addresses", () => {
  const rows = rowsWith({
    subnets: [subnetRow({ id: 'b', cidr: '10.42.0.0/24' }), subnetRow(), subnetRow({ id: 'other', network_id: 'n2', cidr: '10.43.0.0/24' })],
    ports: [portRow({ port_security_enabled: false }), portRow({ id: 'elsewhere', network_id: 'n3', port_security_enabled: false })],
  });
  const open = screen(rows, plainAddresses);
  expect([...open.speaksFor.values()]).toEqual([['10.40.0.0/24', '10.42.0.0/24'], []]);
  const { speaksFor, leftOut } = screen(rows, rules);
  expect([...speaksFor.values()]).toEqual([['10.42.0.0/24'], []]);
  expect(leftOut).toEqual([expect.objectContaining({ kind: 'port', what: expect.stringMatching(/10\.40\.0\.0\/24 holds 10\.40\.0\.99/) })]);
  expect(rows.subnets.every(({ network_id }) => [networkId, 'n2'].includes(network_id))).toBe(true);
});
