// Prints one configuration for each feature. The lines that it adds to the plainest configuration are kept in golden/, so that a change of them is seen, and BIRD checks the whole.
// After an intended change run `npx vitest run --project system packages/bird-agent/src/bird/golden.system.test.ts --update`, and read the difference.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Host } from '../plan/facts.ts';
import { plan } from '../plan/plan.ts';
import { decodeBgpConfiguration } from '../resources/bgp-configuration.ts';
import { bfdAnnotation } from '../resources/values.ts';
import { bytes } from '../testing/bytes.ts';
import { host, lookups, nodeSpec, resourcesOf, type Specs } from '../testing/facts.ts';
import { printConfiguration, textOf as wholeText } from './print.ts';
import { checkConfiguration } from './process.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'bird-golden-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const hosts: Specs = { 'nodes/h1': nodeSpec(1), 'nodes/h2': nodeSpec(2) };
const noMesh = { nodeToNodeMeshEnabled: false };
const tor = { peerIP: '192.0.2.250', asNumber: 64500 };
const secret = { secretKeyRef: { name: 'bgp', key: 'tor' } };
const peer = (spec: object, more: Specs = {}): Specs => ({
  'nodes/h1': nodeSpec(1),
  'bgpconfigurations/default': noMesh,
  'bgppeers/tor': { ...tor, ...spec },
  ...more,
});
const filtered = (filter: object): Specs => peer({ filters: ['f'] }, { 'bgpfilters/f': filter });
const guests = (spec: object = {}, more: Specs = {}): Specs => ({
  'nodes/h1': nodeSpec(1),
  'bgpconfigurations/default': { ...noMesh, localWorkloadPeeringIPV4: '169.254.0.179', localWorkloadPeeringIPV6: 'fd12::1' },
  'bgppeers/guests': { localWorkloadSelector: 'all()', asNumber: 65001, ...spec },
  'workloadendpoints/openstack/h1-openstack-vm-port': {
    interfaceName: 'tap1',
    ipNetworks: ['10.65.0.9/32', '10.65.0.4/32', '2001:db8:a::4/128', '10.99.0.0/24'],
    allowedIps: ['10.65.0.9/32', '10.99.0.0/24'],
  },
  ...more,
});
const settings = (spec: object): Specs => ({ ...hosts, 'bgpconfigurations/default': spec });

type Case = readonly [name: string, specs: Specs, change?: Partial<Host>];
const cases: readonly Case[] = [
  ['mesh', hosts],
  ['mesh-of-one-family', { ...hosts, 'nodes/h2': { bgp: { ipv4Address: '192.0.2.2' } } }],
  ['mesh-across-as-numbers', { ...hosts, 'nodes/h2': nodeSpec(2, { asNumber: 64999 }) }],
  ['mesh-without-ipv4', { 'nodes/h1': { bgp: { ipv6Address: '2001:db8::1/64' } }, 'nodes/h2': nodeSpec(2) }],
  ['mesh-with-password', settings({ nodeMeshPassword: secret })],
  ['mesh-restart-time', settings({ nodeMeshMaxRestartTime: '30s' })],
  ['as-number-of-the-cluster', settings({ asNumber: 4200000000 })],
  ['ports', { ...settings({ listenPort: 1790 }), 'bgpconfigurations/node.h2': { listenPort: 1792 } }],
  ['bound-to-the-node-address', settings({ bindMode: 'NodeIP' })],
  ['ignored-interfaces', settings({ ignoredInterfaces: ['docker*', 'br-x'] })],
  ['severity-debug', settings({ logSeverityScreen: 'Debug' })],
  ['severity-fatal', settings({ logSeverityScreen: 'Fatal' })],
  ['normal-route-priority', settings({ ipv4NormalRoutePriority: 2000 })],
  ['communities', settings({ communities: [{ name: 'c', value: '1:2:3' }], prefixAdvertisements: [{ cidr: '10.65.0.0/16', communities: ['c', '4:5'] }] })],
  ['odd-name-of-a-host', { ...hosts, 'nodes/Größe_2.example': nodeSpec(3) }],
  ['peer-next-door', peer({})],
  ['peer-inside-the-as', peer({ asNumber: 64512 })],
  ['peer-far-away', peer({ peerIP: '203.0.113.1' })],
  ['peer-ipv6-and-port', peer({ peerIP: '[2001:db8::250]:1790' })],
  ['peer-password', peer({ password: secret })],
  ['peer-times', peer({ keepaliveTime: '10s', holdTime: '30s', maxRestartTime: '60s' })],
  ['peer-local-as', peer({ localASNumber: 64500 })],
  ['peer-own-as-allowed', peer({ numAllowedLocalASNumbers: 2 })],
  ['peer-ttl-security-next-door', peer({ ttlSecurity: 1 })],
  ['peer-ttl-security-far-away', peer({ peerIP: '203.0.113.1', ttlSecurity: 3 })],
  ['peer-reachable-by', peer({ peerIP: '203.0.113.1', reachableBy: '192.0.2.7' })],
  ['peer-without-source', peer({ sourceAddress: 'None' })],
  ['peer-next-hop-self', peer({ nextHopMode: 'Self' })],
  ['peer-next-hop-keep', peer({ keepOriginalNextHop: true })],
  ['peer-instead-of-the-mesh', { ...hosts, 'bgppeers/special': { node: 'h1', peerIP: '192.0.2.2', asNumber: 64512 } }],
  ['filter-missing', peer({ filters: ['absent'] })],
  [
    'filter-prefixes',
    filtered({ importV4: ['Equal', 'NotEqual', 'In', 'NotIn'].map((matchOperator) => ({ action: 'Reject', cidr: '10.0.0.0/8', matchOperator })) }),
  ],
  [
    'filter-conditions',
    filtered({
      exportV4: [
        { action: 'Reject', source: 'RemotePeers', interface: 'tap*', peerType: 'eBGP', communities: { values: ['1:2'] }, asPathPrefix: [7, 8], priority: 512 },
      ],
    }),
  ],
  [
    'filter-operations',
    filtered({
      importV4: [
        { action: 'Accept', operations: [{ addCommunity: { value: '1:2' } }, { prependASPath: { prefix: [7, 8] } }, { setPriority: { value: 512 } }] },
      ],
    }),
  ],
  ['filter-not-understood', filtered({ importV4: [{ action: 'Accept', cidr: '10.0.0.0/8', matchOperator: 'In' }, { action: 'Perhaps' }] })],
  ['reflector', { ...settings(noMesh), 'nodes/h1': nodeSpec(1, { routeReflectorClusterID: '1.0.0.1' }), 'bgppeers/all': { peerSelector: 'all()' } }],
  ['reflectors-client', { ...settings(noMesh), 'nodes/h2': nodeSpec(2, { routeReflectorClusterID: '1.0.0.1' }), 'bgppeers/all': { peerSelector: 'all()' } }],
  ['export-prefixes', hosts, { exportPrefixes: ['10.9.0.0/16', '2001:db8:9::/48'] as never }],
  [
    'workload-prefixes-that-hold-hosts',
    { ...hosts, 'ippools/a': { cidr: '192.0.0.0/20' } },
    { interfaceNetworks: [{ interface: 'eth0', network: '192.0.2.0/24' }] as never },
  ],
  ['workload-prefix-inside-the-hosts-network', { ...hosts, 'ippools/a': { cidr: '192.0.2.128/25' } }],
  ['leaving-workload', hosts, { moving: ['10.65.0.4/32', '2001:db8:a::4/128'] as never }],
  [
    'etcd-and-other-addresses',
    hosts,
    { datastoreAddresses: ['198.51.100.1'] as never, addresses: ['192.0.2.1/24', '198.51.100.9/32', '2001:db8::1/64'] as never },
  ],
  ['workloads', guests()],
  ['workloads-inside-the-as', guests({ asNumber: 64512 })],
  ['workloads-with-prefixes', guests({ filters: ['f'] }, { 'bgpfilters/f': { importV4: [{ action: 'Accept', cidr: '10.99.0.0/16', matchOperator: 'In' }] } })],
  ['workloads-password-and-limit', guests({ password: secret, ttlSecurity: 1, holdTime: '30s' }), { mostRoutes: 10 }],
  ['most-routes', hosts, { mostRoutes: 5000 }],
  ['no-workload-interfaces', hosts, { workloadInterfacePrefixes: [] }],
  ['router-id-and-log-file', hosts, { routerId: '9.9.9.9' as never, logFile: '"/var/log/bird.log"' }],
];

function textOf(specs: Specs, change: Partial<Host> = {}): string {
  const planned = plan(resourcesOf(specs), host(change), lookups);
  if (!planned.ok) throw new Error(JSON.stringify(planned.problems));
  return wholeText(printConfiguration(planned.configuration)).replace(/^define calico_revision = .*$/m, '');
}

/** The lines of `text` that `plain` does not have, or has less often. */
function addedLines(plain: string, text: string): string {
  const left = new Map<string, number>();
  for (const line of plain.split('\n')) left.set(line, (left.get(line) ?? 0) + 1);
  const isNew = (line: string): boolean => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  };
  return `${text.split('\n').filter(isNew).join('\n').trim()}\n`;
}

/** The resources of a cluster with this host alone. */
const plainest: Specs = { 'nodes/h1': nodeSpec(1) };

test('there are forty and more, each of its own name', () => {
  expect(new Set(cases.map(([name]) => name)).size).toBe(cases.length);
  expect(cases.length).toBeGreaterThanOrEqual(40);
});

test('the plainest', () => expect(textOf(plainest)).toMatchFileSnapshot('golden/plainest.txt'));

test.each(cases.map(([name, specs, change]) => ({ name, specs, change })))('$name', async ({ name, specs, change }) => {
  const text = textOf(specs, change);
  await expect(addedLines(textOf(plainest), text)).toMatchFileSnapshot(`golden/${name}.txt`);
  const file = join(directory, `${name}.conf`);
  writeFileSync(file, text);
  expect(await checkConfiguration('/usr/sbin/bird', file)).toEqual({ ok: true });
});

test('bfd', async () => {
  const resources = resourcesOf(hosts);
  const configuration = decodeBgpConfiguration(bytes({}, { annotations: { [bfdAnnotation]: 'true' } }));
  const planned = plan({ ...resources, configurations: new Map([['default', configuration]]) }, host(), lookups);
  if (!planned.ok) throw new Error(JSON.stringify(planned.problems));
  const text = wholeText(printConfiguration(planned.configuration));
  await expect(addedLines(textOf(hosts), text.replace(/^define calico_revision = .*$/m, ''))).toMatchFileSnapshot('golden/bfd.txt');
  const file = join(directory, 'bfd.conf');
  writeFileSync(file, text);
  expect(await checkConfiguration('/usr/sbin/bird', file)).toEqual({ ok: true });
});
