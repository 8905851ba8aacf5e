import { expect, test } from 'vitest';
import { host, lookups, nodeSpec, resourcesOf, type Specs } from '../testing/facts.ts';
import type { Host } from './facts.ts';
import { plan } from './plan.ts';

const guards = (specs: Specs, change: Partial<Host> = {}) => {
  const result = plan(resourcesOf({ 'nodes/h1': nodeSpec(1), 'nodes/h2': nodeSpec(2), ...specs }), host(change), lookups);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.configuration.families;
};

test('this host’s addresses and networks are its own, wherever they stand', () => {
  const { 4: four, 6: six } = guards(
    {},
    {
      addresses: ['198.51.100.9/32', '192.0.2.1/24', '2001:db8::1/64'] as never,
      interfaceNetworks: [
        { interface: 'lo', network: '198.51.100.9/32' },
        { interface: 'eth1', network: '203.0.113.0/24' },
      ] as never,
    },
  );
  expect(four.guards).toMatchObject({ own: ['198.51.100.9', '192.0.2.1'], networks: ['203.0.113.0/24', '192.0.2.0/24'], hosts: ['192.0.2.2'] });
  expect(six.guards).toMatchObject({ own: ['2001:db8::1'], networks: ['2001:db8::/64'], hosts: ['2001:db8::2'] });
});
test('etcd is no workload', () => {
  expect(guards({}, { datastoreAddresses: ['198.51.100.1', '192.0.2.1'] as never })[4].guards.hosts).toEqual(['192.0.2.2', '198.51.100.1']);
});
test('a neighbour that a BGPPeer names is no workload, so that nobody takes the session over; one of another host only is not known here', () => {
  const specs = {
    'bgppeers/reflector': { peerIP: '198.51.100.9', asNumber: 64512 },
    'bgppeers/elsewhere': { node: 'h2', peerIP: '198.51.100.10', asNumber: 64512 },
    'bgppeers/host': { peerIP: '192.0.2.2', asNumber: 64512 },
  };
  expect(guards(specs)[4].guards.hosts).toEqual(['192.0.2.2', '198.51.100.9']);
});
test('IP pools, advertised prefixes, and prefixes that options name are workloads’; one of nearly everything is not believed', () => {
  const specs = {
    'ippools/a': { cidr: '10.65.0.0/16' },
    'ippools/all': { cidr: '0.0.0.0/0' },
    'ippools/bad': { cidr: 'x' },
    'bgpconfigurations/default': { prefixAdvertisements: [{ cidr: '10.66.0.0/16', communities: [] }] },
  };
  const options = { exportPrefixes: ['10.67.0.0/16'] as never, workloadPrefixes: ['10.68.0.0/16'] as never };
  expect(guards(specs, options)[4].guards.workloads).toEqual(['10.65.0.0/16', '10.66.0.0/16', '10.67.0.0/16', '10.68.0.0/16']);
});
test('networks of bridges that are private to the host, and of ignored interfaces, may be workloads’', () => {
  const interfaceNetworks = [
    { interface: 'virbr0', network: '192.168.122.0/24' },
    { interface: 'docker0', network: '172.17.0.0/16' },
    { interface: 'br-lab.1', network: '10.1.0.0/24' },
    { interface: 'br-labx1', network: '10.2.0.0/24' },
  ] as never;
  const ignoring = { 'bgpconfigurations/default': { ignoredInterfaces: ['br-*.1'] } };
  expect(guards(ignoring, { interfaceNetworks })[4].guards.networks).toEqual(['10.2.0.0/24', '192.0.2.0/24']);
});
