import { describe, expect, test } from 'vitest';
import type { Session } from '../bird/configuration.ts';
import { createResourceStore } from '../store.ts';
import { bytes } from '../testing/bytes.ts';
import { host, lookups, nodeSpec, resourcesOf, type Specs } from '../testing/facts.ts';
import type { Host } from './facts.ts';
import { plan } from './plan.ts';

const two: Specs = { 'nodes/h1': nodeSpec(1), 'nodes/h2': nodeSpec(2) };
const tor = { peerIP: '192.0.2.250', asNumber: 64500 };
const noMesh: Specs = { 'bgpconfigurations/default': { nodeToNodeMeshEnabled: false } };
const secret = { secretKeyRef: { name: 'bgp', key: 'tor' } };
const wrongSecret = { secretKeyRef: { name: 'bgp', key: 'wrong' } };

const planOf = (specs: Specs, change: Partial<Host> = {}) => plan(resourcesOf(specs), host(change), lookups);
const sessionsOf = (specs: Specs, change: Partial<Host> = {}): readonly Session[] => {
  const result = planOf(specs, change);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.configuration.sessions;
};
const neighbors = (specs: Specs, change: Partial<Host> = {}): readonly string[] => sessionsOf(specs, change).map(({ neighbor }) => neighbor.address);
const reasons = (specs: Specs): readonly string[] => planOf(specs).problems.map(({ key, reason }) => `${key}: ${reason}`);
/** The only session of a host with this BGPPeer and without the mesh. */
const peered = (spec: object, more: Specs = {}): Session => {
  const sessions = sessionsOf({ ...two, ...noMesh, 'bgppeers/tor': { ...tor, ...spec }, ...more });
  expect(sessions).toHaveLength(1);
  return sessions[0]!;
};

describe('the mesh', () => {
  test('joins all hosts, in each family that both have', () => {
    expect(sessionsOf({ ...two, 'nodes/h3': { bgp: { ipv4Address: '192.0.2.3' } } }).map(({ symbol, neighbor }) => [symbol, neighbor.address])).toEqual([
      ["'mesh4-h2'", '192.0.2.2'],
      ["'mesh4-h3'", '192.0.2.3'],
      ["'mesh6-h2'", '2001:db8::2'],
    ]);
  });
  test('is internal, with the cluster’s AS, or 64512', () => {
    expect(sessionsOf(two)[0]).toMatchObject({ local: { asNumber: 64512, port: 179 }, neighbor: { asNumber: 64512, port: 179 } });
    expect(sessionsOf({ ...two, 'bgpconfigurations/default': { asNumber: 64600 } })[0]).toMatchObject({
      local: { asNumber: 64600 },
      neighbor: { asNumber: 64600 },
    });
  });
  test('across two ASes is external, and that is told', () => {
    const specs = { ...two, 'nodes/h2': nodeSpec(2, { asNumber: 64777 }) };
    expect(sessionsOf(specs)[0]).toMatchObject({ local: { asNumber: 64512 }, neighbor: { asNumber: 64777 } });
    expect(reasons(specs)).toEqual([expect.stringContaining('h2 in the same mesh another')]);
  });
  test('of each pair, the one with the lower address as text waits: both ends agree', () => {
    const passive = (name: string, specs: Specs): boolean | undefined => sessionsOf(specs, { name })[0]?.passive;
    for (const [low, high] of [
      ['192.0.2.1', '192.0.2.2'],
      ['192.0.2.10', '192.0.2.9'],
    ]) {
      const specs = { 'nodes/h1': { bgp: { ipv4Address: low } }, 'nodes/h2': { bgp: { ipv4Address: high } } };
      expect([passive('h1', specs), passive('h2', specs)]).toEqual([true, false]);
    }
  });
  test('is none where it is switched off, and none of a route reflector nor with one', () => {
    expect(sessionsOf({ ...two, ...noMesh })).toEqual([]);
    const withReflector = { ...two, 'nodes/rr': nodeSpec(9, { routeReflectorClusterID: '1.0.0.1' }) };
    expect(neighbors(withReflector)).toEqual(['192.0.2.2', '2001:db8::2']);
    expect(neighbors(withReflector, { name: 'rr' })).toEqual([]);
  });
  test('takes the ports that each end listens on', () => {
    const specs = { ...two, 'bgpconfigurations/default': { listenPort: 1790 }, 'bgpconfigurations/node.h2': { listenPort: 1792 } };
    expect(sessionsOf(specs)[0]).toMatchObject({ local: { port: 1790 }, neighbor: { port: 1792 } });
    expect(sessionsOf(specs, { name: 'h2' })[0]).toMatchObject({ local: { port: 1792 }, neighbor: { port: 1790 } });
  });
  test('has its password and restart time; without the password that it should have there is no mesh', () => {
    const settings = { nodeMeshPassword: secret, nodeMeshMaxRestartTime: '30s' };
    expect(sessionsOf({ ...two, 'bgpconfigurations/default': settings })[0]).toMatchObject({ password: '"s3cret"', restartSeconds: 30 });
    const wrong = { ...two, 'bgpconfigurations/default': { nodeMeshPassword: wrongSecret } };
    expect(sessionsOf(wrong)).toEqual([]);
    expect(reasons(wrong)).toEqual(['BGPConfiguration default: spec.nodeMeshPassword: there is no wrong in bgp']);
  });
  test('leaves out a host whose Node is not understood', () => {
    const specs = { ...two, 'nodes/h3': { bgp: { ipv4Address: 'x' } } };
    expect(neighbors(specs)).toEqual(['192.0.2.2', '2001:db8::2']);
    expect(reasons(specs)).toEqual([expect.stringMatching(/^Node h3: spec.bgp.ipv4Address: /)]);
  });
});

describe('a BGPPeer', () => {
  test('is for all hosts, for one by name, or for those that a selector finds', () => {
    const labelled = { ...two, ...noMesh, 'nodes/h1': { spec: nodeSpec(1), labels: { rack: 'a' } } };
    const has = (spec: object, name: string): boolean => neighbors({ ...labelled, 'bgppeers/tor': { ...tor, ...spec } }, { name }).length > 0;
    expect([has({}, 'h1'), has({}, 'h2')]).toEqual([true, true]);
    expect([has({ node: 'h1' }, 'h1'), has({ node: 'h1' }, 'h2')]).toEqual([true, false]);
    expect([has({ nodeSelector: 'rack == "a"' }, 'h1'), has({ nodeSelector: 'rack == "a"' }, 'h2')]).toEqual([true, false]);
  });
  test.each([
    [{}, { neighbor: { address: '192.0.2.250', port: 179, asNumber: 64500 }, local: { address: '192.0.2.1', port: 179, asNumber: 64512 } }],
    [{ peerIP: '192.0.2.250:1790' }, { neighbor: { port: 1790 } }],
    [{ peerIP: '2001:db8::250' }, { family: 6, neighbor: { address: '2001:db8::250' }, local: { address: '2001:db8::1' } }],
    [{ localASNumber: 64500 }, { local: { asNumber: 64500 } }],
    [{ sourceAddress: 'None' }, { local: { address: undefined } }],
    [{ password: secret }, { password: '"s3cret"' }],
    [{ maxRestartTime: '30s' }, { restartSeconds: 30 }],
    [{ keepaliveTime: '10s' }, { keepaliveSeconds: 10 }],
    [{ holdTime: '30s' }, { holdSeconds: 30 }],
    [{ numAllowedLocalASNumbers: 2 }, { allowedLocalAsNumbers: 2 }],
    [{ ttlSecurity: 3 }, { ttlSecurity: true, transport: { kind: 'multihop', hops: 3 } }],
    [{ ttlSecurity: 1 }, { ttlSecurity: true, transport: { kind: 'direct' } }],
    [{ reachableBy: '192.0.2.7' }, { reachableBy: '192.0.2.7', transport: { kind: 'multihop' } }],
    [{ nextHopMode: 'Self' }, { nextHop: 'self' }],
    [{ keepOriginalNextHop: true }, { nextHop: 'keep' }],
    [{ keepOriginalNextHop: true, asNumber: 64512 }, { nextHop: 'auto' }],
  ])('with %j makes that session', (spec, expected) => expect(peered(spec)).toMatchObject(expected));

  test('next door and external is spoken to directly; further away, or internal, its next hops are looked up', () => {
    expect(peered({}).transport).toEqual({ kind: 'direct' });
    expect(peered({ asNumber: 64512 }).transport).toEqual({ kind: 'multihop', hops: undefined });
    expect(peered({ peerIP: '203.0.113.1' }).transport).toEqual({ kind: 'multihop', hops: undefined });
    const specs = { ...two, ...noMesh, 'bgppeers/tor': { ...tor, peerIP: '203.0.113.1' } };
    expect(sessionsOf(specs, { networks: ['203.0.113.0/30' as never] })[0]?.transport).toEqual({ kind: 'direct' });
  });
  test('of a family that this host lacks makes no session, and that is told', () => {
    const specs = { ...noMesh, 'nodes/h1': { bgp: { ipv4Address: '192.0.2.1' } }, 'bgppeers/tor': { ...tor, peerIP: '2001:db8::250' } };
    expect(sessionsOf(specs)).toEqual([]);
    expect(reasons(specs)).toEqual(['BGPPeer tor: Node h1 has no IPv6 address']);
  });
  test('without the password that it should have makes no session', () => {
    const specs = { ...two, ...noMesh, 'bgppeers/tor': { ...tor, password: wrongSecret } };
    expect(sessionsOf(specs)).toEqual([]);
    expect(reasons(specs)).toEqual(['BGPPeer tor: spec.password: there is no wrong in bgp']);
  });
  test.each([{ nodeSelector: 'rack ==' }, { peerIP: undefined, asNumber: undefined, peerSelector: 'has(' }])(
    'with a selector that does not parse (%j) makes none',
    (spec) => {
      const specs = { ...two, ...noMesh, 'bgppeers/tor': { ...tor, ...spec } };
      expect(sessionsOf(specs)).toEqual([]);
      expect(reasons(specs)).toHaveLength(1);
    },
  );
  test('with another host of ours takes the place of the mesh’s session, and the other host’s too', () => {
    const specs = { ...two, 'bgppeers/special': { node: 'h1', peerIP: '192.0.2.2', asNumber: 64512, filters: ['f'] }, 'bgpfilters/f': {} };
    expect(sessionsOf(specs).map(({ symbol }) => symbol)).toEqual(["'mesh6-h2'", "'peer4-special'"]);
    expect(sessionsOf(specs, { name: 'h2' }).map(({ symbol, neighbor }) => [symbol, neighbor.address])).toEqual([
      ["'mesh6-h1'", '2001:db8::1'],
      ["'peer4-special:h1'", '192.0.2.1'],
    ]);
  });
  test('that is refused, or lacks its password, keeps the mesh from stepping in', () => {
    for (const spec of [{ filters: 7 }, { password: wrongSecret }, { nodeSelector: '(' }])
      expect(neighbors({ ...two, 'bgppeers/special': { peerIP: '192.0.2.2', asNumber: 64512, ...spec } })).toEqual(['2001:db8::2']);
  });
  test('of two for one neighbour the first by name holds, and that is told', () => {
    const specs = { ...two, ...noMesh, 'bgppeers/b': { ...tor, keepaliveTime: '7s' }, 'bgppeers/a': { ...tor, node: 'h1' } };
    expect(sessionsOf(specs).map(({ symbol }) => symbol)).toEqual(["'peer4-a'"]);
    expect(reasons(specs)).toEqual(['BGPPeer b: BGPPeer a peers with 192.0.2.250 already']);
  });
  test('that is older holds its neighbour against one with an earlier name', () => {
    const made = (creationTimestamp: string, spec: object): Uint8Array => bytes(spec, { creationTimestamp });
    const store = createResourceStore({ ownName: 'h1', onFault: () => undefined });
    const put = (key: string, value: Uint8Array): unknown => store.apply([{ key: `/calico/resources/v3/projectcalico.org/${key}`, value, modRevision: 1 }]);
    put('nodes/h1', bytes(nodeSpec(1)));
    put('bgppeers/b', made('2026-01-01T00:00:00Z', { ...tor, password: secret }));
    put('bgppeers/a', made('2026-02-01T00:00:00Z', tor));
    const result = plan(store.resources, host(), lookups);
    expect(result).toMatchObject({ configuration: { sessions: [{ symbol: "'peer4-b'", password: '"s3cret"' }] }, problems: [{ key: 'BGPPeer a' }] });
  });
  test('from an address that is not in its neighbour’s network is told, with what helps', () => {
    const specs = { ...two, ...noMesh, 'bgppeers/tor': { ...tor, peerIP: '203.0.113.2' } };
    const uplink = { networks: ['203.0.113.0/30'] as never };
    expect(planOf(specs, uplink).problems).toEqual([
      {
        key: 'BGPPeer tor',
        reason: 'speaks from 192.0.2.1, which is not in 203.0.113.0/30, the network of 203.0.113.2',
        effect: 'the session does not come up; sourceAddress: None lets the host choose its address there',
      },
    ]);
    expect(planOf({ ...specs, 'bgppeers/tor': { ...tor, peerIP: '203.0.113.2', sourceAddress: 'None' } }, uplink).problems).toEqual([]);
  });
  test('keeps its session’s name when its neighbour turns out to be one of our hosts', () => {
    const before = { ...two, ...noMesh, 'bgppeers/rr': { peerIP: '192.0.2.9', asNumber: 64512 } };
    const after = { ...before, 'nodes/rr': nodeSpec(9, { routeReflectorClusterID: '1.0.0.1' }) };
    expect(sessionsOf(after)[0]?.symbol).toBe(sessionsOf(before)[0]?.symbol);
  });
  test('with its own host makes no session', () => {
    expect(neighbors({ ...two, ...noMesh, 'bgppeers/all': { peerIP: '192.0.2.1', asNumber: 64512 } })).toEqual(['192.0.2.2']);
  });
});

describe('route reflectors', () => {
  const reflectors: Specs = {
    ...noMesh,
    'nodes/h1': nodeSpec(1),
    'nodes/h2': nodeSpec(2),
    'nodes/rr1': { spec: nodeSpec(8, { routeReflectorClusterID: '1.0.0.1' }), labels: { rr: 'yes' } },
    'nodes/rr2': { spec: nodeSpec(9, { routeReflectorClusterID: '1.0.0.1' }), labels: { rr: 'yes' } },
    'bgppeers/rr': { nodeSelector: 'all()', peerSelector: 'has(rr)' },
  };
  test('peerSelector joins every host to every reflector, and the reflectors to the hosts', () => {
    expect(neighbors(reflectors)).toEqual(['192.0.2.8', '192.0.2.9', '2001:db8::8', '2001:db8::9']);
    expect(neighbors(reflectors, { name: 'rr1' }).filter((address) => address.includes('.'))).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.9']);
    expect(reasons(reflectors)).toEqual([]);
  });
  test('reversePeering Manual leaves the way back to a BGPPeer of its own', () => {
    const manual = { ...reflectors, 'bgppeers/rr': { nodeSelector: '!has(rr)', peerSelector: 'has(rr)', reversePeering: 'Manual' } };
    expect(neighbors(manual)).toHaveLength(4);
    expect(neighbors(manual, { name: 'rr1' })).toEqual([]);
  });
  test('a reflector’s clients are those without its cluster id; a host reflects nothing', () => {
    const bySymbol = new Map(sessionsOf(reflectors, { name: 'rr1' }).map(({ symbol, reflector }) => [symbol, reflector]));
    expect(bySymbol.get("'peer4-rr:h1'")).toEqual({ clusterId: '1.0.0.1', neighborIsClient: true });
    expect(bySymbol.get("'peer4-rr:rr2'")).toEqual({ clusterId: '1.0.0.1', neighborIsClient: false });
    expect(sessionsOf(reflectors).map(({ reflector }) => reflector)).toEqual([undefined, undefined, undefined, undefined]);
  });
  test('a reflector reflects nothing to another AS', () => {
    expect(sessionsOf({ ...reflectors, 'bgppeers/tor': tor }, { name: 'rr1' }).find(({ symbol }) => symbol === "'peer4-tor'")?.reflector).toBeUndefined();
  });
});

describe('filters', () => {
  test('are used in their order', () => {
    const { filters } = peered({ filters: ['b', 'a'] }, { 'bgpfilters/a': {}, 'bgpfilters/b': {} });
    expect(filters.map(({ name, filter }) => [name, filter !== undefined])).toEqual([
      ['b', true],
      ['a', true],
    ]);
  });
  test('one that is missing or not understood rejects everything in its place, and that is told', () => {
    const specs = { ...two, ...noMesh, 'bgppeers/tor': { ...tor, filters: ['missing'] } };
    expect(sessionsOf(specs)[0]?.filters).toEqual([{ name: 'missing', filter: undefined }]);
    expect(planOf(specs).problems).toEqual([
      { key: 'BGPPeer tor', reason: 'spec.filters: BGPFilter missing does not exist', effect: 'all routes are rejected where it would stand' },
    ]);
  });
  test('a rule that is not understood is told by whoever uses it', () => {
    const specs = {
      ...two,
      ...noMesh,
      'bgppeers/tor': { ...tor, filters: ['f'] },
      'bgpfilters/f': { importV4: [{ action: 'Accept', cidr: 'x' }] },
      'bgpfilters/unused': { importV4: 7 },
    };
    expect(reasons(specs)).toEqual([expect.stringContaining('BGPPeer tor: spec.filters: BGPFilter f: spec.importV4[0].cidr: ')]);
  });
});

describe('what everything rests on', () => {
  test.each([
    ['this host’s Node does not exist', { 'nodes/h2': nodeSpec(2) }, 'Node h1'],
    ['this host’s Node is not understood', { 'nodes/h1': { bgp: { asNumber: 'x' } } }, 'Node h1'],
    ['the cluster’s BGPConfiguration is not understood', { ...two, 'bgpconfigurations/default': { nodeToNodeMeshEnabled: 'no' } }, 'BGPConfiguration default'],
    ['this host’s BGPConfiguration is not understood', { ...two, 'bgpconfigurations/node.h1': { listenPort: -1 } }, 'BGPConfiguration node.h1'],
    [
      'an advertisement’s community is not known',
      { ...two, 'bgpconfigurations/default': { prefixAdvertisements: [{ cidr: '10.0.0.0/8', communities: ['x'] }] } },
      'BGPConfiguration default',
    ],
  ])('%s: BIRD keeps what it has', (_, specs, key) => {
    expect(planOf(specs as Specs)).toMatchObject({ ok: false, problems: [{ key, effect: "BIRD's configuration stays as it is" }] });
  });
  describe('a value that is not understood leaves the last one that was, and is told', () => {
    test.each<readonly [string, object, object]>([
      ['nodes/h1', nodeSpec(1), { bgp: { asNumber: 'AS1' } }],
      ['nodes/h2', nodeSpec(2), { bgp: { asNumber: 'AS1' } }],
      ['bgpconfigurations/default', { asNumber: 64600 }, { asNumber: 64600, nodeToNodeMeshEnabled: 'no' }],
      ['bgpconfigurations/default', { asNumber: 64600 }, { prefixAdvertisements: [{ cidr: '10.0.0.0/8', communities: ['x'] }], communities: [] }],
      ['bgpconfigurations/node.h1', { listenPort: 1790 }, { listenPort: -1 }],
      ['bgppeers/tor', { ...tor, filters: ['f'] }, { ...tor, filters: 7 }],
      ['bgpfilters/f', { importV4: [{ action: 'Reject' }] }, 'x' as never],
    ])('%s', (key, before, after) => {
      const store = createResourceStore({ ownName: 'h1', onFault: () => undefined });
      const put = (name: string, spec: unknown): unknown =>
        store.apply([{ key: `/calico/resources/v3/projectcalico.org/${name}`, value: spec === undefined ? undefined : bytes(spec), modRevision: 1 }]);
      for (const [name, spec] of Object.entries({ ...two, 'bgppeers/tor': { ...tor, filters: ['f'] }, 'bgpfilters/f': {}, [key]: before })) put(name, spec);
      const sound = plan(store.resources, host(), lookups);
      put(key, after);
      const kept = plan(store.resources, host(), lookups);
      expect(kept).toMatchObject({ ok: true, configuration: sound.ok ? sound.configuration : {} });
      expect(kept.problems.filter(({ effect }) => effect === 'its last value that was understood stands')).toHaveLength(1);
      put(key, before);
      expect(plan(store.resources, host(), lookups)).toEqual(sound);
      put(key, after);
      put(key, undefined);
      expect(plan(store.resources, host(), lookups).problems.filter(({ effect }) => effect.includes('stands'))).toEqual([]);
    });
  });
  test('an address that the host does not have is told', () => {
    expect(planOf(two, { addresses: ['192.0.2.77/24', '2001:db8::1/64'] as never }).problems).toEqual([
      {
        key: 'Node h1',
        reason: 'spec.bgp.ipv4Address: 192.0.2.1 is on no interface of this host',
        effect: 'no session of that family comes up; add the address, or set IPv4Address in bird-agent.cfg and remove it from the Node',
      },
    ]);
  });
  test('there is never a session with an address of this host’s', () => {
    const specs = { ...two, 'nodes/old': { bgp: { ipv4Address: '192.0.2.1', ipv6Address: '2001:db8::1', asNumber: 64999 } } };
    expect(neighbors(specs)).toEqual(['192.0.2.2', '2001:db8::2']);
    expect(reasons(specs)).toHaveLength(2);
  });
  test('another host’s BGPConfiguration that is not understood stops nobody else', () => {
    expect(neighbors({ ...two, 'bgpconfigurations/node.h2': { listenPort: -1 } })).toHaveLength(2);
  });
  test.each([
    ['what is set', {}, { routerId: '9.9.9.9' as never }, '9.9.9.9'],
    ['the Node’s IPv4 address', {}, {}, '192.0.2.1'],
    ['a digest of the name', { 'nodes/h1': { bgp: { ipv6Address: '2001:db8::1' } } }, {}, expect.stringMatching(/^\d+\.\d+\.\d+\.\d+$/)],
  ])('the router id is %s', (_, specs, change, expected) => {
    const result = planOf({ ...two, ...specs }, change);
    expect(result).toMatchObject({ ok: true, configuration: { routerId: expected } });
  });
  test('a host’s own BGPConfiguration beats the cluster’s in communities, advertisements, severity and port, in nothing else', () => {
    const advertise = (community: string) => ({
      communities: [{ name: 'c', value: community }],
      prefixAdvertisements: [{ cidr: '10.0.0.0/8', communities: ['c'] }],
    });
    const specs = {
      ...two,
      'bgpconfigurations/default': { ...advertise('1:1'), logSeverityScreen: 'Error', listenPort: 1790, asNumber: 64600, bindMode: 'NodeIP' },
      'bgpconfigurations/node.h1': { ...advertise('2:2'), logSeverityScreen: 'Debug', listenPort: 1791, asNumber: 64999, bindMode: 'None' },
    };
    expect(reasons(specs)).toEqual(
      ['asNumber', 'bindMode'].map((field) => `BGPConfiguration node.h1: spec.${field}: only BGPConfiguration default may have it`),
    );
    expect(planOf(specs)).toMatchObject({
      configuration: {
        logSeverity: 'Debug',
        bindToNodeAddress: true,
        families: { 4: { advertisements: [{ cidr: '10.0.0.0/8', communities: [[2, 2]] }] }, 6: { advertisements: [] } },
        sessions: [{ local: { port: 1791, asNumber: 64600 } }, {}],
      },
    });
  });
  test('what is there and not supported is told', () => {
    const specs = { ...two, 'bgpconfigurations/default': { serviceClusterIPs: [] }, 'bgpconfigurations/other': {}, 'bgppeers/tor': { ...tor, future: 1 } };
    expect(reasons(specs)).toEqual([
      'BGPConfiguration default: spec.serviceClusterIPs: is not supported',
      'BGPConfiguration other: is neither "default" nor "node.<host>"',
      'BGPPeer tor: spec.future: is not supported',
    ]);
  });
  test('a normal route priority that BIRD’s own routes would beat is not used', () => {
    const specs = { ...two, 'bgpconfigurations/default': { ipv4NormalRoutePriority: 700, ipv6NormalRoutePriority: 2000 } };
    expect(planOf(specs)).toMatchObject({ configuration: { families: { 4: { normalRoutePriority: 1024 }, 6: { normalRoutePriority: 2000 } } } });
    expect(reasons(specs)).toHaveLength(1);
  });
});
