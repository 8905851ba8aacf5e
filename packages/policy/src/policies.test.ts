// Which policies apply to which endpoint, in which order, and the output about them.
import { describe, expect, test } from 'vitest';
import { Cluster, globalPolicy, gone, hostEndpoint, isNothing, networkPolicy, port, profile, resource, securityGroup, tier } from './testing/resources.ts';

const tiers = (cluster: Cluster, direction: 'ingress' | 'egress' = 'ingress', number = 1) =>
  cluster
    .workload(number)
    ?.policy[direction].map(({ tier: name, policies, endAction }) => `${name}(${policies.map((id) => id.split('/')[2]).join(' ')})${endAction}`);

describe('tiers', () => {
  test('stand by order, then name, those without order after them, those that do not exist last', () => {
    const names = ['zero', 'b', 'a', 'last', 'later', 'missing-b', 'missing-a', 'default'];
    const cluster = new Cluster(
      port(1),
      ...names.map((name) => globalPolicy(`in-${name}`, { tier: name })),
      tier('zero', { order: 0 }),
      tier('b', { order: 5 }),
      tier('a', { order: 5, defaultAction: 'Pass' }),
      tier('later'),
      tier('last', {}),
    );
    expect(tiers(cluster)).toEqual([
      'zero(in-zero)deny',
      'a(in-a)pass',
      'b(in-b)deny',
      'last(in-last)deny',
      'later(in-later)deny',
      'default(in-default)deny',
      'missing-a(in-missing-a)deny',
      'missing-b(in-missing-b)deny',
    ]);
  });

  test('do as they are now: deleted, made again, moved', () => {
    const cluster = new Cluster(
      port(1),
      globalPolicy('p', { tier: 'x' }),
      globalPolicy('q', { tier: 'y' }),
      tier('y', { order: 1 }),
      tier('x', { order: 2, defaultAction: 'Pass' }),
    );
    expect(tiers(cluster)).toEqual(['y(q)deny', 'x(p)pass']);
    cluster.put(tier('x', { order: 0, defaultAction: 'Pass' }));
    expect(tiers(cluster)).toEqual(['x(p)pass', 'y(q)deny']);
    cluster.put(gone(tier('x')));
    expect(tiers(cluster)).toEqual(['y(q)deny', 'x(p)deny']);
    cluster.put(tier('x', { order: 'first' }));
    expect(tiers(cluster)).toEqual(['y(q)deny', 'x(p)deny']);
    cluster.put(tier('x', { order: 0 }));
    expect(tiers(cluster)).toEqual(['x(p)deny', 'y(q)deny']);
    expect(isNothing(cluster.put(tier('x', { order: 0, defaultAction: 'Deny' })))).toBe(true);
    expect(isNothing(cluster.put(gone(tier('x')), tier('x', { order: 0 })))).toBe(true);
  });

  test('count only where one of their policies governs the direction and selects the endpoint', () => {
    const cluster = new Cluster(
      port(1, { labels: { a: '' } }),
      tier('x', { order: 1 }),
      globalPolicy('out', { tier: 'x', types: ['Egress'] }),
      globalPolicy('other', { tier: 'x', types: ['Ingress'], selector: 'has(b)' }),
      globalPolicy('both', {}),
    );
    expect(tiers(cluster)).toEqual(['default(both)deny']);
    expect(tiers(cluster, 'egress')).toEqual(['x(out)deny', 'default(both)deny']);
  });

  test('with none but staged policies do not count', () => {
    const cluster = new Cluster(
      port(1),
      resource('stagedglobalnetworkpolicies', 'p', { spec: {} }),
      resource('stagednetworkpolicies', 'p', { namespace: 'openstack', spec: {} }),
    );
    expect(tiers(cluster)).toEqual([]);
    expect(cluster.state.policies.size).toBe(0);
  });

  test('that a policy names in a way that is not understood are before all others, and its Allow does not count', () => {
    const cluster = new Cluster(
      port(1),
      tier('a', { order: -1000 }),
      globalPolicy('a', { tier: 'a' }),
      globalPolicy('p', { tier: 7, ingress: [{ action: 'Allow' }, { action: 'Deny', protocol: 6 }] }),
    );
    expect(tiers(cluster)).toEqual(['(p)deny', 'a(a)deny']);
    expect(cluster.rules('p')).toEqual([{ action: 'deny', protocol: 6, source: {}, destination: {} }]);
  });
});

describe('policies of a tier', () => {
  test('stand by order, those without after them, then by name, namespace and kind, byte by byte', () => {
    const cluster = new Cluster(
      port(1),
      globalPolicy('z', { order: -1 }),
      globalPolicy('b', { order: 1 }),
      globalPolicy('a', { order: 1 }),
      networkPolicy('a', { order: 1 }),
      globalPolicy('B', { order: 1 }),
      globalPolicy('y', {}),
      globalPolicy('x', { order: null }),
      globalPolicy('\ufb00', { order: 2 }),
      globalPolicy('\u{10000}', { order: 2 }),
    );
    const [list] = cluster.workload(1)!.policy.ingress;
    expect(list?.policies).toEqual([
      'GlobalNetworkPolicy//z',
      'GlobalNetworkPolicy//B',
      'GlobalNetworkPolicy//a',
      'NetworkPolicy/openstack/a',
      'GlobalNetworkPolicy//b',
      'GlobalNetworkPolicy//\ufb00',
      'GlobalNetworkPolicy//\u{10000}',
      'GlobalNetworkPolicy//x',
      'GlobalNetworkPolicy//y',
    ]);
  });

  test('move with their order and their tier', () => {
    const cluster = new Cluster(port(1), globalPolicy('p', { order: 1 }), globalPolicy('q', { order: 2 }));
    expect(tiers(cluster)).toEqual(['default(p q)deny']);
    cluster.put(globalPolicy('p', { order: 3 }));
    expect(tiers(cluster)).toEqual(['default(q p)deny']);
    const change = cluster.put(globalPolicy('p', { order: 3, tier: 'x' }));
    expect(tiers(cluster)).toEqual(['default(q)deny', 'x(p)deny']);
    expect(change.policies.get('GlobalNetworkPolicy//p' as never)).toMatchObject({ tier: 'x' });
  });

  test('are there once, though one name is two kinds', () => {
    const cluster = new Cluster(port(1), globalPolicy('p', { ingress: [{ action: 'Deny' }] }), networkPolicy('p', { ingress: [{ action: 'Allow' }] }));
    expect(new Set(cluster.state.policies.keys())).toEqual(new Set(['GlobalNetworkPolicy//p', 'NetworkPolicy/openstack/p']));
    cluster.put(gone(globalPolicy('p', {})));
    expect([...cluster.state.policies.keys()]).toEqual(['NetworkPolicy/openstack/p']);
  });
});

describe('a policy', () => {
  test('is handed on while it governs an endpoint of this host', () => {
    const group = securityGroup('web', { ingress: [{ action: 'Allow' }] });
    const cluster = new Cluster(group, port(1, { groups: ['web'], host: 'host-2' }), port(2));
    expect(cluster.state.policies.size).toBe(0);
    const change = cluster.put(port(2, { groups: ['web'] }));
    expect([...change.policies.keys(), ...change.workloads.keys()]).toEqual([
      'NetworkPolicy/openstack/ossg.default.web',
      'openstack/openstack/vm-0002/port-0002',
    ]);
    cluster.put(port(2));
    expect(cluster.state.policies.size).toBe(0);
  });

  test('of another namespace governs nobody here', () => {
    const cluster = new Cluster(port(1), networkPolicy('p', {}, 'other'));
    expect(tiers(cluster)).toEqual([]);
  });

  test('that governs one direction says nothing of the other, and asks for no sets for it', () => {
    const rules = { ingress: [{ action: 'Allow', source: { selector: 'has(a)' } }], egress: [{ action: 'Allow', destination: { selector: 'has(b)' } }] };
    const cluster = new Cluster(port(1), globalPolicy('p', { ...rules, types: ['Egress'] }));
    expect(cluster.rules('p')).toEqual([]);
    expect(cluster.rules('p', 'egress')).toHaveLength(1);
    expect(cluster.state.ipSets.size).toBe(1);
    const change = cluster.put(globalPolicy('p', { ...rules, types: ['Ingress'] }));
    expect([change.ipSets.size, change.policies.size, change.workloads.size]).toEqual([2, 1, 1]);
    expect([tiers(cluster), tiers(cluster, 'egress')]).toEqual([['default(p)deny'], []]);
  });

  test('with a hint to be everywhere is not, and with or without it says the same', () => {
    const cluster = new Cluster(globalPolicy('p', { performanceHints: ['AssumeNeededOnEveryNode'] }));
    expect(isNothing(cluster.put(globalPolicy('q', { performanceHints: ['AssumeNeededOnEveryNode'] })))).toBe(true);
    cluster.put(port(1));
    expect(isNothing(cluster.put(globalPolicy('p', {})))).toBe(true);
  });

  test('may change and begin to match in one batch', () => {
    const cluster = new Cluster(port(1, { labels: { a: '' } }), globalPolicy('p', { selector: 'has(b)', ingress: [{ action: 'Allow' }] }));
    cluster.put(globalPolicy('p', { selector: 'has(b)', ingress: [{ action: 'Deny' }] }), port(1, { labels: { b: '' } }));
    expect(tiers(cluster)).toEqual(['default(p)deny']);
    expect(cluster.rules('p')).toMatchObject([{ action: 'deny' }]);
  });

  test.each([0, 1])('and its endpoint may go in either order', (first) => {
    const pair = [gone(port(1)), gone(globalPolicy('p', {}))];
    const cluster = new Cluster(port(1), globalPolicy('p', { ingress: [{ action: 'Allow', source: { selector: 'all()' } }] }));
    cluster.put(pair[first]!);
    cluster.put(pair[1 - first]!);
    expect(cluster.state.content()).toEqual(new Cluster().state.content());
  });

  test('whose selector stops parsing is absent until it parses again, and is named meanwhile', () => {
    const cluster = new Cluster(port(1), globalPolicy('p', { selector: 'has(projectcalico.org/namespace)' }));
    const [key] = globalPolicy('p', {});
    cluster.put(globalPolicy('p', { selector: 'role == ' }));
    expect([tiers(cluster), cluster.state.policies.size]).toEqual([[], 0]);
    expect(cluster.defects.get(key)).toContain('spec.selector');
    cluster.put(globalPolicy('p', {}));
    expect([tiers(cluster), cluster.defects.size]).toEqual([['default(p)deny'], 0]);
  });

  test('of which a rule is not understood keeps its others, and harms no other policy', () => {
    const good = globalPolicy('good', { ingress: [{ action: 'Allow', protocol: 6 }] });
    const cluster = new Cluster(
      port(1),
      good,
      globalPolicy('bad', {
        ingress: [
          { action: 'Allow', source: { nets: ['x'] } },
          { action: 'Deny', protocol: 17 },
        ],
      }),
    );
    expect(cluster.rules('bad')).toEqual([{ action: 'deny', protocol: 17, source: {}, destination: {} }]);
    expect(cluster.rules('good')).toHaveLength(1);
    expect([...cluster.defects.values()]).toEqual(['spec.ingress[0] source nets holds "x", which is not an address or prefix']);
  });
});

describe('the smallest step', () => {
  const group = (...rules: object[]) => securityGroup('web', { ingress: rules });
  const cluster = () =>
    new Cluster(
      group({ action: 'Allow', protocol: 6 }),
      port(1, { groups: ['web'] }),
      port(2, { groups: ['web'] }),
      port(3, { groups: ['web'], host: 'host-2' }),
    );

  test('a rule that changes is its policy, and nothing of the endpoints', () => {
    const change = cluster().put(group({ action: 'Allow', protocol: 17 }));
    expect([change.policies.size, change.workloads.size, change.ipSets.size]).toEqual([1, 0, 0]);
  });
  test('a value written again, with another annotation, differently laid out or with fields that mean nothing, is nothing', () => {
    const held = cluster();
    const [key, value] = group({ action: 'Allow', protocol: 6 });
    const resourceOf = JSON.parse(value!) as { metadata: object; spec: object };
    expect(isNothing(held.put([key, value]))).toBe(true);
    expect(isNothing(held.put([key, JSON.stringify(resourceOf, null, 2)]))).toBe(true);
    expect(isNothing(held.put([key, JSON.stringify({ ...resourceOf, metadata: { ...resourceOf.metadata, annotations: { a: 'b' }, uid: '1' } })]))).toBe(true);
    expect(isNothing(held.put(port(1, { groups: ['web'], annotations: { a: 'b' }, node: 'other', workload: 'other', endpoint: 'other' })))).toBe(true);
    expect(isNothing(held.put(port(3, { groups: ['web'], host: 'host-2', mac: 'fa:16:3e:00:00:09' })))).toBe(true);
  });
  test('gone and back, back and gone, and back again within one flush, are nothing', () => {
    const held = cluster();
    const [one, two] = [port(1, { groups: ['web'] }), port(9, { groups: ['web'] })];
    expect(isNothing(held.put(gone(one), one))).toBe(true);
    expect(isNothing(held.put(two, gone(two)))).toBe(true);
    expect(isNothing(held.put(gone(one), one, gone(one), one))).toBe(true);
    const policy = group({ action: 'Allow', protocol: 6 });
    expect(isNothing(held.put(gone(policy), group({ action: 'Deny' }), policy))).toBe(true);
    expect(isNothing(held.put(profile('x', {}), gone(profile('x', {}))))).toBe(true);
  });
  test('keys that do not concern policy are nothing', () => {
    const held = cluster();
    const keys = [
      '/calico/felix/v2/no-region/host/x/status',
      '/calico/resources/v3/projectcalico.org/nodes/x',
      '/calico/resources/v3/projectcalico.org/unknown/x',
      '/calico/resources/v3/projectcalico.org/tiers/a/b',
      '',
    ];
    for (const key of keys) expect(isNothing(held.put([key, '{}']))).toBe(true);
    expect(held.defects.size).toBe(0);
  });
});

describe('profiles', () => {
  const denies = [{ action: 'deny', source: {}, destination: {} }];

  test('come after the tiers in the endpoint’s order, and what they share is handed on once', () => {
    const cluster = new Cluster(
      profile('p', { ingress: [{ action: 'Allow' }] }),
      profile('q', {}),
      profile('unused', {}),
      port(1, { profiles: ['q', 'p'] }),
      port(2, { profiles: ['p'] }),
    );
    expect(cluster.workload(1)?.policy.profiles).toEqual(['q', 'p']);
    expect(new Set(cluster.state.profiles.keys())).toEqual(new Set(['p', 'q']));
  });

  test('that do not exist, or are not understood, deny in their place, until they are', () => {
    const cluster = new Cluster(port(1, { profiles: ['p', 'q'] }), profile('q', { ingress: [{ action: 'Allow', protocol: 'x' }] }));
    for (const id of ['p', 'q']) expect(cluster.state.profiles.get(id as never)).toEqual({ id, ingress: denies, egress: denies });
    expect(cluster.workload(1)?.policy.profiles).toEqual(['p', 'q']);
    expect(cluster.defects.get(port(1)[0])).toBe('profile "p" does not exist; it denies everything in its place');
    cluster.put(profile('p', { egress: [{ action: 'Allow' }] }), profile('q', {}));
    expect(cluster.state.profiles.get('p' as never)).toMatchObject({ ingress: [], egress: [{ action: 'allow' }] });
    expect(cluster.defects.size).toBe(0);
    cluster.put(gone(profile('p', {})));
    expect(cluster.state.profiles.get('p' as never)).toMatchObject({ ingress: denies });
    expect(cluster.defects.size).toBe(1);
  });

  test('one allows everything without being in the datastore, and cannot be changed there', () => {
    const id = 'projectcalico-default-allow';
    const allows = [{ action: 'allow', source: {}, destination: {} }];
    const cluster = new Cluster(port(1, { profiles: [id] }));
    expect(cluster.state.profiles.get(id as never)).toEqual({ id, ingress: allows, egress: allows });
    expect(isNothing(cluster.put(profile(id, { ingress: [{ action: 'Deny' }], labelsToApply: { a: 'b' } })))).toBe(true);
    expect(cluster.defects.size).toBe(1);
  });

  test('of host endpoints are theirs too', () => {
    const cluster = new Cluster(hostEndpoint('h', { interfaceName: 'eth0', profiles: ['p'] }));
    expect(cluster.state.profiles.get('p' as never)).toMatchObject({ ingress: denies });
    cluster.put(gone(hostEndpoint('h', {})));
    expect(cluster.state.profiles.size).toBe(0);
  });
});
