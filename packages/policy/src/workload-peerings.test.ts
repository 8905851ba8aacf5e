// Whom the host speaks BGP with among its workloads: BGPPeer's `localWorkloadSelector`, BGPConfiguration's `localWorkloadPeering…`.
import { expect, test } from 'vitest';
import { Cluster, gone, port, resource, thisHost } from './testing/resources.ts';

const peer = (spec: object = {}, name = 'guests') =>
  resource('bgppeers', name, { spec: { localWorkloadSelector: 'router == "yes"', asNumber: 65001, ...spec } });
const configuration = (spec: object = {}, name = 'default') =>
  resource('bgpconfigurations', name, { spec: { localWorkloadPeeringIPV4: '169.254.0.179', localWorkloadPeeringIPV6: 'fd12::1', ...spec } });
const node = (labels: object) => resource('nodes', thisHost, { labels, spec: {} });
const router = port(1, { labels: { router: 'yes' } });

const both = { addresses: ['169.254.0.179', 'fd12::1'], port: 179 };
const peering = (cluster: Cluster, number = 1) => cluster.workload(number)?.bgpPeering;

test('with those that a BGPPeer selects, and with no others', () => {
  const cluster = new Cluster(router, port(2), peer(), configuration());
  expect(peering(cluster)).toEqual(both);
  expect(peering(cluster, 2)).toBeUndefined();
});

test('whatever comes first, and no longer once the BGPPeer, the label or the addresses are gone', () => {
  const cluster = new Cluster(configuration());
  cluster.put(peer());
  cluster.put(router);
  expect(peering(cluster)).toEqual(both);
  cluster.put(port(1));
  expect(peering(cluster)).toBeUndefined();
  cluster.put(router);
  expect(peering(cluster)).toEqual(both);
  cluster.put(gone(peer()));
  expect(peering(cluster)).toBeUndefined();
  cluster.put(peer());
  cluster.put(gone(configuration()));
  expect(peering(cluster)).toBeUndefined();
  cluster.put(configuration({ localWorkloadPeeringIPV6: undefined }));
  expect(peering(cluster)).toEqual({ addresses: ['169.254.0.179'], port: 179 });
});

test('at the port that this host listens on', () => {
  const cluster = new Cluster(router, peer(), configuration({ listenPort: 1790 }));
  expect(peering(cluster)?.port).toBe(1790);
  cluster.put(resource('bgpconfigurations', `node.${thisHost}`, { spec: { listenPort: 1791 } }));
  expect(peering(cluster)?.port).toBe(1791);
  cluster.put(resource('bgpconfigurations', 'node.another', { spec: { listenPort: 1792 } }));
  expect(peering(cluster)?.port).toBe(1791);
});

test('where the BGPPeer is for this host, by name or by the labels of its Node', () => {
  const cluster = new Cluster(router, configuration(), peer({ node: 'another' }));
  expect(peering(cluster)).toBeUndefined();
  cluster.put(peer({ node: thisHost }));
  expect(peering(cluster)).toEqual(both);
  cluster.put(peer({ nodeSelector: 'rack == "a"' }));
  expect(peering(cluster)).toBeUndefined();
  cluster.put(node({ rack: 'a' }));
  expect(peering(cluster)).toEqual(both);
  cluster.put(node({ rack: 'b' }));
  expect(peering(cluster)).toBeUndefined();
});

test.each([
  ['a selector that does not parse', peer({ localWorkloadSelector: 'router ==' })],
  ['a selector that is no text', peer({ localWorkloadSelector: 7 })],
  ['a host’s selector that does not parse', peer({ nodeSelector: 'rack ==' })],
  ['a host by name and by labels', peer({ node: thisHost, nodeSelector: 'all()' })],
])('%s selects nobody, and is named', (_, bad) => {
  const cluster = new Cluster(router, configuration(), bad);
  expect(peering(cluster)).toBeUndefined();
  expect(cluster.defects.get(bad[0])).toContain('no workload peers by it');
});

test('not from an address that cannot be a host’s, nor from one that is somebody else’s: on a tap it would cut the host off from whoever has it', () => {
  const cluster = new Cluster(router, peer(), configuration({ localWorkloadPeeringIPV4: '127.0.0.1', localWorkloadPeeringIPV6: 'fe80::1' }));
  expect(peering(cluster)).toBeUndefined();
  expect(cluster.defects.get(configuration()[0])).toContain('localWorkloadPeeringIPV4');
  cluster.put(configuration({ localWorkloadPeeringIPV4: '192.0.2.9' }));
  expect(peering(cluster)?.addresses).toEqual(['192.0.2.9', 'fd12::1']);
  cluster.put(resource('nodes', 'another', { spec: { bgp: { ipv4Address: '192.0.2.9/24' } } }));
  expect(peering(cluster)?.addresses).toEqual(['fd12::1']);
});

test('and no workload has that address', () => {
  const cluster = new Cluster(port(3, { ipNetworks: ['10.0.0.3/32', '192.0.2.9/32'] }), configuration({ localWorkloadPeeringIPV4: '192.0.2.9' }));
  expect(cluster.workload(3)?.routed).toEqual(['10.0.0.3/32']);
  expect(cluster.workload(3)?.refusals?.[0]).toContain('192.0.2.9');
});
