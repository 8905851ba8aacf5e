import { describe, expect, test } from 'vitest';
import {
  electionKey,
  endpointStatusKey,
  felixLastStatusKey,
  felixStatusKey,
  hostEndpointStatusKey,
  hostEndpointsPrefix,
  parseFelixStatusKey,
  parseResourceKey,
  type ResourceKey,
  resourceKey,
  subnetKey,
} from './keys.ts';
import { workloadEndpointNamePrefix } from './names.ts';

const root = '/calico/resources/v3/projectcalico.org/';

describe('resource keys', () => {
  test.each<[string, ResourceKey]>([
    [
      `${root}workloadendpoints/openstack/compute--1-openstack-6f1c--aa-0b5d--7e`,
      { plural: 'workloadendpoints', namespace: 'openstack', name: 'compute--1-openstack-6f1c--aa-0b5d--7e' },
    ],
    [
      `${root}networkpolicies/openstack-region-west/ossg.default.aa11`,
      { plural: 'networkpolicies', namespace: 'openstack-region-west', name: 'ossg.default.aa11' },
    ],
    [`${root}tiers/default`, { plural: 'tiers', name: 'default' }],
  ])('%s', (text, key) => {
    expect(resourceKey(key)).toBe(text);
    expect(parseResourceKey(text)).toEqual(key);
  });
  test.each([
    `${root}tiers/a/b`,
    `${root}networkpolicies/openstack`,
    `${root}networkpolicies/a/b/c`,
    `${root}networkpolicies//b`,
    `${root}unknown/a`,
    `${root}tiers/`,
    `${root}tiers`,
    '/calico/ipam/v2/x',
    root,
  ])('%s names no resource', (key) => expect(parseResourceKey(key)).toBeUndefined());
  test('one host’s endpoints share a prefix', () => {
    expect(hostEndpointsPrefix(undefined, workloadEndpointNamePrefix('compute-1'))).toBe(`${root}workloadendpoints/openstack/compute--1-openstack-`);
  });
});

describe('keys outside the resource tree', () => {
  const status = { host: 'cmp-01', orchestrator: 'openstack', workload: 'openstack/1d2c3b4a', endpoint: '9f8e7d6c' };
  const key = '/calico/felix/v2/no-region/host/cmp-01/workload/openstack/openstack%2f1d2c3b4a/endpoint/9f8e7d6c';
  test('an endpoint’s status', () => {
    expect(endpointStatusKey(undefined, status)).toBe(key);
    expect(parseFelixStatusKey(undefined, key)).toEqual({ kind: 'endpoint', ...status });
  });
  test('an agent’s status', () => {
    expect(felixStatusKey('west', 'h1')).toBe('/calico/felix/v2/region-west/host/h1/status');
    expect(parseFelixStatusKey('west', felixStatusKey('west', 'h1'))).toEqual({ kind: 'agent', host: 'h1' });
  });
  test.each(['/calico/felix/v2/no-region/host/round-trip-check', felixLastStatusKey(undefined, 'h1'), felixStatusKey('west', 'h1'), `${key}/more`])(
    '%s is not the key of a status that is read',
    (other) => expect(parseFelixStatusKey(undefined, other)).toBeUndefined(),
  );
  test('all other keys', () => {
    expect(hostEndpointStatusKey('h1', 'eth0/a%')).toBe('/calico/felix/v1/host/h1/endpoint/eth0%2fa%25');
    expect(subnetKey(undefined, '5e5e')).toBe('/calico/dhcp/v2/no-region/subnet/5e5e');
    expect(electionKey('west')).toBe('/calico/openstack/v2/region-west/neutron_election');
  });
});
