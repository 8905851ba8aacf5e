import { describe, expect, test } from 'vitest';
import { bytes } from '../testing/bytes.ts';
import { type BgpConfiguration, decodeBgpConfiguration, resolveAdvertisements } from './bgp-configuration.ts';
import { decodeBgpFilter } from './bgp-filter.ts';
import { decodeBgpPeer } from './bgp-peer.ts';
import { decodeNode } from './node.ts';

const secret = { secretKeyRef: { name: 'bgp', key: 'tor' } };

describe('Node', () => {
  test('addresses, AS, cluster id and labels are read; what is not BGP is ignored', () => {
    const node = decodeNode(
      'h1',
      bytes(
        {
          bgp: { ipv4Address: '192.0.2.5/30', ipv6Address: '2001:db8::5/64', asNumber: '64600', routeReflectorClusterID: '1.0.0.1' },
          addresses: [{ address: 'x' }],
        },
        { labels: { rack: 'a' } },
      ),
    );
    expect(node).toEqual({
      ok: true,
      value: {
        name: 'h1',
        labels: { rack: 'a' },
        addresses: { 4: { address: '192.0.2.5', network: '192.0.2.4/30' }, 6: { address: '2001:db8::5', network: '2001:db8::/64' } },
        asNumber: 64600,
        madeMs: undefined,
        claimedMs: 0,
        routeReflectorClusterId: '1.0.0.1',
      },
    });
  });
  test('a Node without BGP is one without addresses', () => {
    expect(decodeNode('h1', bytes({}))).toMatchObject({ ok: true, value: { addresses: { 4: undefined, 6: undefined } } });
  });
  test.each([
    [{ bgp: { ipv4Address: '192.0.2.300' } }, 'spec.bgp.ipv4Address'],
    [{ bgp: { ipv6Address: '192.0.2.3' } }, 'spec.bgp.ipv6Address'],
    [{ bgp: { asNumber: 0 } }, 'spec.bgp.asNumber'],
    [{ bgp: { routeReflectorClusterID: 'rr' } }, 'spec.bgp.routeReflectorClusterID'],
    [{ bgp: 'none' }, 'spec.bgp'],
  ])('%j is refused by naming %s', (spec, field) => {
    const node = decodeNode('h1', bytes(spec));
    expect(node.ok ? '' : node.reason).toContain(`${field}: `);
  });
});

describe('BGPConfiguration', () => {
  const fields: readonly (readonly [keyof BgpConfiguration, object, unknown])[] = [
    ['asNumber', { asNumber: 64600 }, 64600],
    ['nodeToNodeMeshEnabled', { nodeToNodeMeshEnabled: false }, false],
    ['nodeMeshPassword', { nodeMeshPassword: secret }, { name: 'bgp', key: 'tor' }],
    ['nodeMeshMaxRestartSeconds', { nodeMeshMaxRestartTime: '2m0s' }, 120],
    ['listenPort', { listenPort: 1790 }, 1790],
    ['listenPort', { listenPort: 0 }, undefined],
    ['bindMode', { bindMode: 'NodeIP' }, 'NodeIP'],
    ['logSeverity', { logSeverityScreen: 'debug' }, 'Debug'],
    ['communities', { communities: [{ name: 'a', value: '1:2' }] }, [{ name: 'a', value: [1, 2] }]],
    ['prefixAdvertisements', { prefixAdvertisements: [{ cidr: '10.0.0.1/8', communities: ['a'] }] }, [{ cidr: '10.0.0.0/8', communities: ['a'] }]],
    ['ignoredInterfaces', { ignoredInterfaces: ['docker*'] }, ['docker*']],
    ['normalRoutePriority', { ipv4NormalRoutePriority: 2000 }, { 4: 2000, 6: undefined }],
    ['unsupported', { serviceClusterIPs: [{ cidr: '10.0.0.0/8' }], programClusterRoutes: 'Enabled' }, ['spec.serviceClusterIPs', 'spec.programClusterRoutes']],
  ];
  test.each(fields)('%s is read from %j', (field, spec, expected) => {
    const configuration = decodeBgpConfiguration(bytes(spec));
    expect(configuration.ok ? configuration.value[field] : configuration.reason).toEqual(expected);
  });
  test.each([
    [{ asNumber: 'x' }, 'spec.asNumber'],
    [{ nodeToNodeMeshEnabled: 'false' }, 'spec.nodeToNodeMeshEnabled'],
    [{ nodeMeshPassword: 's3cret' }, 'spec.nodeMeshPassword'],
    [{ nodeMeshMaxRestartTime: 120 }, 'spec.nodeMeshMaxRestartTime'],
    [{ listenPort: 70000 }, 'spec.listenPort'],
    [{ bindMode: 'All' }, 'spec.bindMode'],
    [{ logSeverityScreen: 'loud' }, 'spec.logSeverityScreen'],
    [{ communities: [{ name: 'a', value: '1' }] }, 'spec.communities: [0] value'],
    [{ prefixAdvertisements: [{ cidr: '10.0.0.0/8' }] }, 'spec.prefixAdvertisements: [0] communities'],
    [{ ignoredInterfaces: ['a"b'] }, 'spec.ignoredInterfaces: [0]'],
  ])('%j is refused whole, naming %s', (spec, field) => {
    const configuration = decodeBgpConfiguration(bytes(spec));
    expect(configuration.ok ? '' : configuration.reason).toContain(field);
  });
  test('a community that is neither a value nor a name refuses the advertisements: a route must not lose its no-export', () => {
    const communities = [{ name: 'quiet', value: [65535, 65281] }] as const;
    const advertise = (...names: string[]) =>
      resolveAdvertisements({ communities, prefixAdvertisements: [{ cidr: '10.0.0.0/8' as never, communities: names }] });
    expect(advertise('quiet', '1:2:3')).toEqual({
      ok: true,
      value: [
        {
          cidr: '10.0.0.0/8',
          communities: [
            [65535, 65281],
            [1, 2, 3],
          ],
        },
      ],
    });
    expect(advertise('quite').ok).toBe(false);
  });
});

describe('BGPPeer', () => {
  const address = { peerIP: '192.0.2.6', asNumber: 64500 };
  test.each([
    [{}, { hosts: { kind: 'all' }, remotes: { kind: 'address', neighbor: { address: '192.0.2.6', port: undefined }, asNumber: 64500 } }],
    [{ node: 'h1' }, { hosts: { kind: 'node', node: 'h1' } }],
    [{ nodeSelector: 'rack == "a"' }, { hosts: { kind: 'selector', selector: 'rack == "a"' } }],
    [{ peerIP: '', asNumber: 0, peerSelector: 'has(rr)' }, { remotes: { kind: 'selector', selector: 'has(rr)' } }],
    [{ reversePeering: 'Manual' }, { reversePeering: false }],
    [{ localASNumber: 64600 }, { localAsNumber: 64600 }],
    [{ keepOriginalNextHop: true }, { nextHop: 'keep' }],
    [{ nextHopMode: 'Self' }, { nextHop: 'self' }],
    [{ sourceAddress: 'None' }, { useNodeIp: false }],
    [{ password: secret }, { password: { name: 'bgp', key: 'tor' } }],
    [{ maxRestartTime: '30s' }, { maxRestartSeconds: 30 }],
    [{ keepaliveTime: '30s' }, { keepaliveSeconds: 30 }],
    [{ numAllowedLocalASNumbers: 1 }, { allowedLocalAsNumbers: 1 }],
    [{ ttlSecurity: 1 }, { ttlSecurityHops: 1 }],
    [{ reachableBy: '10.0.0.1' }, { reachableBy: '10.0.0.1' }],
    [{ filters: ['a', 'b'] }, { filters: ['a', 'b'] }],
    [{ futureField: 1 }, { unsupported: ['spec.futureField'] }],
  ])('%j is read', (spec, expected) => {
    expect(decodeBgpPeer('p', bytes({ ...address, ...spec }))).toMatchObject({ ok: true, value: { name: 'p', ...expected } });
  });
  test.each([
    [{ node: 'h1', nodeSelector: 'all()' }, 'spec.nodeSelector'],
    [{ peerSelector: 'all()' }, 'spec.peerSelector'],
    [{ peerIP: undefined }, 'spec.peerIP'],
    [{ peerIP: '192.0.2.6;' }, 'spec.peerIP'],
    [{ asNumber: undefined }, 'spec.asNumber'],
    [{ localWorkloadSelector: 'all()' }, 'spec.localWorkloadSelector'],
    [{ password: {} }, 'spec.password'],
    [{ maxRestartTime: '2h' }, 'spec.maxRestartTime'],
    [{ keepaliveTime: '0s' }, 'spec.keepaliveTime'],
    [{ numAllowedLocalASNumbers: 256 }, 'spec.numAllowedLocalASNumbers'],
    [{ ttlSecurity: 256 }, 'spec.ttlSecurity'],
    [{ reachableBy: '2001:db8::1' }, 'spec.reachableBy'],
    [{ filters: 'a' }, 'spec.filters'],
    [{ nextHopMode: 'Self', keepOriginalNextHop: true }, 'spec.nextHopMode'],
    [{ reversePeering: 'Never' }, 'spec.reversePeering'],
    [{ sourceAddress: 'lo' }, 'spec.sourceAddress'],
  ])('%j is refused, naming %s', (spec, field) => {
    const peer = decodeBgpPeer('p', bytes({ ...address, ...spec }));
    expect(peer.ok ? '' : peer.reason).toContain(field);
  });
  test('a refused peer still says whom it was meant for, if that is understood', () => {
    expect(decodeBgpPeer('p', bytes({ ...address, filters: 7 }))).toMatchObject({ ok: false, neighbor: '192.0.2.6' });
    expect(decodeBgpPeer('p', bytes({ peerIP: 'x' }))).toMatchObject({ ok: false, neighbor: undefined });
  });
});

describe('BGPFilter', () => {
  const rules = (importV4: unknown) => {
    const filter = decodeBgpFilter('f', bytes({ importV4 }));
    return filter.ok ? filter.value.rules.import[4] : filter;
  };
  test('a rule that is not understood ends its list; the rules before it stand, those behind it do not', () => {
    const result = rules([{ action: 'Reject', cidr: '10.0.0.0/8', matchOperator: 'In' }, { action: 'Maybe' }, { action: 'Accept' }]);
    expect(result).toMatchObject({ rules: [{ action: 'Reject' }], problem: { field: 'spec.importV4[1].action' } });
  });
  test('the other lists are not touched by it', () => {
    const filter = decodeBgpFilter('f', bytes({ importV4: [{}], exportV6: [{ action: 'Accept' }] }));
    expect(filter).toMatchObject({ ok: true, value: { rules: { export: { 6: { rules: [{ action: 'Accept' }], problem: undefined } } } } });
  });
  test.each([
    [{ cidr: '10.0.0.0/8', matchOperator: 'Equal' }, { prefix: { kind: 'equal', cidr: '10.0.0.0/8', negated: false } }],
    [{ cidr: '10.0.0.0/8', matchOperator: 'NotIn' }, { prefix: { kind: 'in', minLength: 8, maxLength: 32, negated: true } }],
    [{ cidr: '10.0.0.0/8', matchOperator: 'In', prefixLength: { min: 4, max: 24 } }, { prefix: { minLength: 8, maxLength: 24 } }],
    [{ source: 'RemotePeers' }, { learnedFromPeers: true }],
    [{ interface: 'eth*' }, { interface: 'eth*' }],
    [{ peerType: 'iBGP' }, { peerType: 'iBGP' }],
    [{ communities: { values: ['1:2'] } }, { community: [1, 2] }],
    [{ asPathPrefix: [1, '2'] }, { asPathPrefix: [1, 2] }],
    [{ priority: 512 }, { priority: 512 }],
    [{ operations: [{ addCommunity: { value: '1:2' } }] }, { operations: [{ kind: 'addCommunity', community: [1, 2] }] }],
    [{ operations: [{ prependASPath: { prefix: [1, 2] } }] }, { operations: [{ kind: 'prependAsPath', asNumbers: [1, 2] }] }],
    [{ operations: [{ setPriority: { value: 512 } }] }, { operations: [{ kind: 'setPriority', priority: 512 }] }],
  ])('%j is read', (rule, expected) => {
    expect(rules([{ action: 'Accept', ...rule }])).toMatchObject({ rules: [expected], problem: undefined });
  });
  test.each([
    [{ cidr: '10.0.0.0/8' }, 'matchOperator'],
    [{ matchOperator: 'In' }, 'cidr'],
    [{ cidr: '2001:db8::/32', matchOperator: 'In' }, 'cidr'],
    [{ cidr: '10.0.0.0/8', matchOperator: 'Equal', prefixLength: { min: 9 } }, 'prefixLength'],
    [{ prefixLength: { min: 9 } }, 'prefixLength'],
    [{ cidr: '10.0.0.0/8', matchOperator: 'In', prefixLength: { min: 33 } }, 'prefixLength'],
    [{ cidr: '10.0.0.0/8', matchOperator: 'In', prefixLength: { least: 9 } }, 'prefixLength'],
    [{ source: 'Local' }, 'source'],
    [{ interface: 'eth0" then accept; #' }, 'interface'],
    [{ peerType: 'any' }, 'peerType'],
    [{ communities: { values: ['1:2', '1:3'] } }, 'communities'],
    [{ communities: { values: ['1:2'], matchOperator: 'None' } }, 'communities'],
    [{ asPathPrefix: ['*'] }, 'asPathPrefix'],
    [{ priority: 0 }, 'priority'],
    [{ operations: [{ setPriority: { value: 1 }, addCommunity: { value: '1:2' } }] }, 'operations'],
    [{ operations: [{ setNextHop: { value: '10.0.0.1' } }] }, 'operations'],
    [{ operations: [{ prependASPath: { prefix: [] } }] }, 'operations'],
    [{ operations: [{ addCommunity: { value: '1:2' } }], action: 'Reject' }, 'operations'],
    [{ futureMatch: 'x' }, 'futureMatch'],
    [{ action: undefined }, 'action'],
  ])('a rule with %j is not understood for its %s', (rule, field) => {
    expect(rules([{ action: 'Accept', ...rule }])).toMatchObject({ rules: [], problem: { field: `spec.importV4[0].${field}` } });
  });
  test.each([['x'], [{}], [7]])('a list that is %j rejects everything', (value) =>
    expect(rules(value)).toMatchObject({ rules: [], problem: { field: 'spec.importV4' } }),
  );
});

test.each([
  ['Node', (value: Uint8Array) => decodeNode('h1', value)],
  ['BGPConfiguration', decodeBgpConfiguration],
  ['BGPPeer', (value: Uint8Array) => decodeBgpPeer('p', value)],
  ['BGPFilter', (value: Uint8Array) => decodeBgpFilter('f', value)],
])('a %s that is no JSON is refused, not thrown over', (_, decode) => {
  expect(decode(new TextEncoder().encode('{'))).toMatchObject({ ok: false });
  expect(decode(Uint8Array.of(0xff))).toMatchObject({ ok: false });
  expect(decode(new TextEncoder().encode('{"spec": []}'))).toMatchObject({ ok: false });
});
