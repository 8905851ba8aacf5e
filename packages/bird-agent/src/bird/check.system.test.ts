// Tests with the real BIRD that whatever is in the datastore, either the printed configuration is accepted, or nothing is printed and the refusal names key and field.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { plan } from '../plan/plan.ts';
import { host, lookups, nodeSpec, resourcesOf, type Specs } from '../testing/facts.ts';
import { printConfiguration, textOf } from './print.ts';
import { checkConfiguration } from './process.ts';
import { quotedPassword } from './text.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'bird-check-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

let asked = 0;

/** A host with a resource of each kind. */
const everywhere = {
  exportPrefixes: ['10.9.0.0/16'] as never,
  workloadPrefixes: ['2001:db8::/32', '192.0.2.128/25', '192.0.0.0/12'] as never,
  addresses: ['192.0.2.1/24', '2001:db8::1/64', '198.51.100.9/32'] as never,
  interfaceNetworks: [
    { interface: 'eth0', network: '192.0.2.0/24' },
    { interface: 'eth0', network: '2001:db8::/64' },
  ] as never,
  datastoreAddresses: ['198.51.100.1', '2001:db8:9::1'] as never,
  moving: ['10.65.0.4/32', '2001:db8:a::4/128'] as never,
  mostRoutes: 1000,
};

/** BIRD's message about the configuration that follows from the resources; undefined when BIRD accepts it. 'halted' when nothing was printed, for a reason that names a resource. */
async function verdict(specs: Specs, password = 's3cret'): Promise<string | undefined> {
  const passwords = { ...lookups, password: () => quotedPassword(password) };
  const result = plan(resourcesOf(specs), host(everywhere), passwords);
  for (const { key, reason } of result.problems)
    expect([key, reason]).toEqual([expect.stringMatching(/^(Node|BGPConfiguration|BGPPeer) /), expect.stringMatching(/./)]);
  if (!result.ok) {
    expect(result.problems).not.toEqual([]);
    return undefined;
  }
  const file = join(directory, 'bird.conf');
  writeFileSync(file, textOf(printConfiguration(result.configuration)));
  asked += 1;
  const answer = await checkConfiguration('/usr/sbin/bird', file);
  return answer.ok ? undefined : answer.reason;
}

const secret = { secretKeyRef: { name: 'bgp', key: 'tor' } };
const everyRule = (prefix: string) => [
  ...['Equal', 'NotEqual', 'In', 'NotIn'].map((matchOperator) => ({ action: 'Reject', cidr: prefix, matchOperator })),
  { action: 'Accept', cidr: prefix, matchOperator: 'In', prefixLength: { min: 1, max: 20 } },
  { action: 'Accept', cidr: prefix, matchOperator: 'NotIn', prefixLength: { max: 0 } },
  {
    action: 'Accept',
    source: 'RemotePeers',
    interface: 'eth*',
    peerType: 'eBGP',
    communities: { values: ['1:2'] },
    asPathPrefix: [1, 4294967295],
    priority: 2147483646,
  },
  { action: 'Accept', peerType: 'iBGP', communities: { values: ['4294967295:0:1'] } },
  {
    action: 'Accept',
    operations: [
      { addCommunity: { value: '65535:65535' } },
      { addCommunity: { value: '1:2:3' } },
      { prependASPath: { prefix: [1, 2] } },
      { setPriority: { value: 1 } },
    ],
  },
  { action: 'Nonsense' },
];

test('BIRD takes a configuration in which everything occurs that can', async () => {
  const specs: Specs = {
    'nodes/h1': nodeSpec(1, { routeReflectorClusterID: '1.0.0.1' }),
    'nodes/h2': nodeSpec(2),
    'nodes/h3': nodeSpec(3, { asNumber: 4294967295 }),
    'bgpconfigurations/default': {
      asNumber: '1.1',
      listenPort: 1790,
      bindMode: 'NodeIP',
      logSeverityScreen: 'Debug',
      nodeMeshPassword: secret,
      nodeMeshMaxRestartTime: '4095s',
      communities: [{ name: 'c', value: '1:2:3' }],
      prefixAdvertisements: [
        { cidr: '10.0.0.0/8', communities: ['c', '1:2'] },
        { cidr: '2001:db8::/32', communities: ['c'] },
      ],
      ignoredInterfaces: ['docker*', '*'],
    },
    'bgppeers/mesh': { nodeSelector: 'all()', peerSelector: 'all()', filters: ['f', 'missing'] },
    'bgppeers/tor4': {
      peerIP: '192.0.2.250:1',
      asNumber: 7,
      password: secret,
      keepaliveTime: '21845s',
      maxRestartTime: '0s',
      numAllowedLocalASNumbers: 255,
      ttlSecurity: 1,
      filters: ['f'],
    },
    'bgppeers/tor6': {
      peerIP: '[2001:db8::250]:65535',
      asNumber: 7,
      localASNumber: 9,
      ttlSecurity: 255,
      reachableBy: '2001:db8::9',
      keepOriginalNextHop: true,
      filters: ['f'],
    },
    'bgppeers/far': { peerIP: '203.0.113.1', asNumber: 7, sourceAddress: 'None', nextHopMode: 'Self', reachableBy: '192.0.2.7' },
    'bgpfilters/f': { importV4: everyRule('10.0.0.0/8'), exportV4: everyRule('0.0.0.0/0'), importV6: everyRule('2001:db8::/32'), exportV6: everyRule('::/0') },
  };
  expect(await verdict(specs)).toBeUndefined();
  const long = 'n'.repeat(58);
  const gateway = { peerIP: '203.0.113.1', asNumber: 7, reachableBy: '192.0.2.7', filters: ['f'] };
  for (const name of [long, `${long}n`, 'a_b'])
    expect(
      await verdict({ 'nodes/h1': nodeSpec(1), [`bgppeers/${name}`]: gateway, 'bgpfilters/f': { importV4: [everyRule('0.0.0.0/0')[0]] } }),
    ).toBeUndefined();
  const asPathPrefix = Array.from({ length: 20_000 }, (_, index) => index + 1);
  expect(
    await verdict({ 'nodes/h1': nodeSpec(1), 'bgppeers/far': gateway, 'bgpfilters/f': { importV4: [{ action: 'Accept', asPathPrefix }] } }),
  ).toBeUndefined();
  for (const logSeverityScreen of ['Info', 'Warning', 'Error', 'Fatal'])
    expect(await verdict({ 'nodes/h1': nodeSpec(1), 'nodes/h2': nodeSpec(2), 'bgpconfigurations/default': { logSeverityScreen } })).toBeUndefined();
});

describe('whatever operators write', () => {
  const nasty = fc.string({
    unit: fc.constantFrom('"', "'", '\n', '\\', ';', '#', '}', '{', '(', ')', '/', ':', '*', '0', '7', 'a', 'reject', ' ', 'é', '\0'),
    maxLength: 12,
  });
  /** Values of a field: valid, nearly valid, or any. */
  const field = (...right: readonly unknown[]) =>
    fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...right) }, nasty, fc.jsonValue({ maxDepth: 1 }), fc.constant(undefined));
  const name = fc.oneof(
    fc.constantFrom('h2', 'tor', 'direct', 'bgp', 'a_b', 'as'),
    nasty.filter((text) => text !== '' && !text.includes('/')),
  );
  const asNumbers = field(64512, 64500, '1.1', 4294967295);
  const addresses = field('192.0.2.2', '192.0.2.250', '2001:db8::2', '192.0.2.250:179', '[2001:db8::250]:1', '203.0.113.1');
  const communities = field('1:2', '1:2:3');
  const prefixes = (family: 4 | 6) => (family === 4 ? field('10.0.0.0/8', '0.0.0.0/0', '10.0.0.1/32') : field('2001:db8::/32', '::/0'));
  const rule = (family: 4 | 6) =>
    fc.record(
      {
        action: field('Accept', 'Reject'),
        cidr: prefixes(family),
        matchOperator: field('Equal', 'NotEqual', 'In', 'NotIn'),
        prefixLength: field({ min: 9 }, { max: 24 }, { min: 30, max: 2 }),
        source: field('RemotePeers'),
        interface: field('tap*', 'eth0'),
        peerType: field('eBGP', 'iBGP'),
        communities: communities.map((value) => ({ values: [value] })),
        asPathPrefix: fc.array(asNumbers, { maxLength: 2 }),
        priority: field(512, 1024),
        operations: fc.array(
          fc.oneof(
            communities.map((value) => ({ addCommunity: { value } })),
            fc.array(asNumbers, { maxLength: 2 }).map((prefix) => ({ prependASPath: { prefix } })),
            field(512).map((value) => ({ setPriority: { value } })),
          ),
          { maxLength: 2 },
        ),
      },
      { requiredKeys: ['action'] },
    );
  const rules = (family: 4 | 6) => fc.oneof({ weight: 5, arbitrary: fc.array(rule(family), { maxLength: 3 }) }, fc.jsonValue({ maxDepth: 1 }));
  const filter = fc.record({ importV4: rules(4), exportV4: rules(4), importV6: rules(6), exportV6: rules(6) });
  const peer = fc.record(
    {
      peerIP: addresses,
      asNumber: asNumbers,
      node: field('h1'),
      nodeSelector: field('all()'),
      peerSelector: field('all()'),
      localASNumber: asNumbers,
      password: field(secret),
      maxRestartTime: field('30s', '4095s'),
      keepaliveTime: field('1s', '21845s'),
      numAllowedLocalASNumbers: field(0, 1, 255),
      ttlSecurity: field(0, 1, 255),
      reachableBy: field('192.0.2.7', '2001:db8::7'),
      nextHopMode: field('Self', 'Keep', 'Auto'),
      sourceAddress: field('None', 'UseNodeIP'),
      filters: fc.array(fc.constantFrom('f', 'missing'), { maxLength: 2 }),
    },
    { requiredKeys: ['peerIP', 'asNumber'] },
  );
  /** Values of a field that are nearly always valid, because an invalid one in a BGPConfiguration prevents any configuration. */
  const rightly = (...right: readonly unknown[]) => fc.oneof({ weight: 40, arbitrary: fc.constantFrom(...right) }, nasty);
  const configuration = fc.record(
    {
      asNumber: rightly(64512, '1.1', 4294967295),
      listenPort: rightly(179, 65535),
      bindMode: rightly('NodeIP'),
      logSeverityScreen: rightly('Debug', 'Fatal'),
      nodeToNodeMeshEnabled: rightly(true, false),
      nodeMeshPassword: rightly(secret),
      nodeMeshMaxRestartTime: rightly('0s'),
      communities: fc.array(
        rightly('1:2', '1:2:3').map((value) => ({ name: 'c', value })),
        { minLength: 1, maxLength: 2 },
      ),
      prefixAdvertisements: fc.array(
        fc.record({ cidr: rightly('10.0.0.0/8', '2001:db8::/32', '0.0.0.0/0'), communities: fc.array(rightly('1:2', '4294967295:0:0'), { maxLength: 2 }) }),
        { maxLength: 2 },
      ),
      ignoredInterfaces: fc.array(rightly('eth*'), { maxLength: 2 }),
    },
    { requiredKeys: [] },
  );
  const node = fc.record({
    bgp: fc.record(
      { ipv4Address: addresses, ipv6Address: addresses, asNumber: asNumbers, routeReflectorClusterID: field('1.0.0.1') },
      { requiredKeys: ['ipv4Address'] },
    ),
  });
  const anything = fc
    .record({ node, configuration, peers: fc.dictionary(name, peer, { maxKeys: 3 }), otherNode: fc.tuple(name, node), filter, ownReflects: fc.boolean() })
    .map(({ node: second, configuration: settings, peers, otherNode, filter: rulesOf, ownReflects }) => ({
      'nodes/h1': nodeSpec(1, ownReflects ? { routeReflectorClusterID: '1.0.0.1' } : {}),
      'nodes/h2': second,
      [`nodes/${otherNode[0]}`]: otherNode[1],
      'bgpconfigurations/default': settings,
      'bgpfilters/f': rulesOf,
      ...Object.fromEntries(Object.entries(peers).map(([peerName, spec]) => [`bgppeers/${peerName}`, spec])),
    }));

  test('BIRD takes what comes of it', async () => {
    asked = 0;
    await fc.assert(
      fc.asyncProperty(anything, async (specs) => {
        expect(await verdict(specs as Specs)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
    expect(asked).toBeGreaterThan(50); // otherwise nearly all resources were refused, and BIRD checked nothing
  });
  test('BIRD takes any password that is not refused', async () => {
    const specs: Specs = { 'nodes/h1': nodeSpec(1), 'bgppeers/tor': { peerIP: '192.0.2.250', asNumber: 7, password: secret } };
    await fc.assert(
      fc.asyncProperty(fc.oneof(nasty, fc.string({ unit: 'binary', maxLength: 90 })), async (password) => {
        expect(await verdict(specs, password)).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });
});
