// The output about this host's own endpoints.
import { describe, expect, test } from 'vitest';
import { createPolicyCalculation } from './calculation.ts';
import { bytes, Cluster, globalPolicy, gone, hostEndpoint, isNothing, port, portId, resource, thisHost, tier } from './testing/resources.ts';

test('a workload is handed on with all that its value says', () => {
  const cluster = new Cluster(
    port(1, {
      ipNetworks: ['10.0.0.1/32', '2001:DB8::1/128', '10.0.0.9/32'],
      ipv4Gateway: '10.0.0.254',
      ipv6Gateway: '2001:db8::fe',
      ipNATs: [{ internalIP: '10.0.0.1', externalIP: '203.0.113.9' }],
      qosControls: { egressBandwidth: 1000 },
      profiles: ['projectcalico-default-allow'],
    }),
  );
  expect(cluster.workload(1)).toEqual({
    id: 'openstack/openstack/vm-0001/port-0001',
    orchestrator: 'openstack',
    workload: 'openstack/vm-0001',
    endpoint: 'port-0001',
    interfaceName: 'tap0001',
    mac: 'fa:16:3e:00:00:01',
    addresses: ['10.0.0.1/32', '2001:db8::1/128', '10.0.0.9/32'],
    routed: ['10.0.0.1/32', '2001:db8::1/128', '10.0.0.9/32', '203.0.113.9/32'],
    ipv4Gateway: '10.0.0.254',
    ipv6Gateway: '2001:db8::fe',
    ipNats: [{ internal: '10.0.0.1', external: '203.0.113.9' }],
    allowSpoofedSourcePrefixes: [],
    qosControls: { egressBandwidth: 1000 },
    policy: { ingress: [], egress: [], profiles: ['projectcalico-default-allow'] },
  });
});

test('an endpoint is local whose key names this host exactly', () => {
  const cluster = new Cluster(
    port(1, { host: 'HOST-1' }),
    port(2, { host: 'host-1.example' }),
    port(3, { host: 'host' }),
    port(4, { host: 'host-2', node: thisHost }),
    port(5, { node: 'host-2' }),
  );
  expect([...cluster.state.workloads.keys()]).toEqual([portId(5)]);
});

test('a name that is not of four parts is nobody’s, and is named', () => {
  const bad = resource('workloadendpoints', 'host--1-openstack-vm', { namespace: 'openstack', spec: { interfaceName: 'tap1', ipNetworks: ['10.0.0.1'] } });
  const cluster = new Cluster(bad);
  expect(cluster.state.workloads.size).toBe(0);
  expect(cluster.defects.get(bad[0])).toContain('four parts');
  cluster.put(gone(bad));
  expect(cluster.defects.size).toBe(0);
});

test('an endpoint whose value is not valid is absent, whatever it was before, and is named', () => {
  const cluster = new Cluster(port(1));
  cluster.put(port(1, { ipNetworks: ['x'] }));
  expect(cluster.workload(1)).toBeUndefined();
  expect(cluster.defects.get(port(1)[0])).toContain('ipNetworks');
  cluster.put([port(1)[0], '{']);
  expect(cluster.defects.get(port(1)[0])).toContain('not JSON');
  cluster.put(port(1));
  expect(cluster.workload(1)).toBeDefined();
  expect(cluster.defects.size).toBe(0);
});

describe('two endpoints on one interface', () => {
  const on = (number: number, more: object = {}) => port(number, { interfaceName: 'tap', ...more });

  test('of one age the lowest id has it; the others wait, lowest first, and route nothing', () => {
    const cluster = new Cluster(on(3), on(2), on(1));
    expect([1, 2, 3].map((number) => cluster.workload(number)?.shadowedBy)).toEqual([undefined, portId(1), portId(1)]);
    expect([1, 2, 3].map((number) => cluster.workload(number)?.routed.length)).toEqual([1, 0, 0]);
    expect(cluster.defects.get(port(2)[0])).toContain(`belongs to ${portId(1)}`);
    cluster.put(gone(on(1)));
    expect([2, 3].map((number) => cluster.workload(number)?.shadowedBy)).toEqual([undefined, portId(2)]);
    cluster.put(on(2, { interfaceName: 'tap2' }));
    expect([2, 3].map((number) => cluster.workload(number)?.shadowedBy)).toEqual([undefined, undefined]);
    expect(cluster.defects.size).toBe(0);
    cluster.put(on(2));
    expect([2, 3].map((number) => cluster.workload(number)?.shadowedBy)).toEqual([undefined, portId(2)]);
  });
  test('one that waits claims no address', () => {
    const cluster = new Cluster(on(1), on(2, { ipNetworks: ['10.9.0.1'] }), port(3, { ipNetworks: ['10.9.0.1'] }));
    expect(cluster.workload(3)?.routed).toEqual(['10.9.0.1/32']);
    cluster.put(gone(on(1)));
    expect([cluster.workload(2)?.routed, cluster.workload(3)?.routed]).toEqual([['10.9.0.1/32'], []]);
  });
});

describe('two owners of one address', () => {
  test('of one age the lowest id has it, and when it lets go the next', () => {
    const cluster = new Cluster(port(2, { ipNetworks: ['10.9.0.1', '10.9.0.2'] }), port(1, { ipNetworks: ['10.9.0.1'] }));
    expect([cluster.workload(1)?.routed, cluster.workload(2)?.routed]).toEqual([['10.9.0.1/32'], ['10.9.0.2/32']]);
    expect(cluster.workload(2)?.addresses).toEqual(['10.9.0.1/32', '10.9.0.2/32']);
    expect(cluster.defects.get(port(2)[0])).toBe(`10.9.0.1 belongs to ${portId(1)}, the first of those that have it`);
    cluster.put(port(1, { ipNetworks: ['10.9.0.3'] }));
    expect(cluster.workload(2)?.routed).toEqual(['10.9.0.1/32', '10.9.0.2/32']);
    expect(cluster.defects.size).toBe(0);
  });
  test('an external address is claimed too', () => {
    const nat = (address: string) => ({ ipNATs: [{ internalIP: '10.0.0.1', externalIP: address }] });
    const cluster = new Cluster(port(1, nat('203.0.113.9')), port(2, nat('203.0.113.9')), port(3, { ipNetworks: ['203.0.113.9'] }));
    expect([1, 2, 3].map((number) => cluster.workload(number)?.routed)).toEqual([['10.0.0.1/32', '203.0.113.9/32'], ['10.0.0.2/32'], []]);
  });
  test('an endpoint of another host has no say', () => {
    const cluster = new Cluster(port(1, { ipNetworks: ['10.9.0.1'], host: 'host-0' }), port(2, { ipNetworks: ['10.9.0.1'] }));
    expect(cluster.workload(2)?.routed).toEqual(['10.9.0.1/32']);
  });
});

describe('spoofed sources', () => {
  const open = port(1, { allowSpoofedSourcePrefixes: ['0.0.0.0/0', '::/0'] });
  test('are let through only where configuration allows it, and otherwise only they are ignored', () => {
    const cluster = new Cluster(open, port(2));
    expect(cluster.workload(1)?.allowSpoofedSourcePrefixes).toEqual([]);
    expect(cluster.defects.get(open[0])).toContain('allowSpoofedSourcePrefixes');
    cluster.calculation.setOptions({ allowSourceSpoofing: true });
    const change = cluster.put();
    expect(change.workloads.size).toBe(1);
    expect(cluster.workload(1)?.allowSpoofedSourcePrefixes).toEqual(['0.0.0.0/0', '::/0']);
    expect(cluster.defects.size).toBe(0);
    cluster.put(port(1, { allowSpoofedSourcePrefixes: ['10.0.0.0/8'] }));
    expect(cluster.workload(1)?.allowSpoofedSourcePrefixes).toEqual(['10.0.0.0/8']);
    cluster.calculation.setOptions({ allowSourceSpoofing: false });
    cluster.put();
    expect(cluster.workload(1)?.allowSpoofedSourcePrefixes).toEqual([]);
  });
  test('may be allowed from the start', () => {
    const calculation = createPolicyCalculation({ host: thisHost, allowSourceSpoofing: true });
    calculation.update(open[0], bytes(open[1]!));
    expect([...calculation.flush().workloads.values()][0]?.allowSpoofedSourcePrefixes).toHaveLength(2);
  });
});

describe('live migration', () => {
  const reference = (number: number, host = thisHost) => ({
    hostname: host,
    orchestratorID: 'openstack',
    workloadID: `openstack/vm-000${number}`,
    endpointID: `port-000${number}`,
  });
  const { endpointID: _, ...workload } = reference(1);
  const migration = (spec: object, name = 'm') => resource('livemigrations', name, { namespace: 'openstack', spec });
  const at = (number: number, host?: string) => ({ workloadEndpoint: reference(number, host) });
  const role = (cluster: Cluster, number = 1) => cluster.workload(number)?.liveMigrationRole;

  test.each([0, 1])('gives roles, whichever of endpoint and migration comes first', (first) => {
    const entries = [port(1), migration({ source: at(1, 'host-2'), target: at(1) })];
    const cluster = new Cluster(entries[first]!);
    cluster.put(entries[1 - first]!);
    expect(role(cluster)).toBe('target');
    cluster.put(migration({ source: at(1), target: at(1, 'host-2') }));
    expect(role(cluster)).toBe('source');
    cluster.put(gone(port(1)));
    cluster.put(port(1));
    expect(role(cluster)).toBe('source');
    cluster.put(gone(migration({})));
    expect(role(cluster)).toBeUndefined();
  });
  test('of a whole workload gives it to all its endpoints', () => {
    const cluster = new Cluster(port(1), port(2), migration({ source: { workload } }));
    expect([role(cluster, 1), role(cluster, 2)]).toEqual(['source', undefined]);
  });
  test('a target beats a source, in one migration and in two', () => {
    const cluster = new Cluster(port(1), migration({ source: at(1), target: at(1) }), migration({ source: { workload } }, 'n'));
    expect(role(cluster)).toBe('target');
    cluster.put(migration({ source: at(1) }));
    expect(role(cluster)).toBe('source');
    cluster.put(migration({ target: { selector: 'has(a)' } }, 'n'));
    expect(role(cluster)).toBe('source');
    cluster.put(port(1, { labels: { a: '' } }));
    expect(role(cluster)).toBe('target');
    cluster.put(gone(migration({})), gone(migration({}, 'n')));
    expect(role(cluster)).toBeUndefined();
  });
  test('two that name one endpoint leave it its role until both are gone', () => {
    const cluster = new Cluster(port(1), migration({ target: at(1) }, 'a'), migration({ target: at(1) }, 'b'));
    expect(isNothing(cluster.put(gone(migration({}, 'a'))))).toBe(true);
    cluster.put(gone(migration({}, 'b')));
    expect(role(cluster)).toBeUndefined();
  });
  test('that names nobody, or another host, gives none', () => {
    for (const spec of [{}, { source: null, target: null }, { source: {}, target: { workloadEndpoint: {} } }, { target: at(1, 'HOST-1') }])
      expect(role(new Cluster(port(1), migration(spec)))).toBeUndefined();
  });
});

describe('a host endpoint', () => {
  const ids = (lists: readonly { policies: readonly string[]; endAction: string }[]) =>
    lists.map(({ policies, endAction }) => [...policies.map((id) => id.split('/')[2]), endAction].join(' '));
  const policies = [
    globalPolicy('normal', {}),
    globalPolicy('forward', { applyOnForward: true, types: ['Ingress'] }),
    globalPolicy('pre', { preDNAT: true, applyOnForward: true }),
    globalPolicy('raw', { doNotTrack: true, applyOnForward: true }),
    tier('default', { order: 1, defaultAction: 'Deny' }),
  ];
  const eth0 = hostEndpoint('h', { interfaceName: 'eth0', expectedIPs: ['10.2.0.1'], profiles: ['projectcalico-default-allow'] });
  const held = (cluster: Cluster, name = 'h') => cluster.state.hostEndpoints.get(name as never);

  test('has its policies for each place where they are enforced; only rules deny before DNAT and before tracking', () => {
    const endpoint = held(new Cluster(eth0, ...policies))!;
    expect(endpoint).toMatchObject({ id: 'h', interfaceName: 'eth0', expectedIps: ['10.2.0.1'] });
    const part = (name: 'policy' | 'forward' | 'preDnat' | 'untracked') => [ids(endpoint[name].ingress), ids(endpoint[name].egress), endpoint[name].profiles];
    expect(part('policy')).toEqual([['forward normal deny'], ['normal deny'], ['projectcalico-default-allow']]);
    expect(part('forward')).toEqual([['forward deny'], [], []]);
    expect(part('preDnat')).toEqual([['pre pass'], [], []]);
    expect(part('untracked')).toEqual([['raw pass'], ['raw pass'], []]);
  });
  test('has all of them handed on; a workload only those that have an effect on it', () => {
    const names = (cluster: Cluster) => [...cluster.state.policies.values()].map(({ id }) => id.split('/')[2]).sort();
    expect(names(new Cluster(eth0, ...policies))).toEqual(['forward', 'normal', 'pre', 'raw']);
    const cluster = new Cluster(port(1), ...policies);
    expect(names(cluster)).toEqual(['forward', 'normal']);
    expect(ids(cluster.workload(1)!.policy.ingress)).toEqual(['forward normal deny']);
  });
  test('for every interface has no untracked policy', () => {
    const cluster = new Cluster(hostEndpoint('h', { interfaceName: '*' }), ...policies);
    expect(held(cluster)?.untracked).toEqual({ ingress: [], egress: [], profiles: [] });
    expect(held(cluster)?.preDnat.ingress).toHaveLength(1);
    cluster.put(hostEndpoint('h', { interfaceName: 'eth0' }));
    expect(held(cluster)?.untracked.ingress).toHaveLength(1);
    cluster.put(hostEndpoint('i', { interfaceName: '*' }));
    cluster.put(gone(hostEndpoint('h', {})));
    expect(held(cluster, 'i')?.untracked.ingress).toEqual([]);
    expect(cluster.state.policies.has('GlobalNetworkPolicy//raw' as never)).toBe(false);
  });
  test('with the labels of a workload gets its own lists, and leaves the workload’s as they are', () => {
    const labels = { 'projectcalico.org/namespace': 'openstack', 'projectcalico.org/orchestrator': 'openstack' };
    const cluster = new Cluster(port(1), ...policies);
    const change = cluster.put(hostEndpoint('h', { interfaceName: 'eth0' }, labels));
    expect([change.workloads.size, change.hostEndpoints.size, change.policies.size]).toEqual([0, 1, 2]);
    expect(cluster.put(gone(hostEndpoint('h', {}))).workloads.size).toBe(0);
  });
  test('is of the host that its value names', () => {
    const cluster = new Cluster(hostEndpoint('h', { interfaceName: 'eth0', node: 'Host-1' }));
    expect(held(cluster)).toBeUndefined();
    cluster.put(hostEndpoint('h', { interfaceName: 'eth0' }));
    expect(held(cluster)).toBeDefined();
    cluster.put(hostEndpoint('h', { interfaceName: 'eth0', node: 'host-2' }));
    expect(held(cluster)).toBeUndefined();
  });
  test('is none of the policies of a namespace, unless it is labelled so', () => {
    const policy = resource('networkpolicies', 'p', { namespace: 'openstack', spec: {} });
    expect(held(new Cluster(policy, eth0))?.policy.ingress).toEqual([]);
    expect(
      held(new Cluster(policy, hostEndpoint('h', { interfaceName: 'eth0' }, { 'projectcalico.org/namespace': 'openstack' })))?.policy.ingress,
    ).toHaveLength(1);
  });
  test('several for one interface are all handed on', () => {
    expect(new Cluster(hostEndpoint('a', { interfaceName: 'eth0' }), hostEndpoint('b', { interfaceName: 'eth0' })).state.hostEndpoints.size).toBe(2);
  });
});

describe('pools', () => {
  const pool = (name: string, cidr: string, natOutgoing = false) => resource('ippools', name, { spec: { cidr, natOutgoing } });
  test('are known by their prefix; of two with one prefix the lowest name counts', () => {
    const cluster = new Cluster(pool('b', '10.0.0.0/16', true), pool('a', '10.0.0.9/16'), pool('c', '2001:db8::/64', true));
    expect([...cluster.state.pools]).toEqual([
      ['10.0.0.0/16', { cidr: '10.0.0.0/16', natOutgoing: false }],
      ['2001:db8::/64', { cidr: '2001:db8::/64', natOutgoing: true }],
    ]);
    cluster.put(gone(pool('a', '')));
    expect(cluster.state.pools.get('10.0.0.0/16')?.natOutgoing).toBe(true);
    cluster.put(pool('b', '10.1.0.0/16'));
    expect([...cluster.state.pools.keys()]).toEqual(['2001:db8::/64', '10.1.0.0/16']);
    expect(isNothing(cluster.put(pool('d', '10.9.0.0/16'), gone(pool('d', ''))))).toBe(true);
  });
});

test('a defect is told when it comes, when its reason changes, and when it goes', () => {
  const calculation = createPolicyCalculation({ host: thisHost });
  const [key] = globalPolicy('p', {});
  const told = (spec?: object) => {
    calculation.update(key, spec && bytes(JSON.stringify({ spec })));
    return [...calculation.takeDefects()];
  };
  expect(told({ selector: '(' })).toEqual([[key, { key, reason: expect.stringContaining('selector') }]]);
  expect(told({ selector: '(' })).toEqual([]);
  expect(told({ selector: '((' })).toHaveLength(1);
  expect(told({ selector: '' })).toEqual([[key, undefined]]);
  expect(told({ selector: '' })).toEqual([]);
  expect(told({ ingress: Array.from({ length: 9 }, () => ({ action: 'x' })) })[0]?.[1]?.reason).toMatch(/; and 4 more$/);
  expect(told()).toEqual([[key, undefined]]);
});

test('the counts go back to nothing with the content', () => {
  const cluster = new Cluster(
    port(1, { profiles: ['q'] }),
    port(2, { host: 'host-2', labels: { a: 'b' } }),
    tier('t'),
    globalPolicy('p', {
      ingress: [
        { action: 'Allow', source: { selector: 'has(a)' } },
        { action: 'Deny', source: { selector: '!has(a)' } },
      ],
    }),
    resource('profiles', 'q', {}),
    resource('nodes', 'host-2', {}),
    resource('nodes', 'host-3', {}),
    resource('hostendpoints', 'h', { spec: { node: 'host-3', interfaceName: 'eth0' } }),
  );
  const one = { tiers: 1, policies: 1, profiles: 1, activePolicies: 1, activeProfiles: 1, scanned: 1 };
  const cluster3 = { hosts: 3, workloadEndpoints: 2, hostEndpoints: 1, contributors: 3, labellings: 3 };
  expect(cluster.calculation.counts()).toEqual({ ...one, ...cluster3, ipSets: 2, selectors: 2 });
  cluster.put(port(1, { profiles: ['q'] })); // an endpoint that is written again counts once
  expect(cluster.calculation.counts()).toMatchObject({ hosts: 3, workloadEndpoints: 2 });
  cluster.put(gone(resource('nodes', 'host-2', {})));
  expect(cluster.calculation.counts().hosts).toBe(3); // its workload endpoint is still there
  const rest = [resource('nodes', 'host-3', {}), resource('hostendpoints', 'h', {}), tier('t'), globalPolicy('p', {}), resource('profiles', 'q', {})];
  cluster.put(gone(port(1)), gone(port(2, { host: 'host-2' })), ...rest.map(gone));
  expect(new Set(Object.values(cluster.calculation.counts()))).toEqual(new Set([0]));
});
