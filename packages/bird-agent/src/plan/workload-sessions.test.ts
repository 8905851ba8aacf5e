import { expect, test } from 'vitest';
import { host, lookups, nodeSpec, resourcesOf, type Specs } from '../testing/facts.ts';
import { plan } from './plan.ts';

const endpoint = (ipNetworks: readonly string[], labels: object = { router: 'yes' }, more: object = {}) => ({
  spec: { interfaceName: 'tap1', ipNetworks, ...more },
  labels,
});
const base: Specs = {
  'nodes/h1': nodeSpec(1),
  'nodes/h2': nodeSpec(2),
  'bgpconfigurations/default': { localWorkloadPeeringIPV4: '169.254.0.179', localWorkloadPeeringIPV6: 'fd12::1' },
  'bgppeers/guests': { localWorkloadSelector: 'router == "yes"', asNumber: 65001 },
  'workloadendpoints/openstack/h1-openstack-vm-port1': endpoint(['10.65.0.4/32', '2001:db8:a::4/128']),
};
const planned = (specs: Specs = {}) => {
  const result = plan(resourcesOf({ ...base, ...specs }), host({ datastoreAddresses: ['198.51.100.1'] as never }), lookups);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return {
    sessions: result.configuration.sessions,
    neighbors: result.configuration.sessions.map(({ symbol, neighbor: { address, asNumber } }) => `${symbol} ${address} ${asNumber}`),
    problems: result.problems.map(({ key, reason }) => `${key}: ${reason}`),
  };
};
const mesh = ["'mesh4-h2' 192.0.2.2 64512", "'mesh6-h2' 2001:db8::2 64512"];

test('a workload that is selected has a session in each family, beside the mesh; the guest calls', () => {
  const { sessions, neighbors, problems } = planned();
  expect(problems).toEqual([]);
  expect(neighbors).toEqual([...mesh, "'workload4-guests:tap1' 10.65.0.4 65001", "'workload6-guests:tap1' 2001:db8:a::4 65001"]);
  expect(sessions.at(-2)).toMatchObject({
    local: { address: '169.254.0.179', port: 179, asNumber: 64512 },
    passive: true,
    trust: 'workload',
    ownAddresses: ['10.65.0.4/32'],
  });
});
test('one of another host, one that is not selected, and one that cannot be read have none', () => {
  const specs: Specs = {
    'workloadendpoints/openstack/h2-openstack-vm-port2': endpoint(['10.65.0.5/32']),
    'workloadendpoints/openstack/h1-openstack-vm-port3': endpoint(['10.65.0.6/32'], { router: 'no' }),
    'workloadendpoints/openstack/h1-openstack-vm-port4': endpoint(['x']),
  };
  expect(planned(specs).neighbors).toEqual(planned().neighbors);
});
test('what is its own are single addresses, its pairs too, its fixed ones first; a prefix is nobody’s', () => {
  const specs: Specs = {
    'workloadendpoints/openstack/h1-openstack-vm-port1': endpoint(['10.65.0.9/32', '10.0.0.0/8', '10.65.0.4/32'], undefined, {
      allowedIps: ['10.65.0.9/32', '10.0.0.0/8'],
    }),
  };
  const { sessions, neighbors } = planned(specs);
  expect(neighbors).toEqual([...mesh, "'workload4-guests:tap1' 10.65.0.4 65001"]);
  expect(sessions.at(-1)?.ownAddresses).toEqual(['10.65.0.4/32', '10.65.0.9/32']);
});
test.each([
  ['a host’s', '192.0.2.2'],
  ['this host’s', '192.0.2.1'],
  ['etcd’s', '198.51.100.1'],
  ['another peer’s', '203.0.113.1'],
])('an endpoint that names %s address takes no session', (_, address) => {
  const specs: Specs = {
    'bgppeers/tor': { peerIP: '203.0.113.1', asNumber: 64500 },
    'workloadendpoints/openstack/h1-openstack-vm-port1': endpoint([`${address}/32`]),
  };
  const { neighbors, problems } = planned(specs);
  expect(neighbors).toEqual([...mesh, "'peer4-tor' 203.0.113.1 64500"]);
  expect(problems).toEqual([`BGPPeer guests: a workload's endpoint names ${address}, which is a host's, etcd's or another neighbour's`]);
});
test('of two BGPPeers for one workload, and of two endpoints of one interface or address, the first has the session', () => {
  const { neighbors, problems } = planned({
    'bgppeers/later': { localWorkloadSelector: 'all()', asNumber: 65002 },
    'workloadendpoints/openstack/h1-openstack-vm2-port1': endpoint(['10.65.0.7/32']),
    'workloadendpoints/openstack/h1-openstack-vm3-port3': endpoint(['10.65.0.4/32']),
  });
  expect(neighbors).toContain("'workload4-guests:tap1' 10.65.0.4 65001");
  expect(neighbors.filter((neighbor) => neighbor.includes(' 10.65.0.4 '))).toHaveLength(1);
  expect(new Set(neighbors.map((neighbor) => neighbor.split(' ')[0])).size).toBe(neighbors.length);
  expect(problems).toContain('BGPPeer later: BGPPeer guests peers with the workload 10.65.0.4 already');
});
test.each<[string, Specs, string]>([
  ['no address to speak from', { 'bgpconfigurations/default': {} }, 'names no address to speak from'],
  ['a selector that does not parse', { 'bgppeers/guests': { localWorkloadSelector: 'router ==', asNumber: 65001 } }, 'spec.localWorkloadSelector: '],
  ['no AS number', { 'bgppeers/guests': { localWorkloadSelector: 'all()' } }, 'spec.asNumber: is missing'],
  ['a peer’s address besides', { 'bgppeers/guests': { localWorkloadSelector: 'all()', asNumber: 65001, peerIP: '203.0.113.1' } }, 'excludes spec.peerIP'],
  [
    'a password that is not there',
    { 'bgppeers/guests': { localWorkloadSelector: 'all()', asNumber: 65001, password: { secretKeyRef: { name: 'x', key: 'y' } } } },
    'spec.password',
  ],
])('%s makes no session, and is told', (_, specs, reason) => {
  const { neighbors, problems } = planned(specs);
  expect(neighbors).toEqual(mesh);
  expect(problems.join('\n')).toContain(reason);
});
test('on hosts that the BGPPeer is not for there is none, without a word', () => {
  for (const spec of [{ node: 'h2' }, { nodeSelector: 'has(rack)' }]) {
    const { neighbors, problems } = planned({ 'bgppeers/guests': { localWorkloadSelector: 'all()', asNumber: 65001, ...spec } });
    expect([neighbors, problems]).toEqual([mesh, []]);
  }
});
test('a filter that does not exist is told, and rejects', () => {
  const { sessions, problems } = planned({ 'bgppeers/guests': { localWorkloadSelector: 'all()', asNumber: 65001, filters: ['none'] } });
  expect(sessions.at(-1)?.filters).toEqual([{ name: 'none', filter: undefined }]);
  expect(problems.join()).toContain('BGPFilter none does not exist');
});
