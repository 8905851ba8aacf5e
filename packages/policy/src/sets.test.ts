// Which addresses and ports are in the IP sets that rules use.
import { describe, expect, test } from 'vitest';
import {
  Cluster,
  globalNetworkSet,
  globalPolicy,
  gone,
  hostEndpoint,
  isNothing,
  networkPolicy,
  networkSet,
  port,
  profile,
  resource,
} from './testing/resources.ts';

const remote = { host: 'host-2' };
const from = (selector: string, more: object = {}) => globalPolicy('p', { ingress: [{ action: 'Allow', source: { selector, ...more } }] });
/** The members of the source set of policy `p`'s first ingress rule. */
const members = (cluster: Cluster) => cluster.members(cluster.rules('p')?.[0]?.source.sets?.[0]);

describe('a set of addresses', () => {
  test('holds all addresses of matching endpoints of the whole cluster, once each, and no prefix', () => {
    const cluster = new Cluster(
      from("a == 'x'"),
      port(1, { labels: { a: 'x' }, ipNetworks: ['10.0.0.1/32', '2001:db8::1', '10.0.0.1'] }),
      port(2, { labels: { a: 'x' }, ...remote, ipNetworks: ['10.0.0.1/32', '10.7.0.5/24'] }),
      port(3, { labels: { a: 'y' }, ...remote }),
    );
    expect(members(cluster)).toEqual(['10.0.0.1/32', '2001:db8::1/128']);
  });

  test.each(['policy', 'profile'] as const)('keeps an address that two endpoints have until both are gone: used by a %s', (user) => {
    const rules = { ingress: [{ action: 'Allow', source: { selector: 'has(a)' } }] };
    const cluster = new Cluster(user === 'policy' ? globalPolicy('p', rules) : profile('p', rules), port(9, { profiles: ['p'] }));
    const ingress = () => cluster.members([...cluster.state.policies.values(), ...cluster.state.profiles.values()][0]?.ingress[0]?.source.sets?.[0]);
    const [one, other] = [port(1, { labels: { a: '' }, ipNetworks: ['10.1.0.1'] }), port(2, { labels: { a: '' }, ipNetworks: ['10.1.0.2'] })];
    cluster.put(one, other);
    expect(ingress()).toEqual(['10.1.0.1/32', '10.1.0.2/32']);
    cluster.put(port(2, { labels: { a: '' }, ipNetworks: ['10.1.0.1'] }));
    expect(ingress()).toEqual(['10.1.0.1/32']);
    const change = cluster.put(gone(one));
    expect(change.ipSets.size).toBe(0);
    expect(ingress()).toEqual(['10.1.0.1/32']);
    cluster.put(gone(other));
    expect(ingress()).toEqual([]);
  });

  test('loses an address that two have when the label that one inherits goes, and only then', () => {
    const inherited = (labels: object) => profile('q', { labelsToApply: labels });
    const cluster = new Cluster(
      from("a == 'x'"),
      inherited({ a: 'x' }),
      port(1, { profiles: ['q'], ipNetworks: ['10.1.0.1'] }),
      port(2, { labels: { a: 'x' }, ipNetworks: ['10.1.0.1'] }),
    );
    expect(members(cluster)).toEqual(['10.1.0.1/32']);
    expect(cluster.put(inherited({ a: 'y' })).ipSets.size).toBe(0);
    cluster.put(port(2, { ipNetworks: ['10.1.0.1'] }));
    expect(members(cluster)).toEqual([]);
    cluster.put(inherited({ a: 'x' }));
    expect(members(cluster)).toEqual(['10.1.0.1/32']);
  });

  test('holds the prefixes of network sets as they are, nested ones and the whole world too', () => {
    const cluster = new Cluster(
      from("a == 'x'"),
      port(1),
      globalNetworkSet('one', { a: 'x' }, ['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0', '0.0.0.0/1', '::/0']),
      globalNetworkSet('two', { a: 'x' }, ['10.1.0.0/16', '10.1.2.0/24']),
    );
    expect(members(cluster)).toEqual(['0.0.0.0/0', '0.0.0.0/1', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '::/0']);
    cluster.put(globalNetworkSet('one', { a: 'x' }, ['10.2.0.0/16']));
    expect(members(cluster)).toEqual(['10.1.0.0/16', '10.1.2.0/24', '10.2.0.0/16']);
    cluster.put(gone(globalNetworkSet('two', {}, [])));
    expect(members(cluster)).toEqual(['10.2.0.0/16']);
  });

  test('changes by what changed', () => {
    const nets = Array.from({ length: 300 }, (_, number) => `10.${number >> 8}.${number & 255}.0/24`);
    const cluster = new Cluster(from("a == 'x'"), port(1), globalNetworkSet('s', { a: 'x' }, nets));
    const change = cluster.put(globalNetworkSet('s', { a: 'x' }, [...nets.slice(1), '192.0.2.0/24']));
    expect([...change.ipSets.values()]).toEqual([{ change: 'members', kind: 'addresses', added: ['192.0.2.0/24'], removed: ['10.0.0.0/24'] }]);
    expect([change.policies.size, change.workloads.size]).toEqual([0, 0]);
  });

  test('is one for rules that ask for the same, in whatever words', () => {
    const cluster = new Cluster(
      port(1),
      globalPolicy('p', {
        ingress: [
          { action: 'Allow', source: { selector: "a == 'x' && b=='y'" } },
          { action: 'Deny', destination: { selector: '(b == "y") && a in {"x"}' } },
        ],
      }),
      globalPolicy('q', { egress: [{ action: 'Deny', destination: { notSelector: "!(a != 'x' || b != 'y')" } }] }),
    );
    expect(cluster.state.ipSets.size).toBe(1);
    cluster.put(gone(globalPolicy('p', {})));
    expect(cluster.state.ipSets.size).toBe(1);
    cluster.put(gone(globalPolicy('q', {})));
    expect(cluster.state.ipSets.size).toBe(0);
  });

  test('of the same selector in two namespaces is two', () => {
    const rules = { ingress: [{ action: 'Allow', source: { selector: 'has(a)' } }] };
    const cluster = new Cluster(
      port(1, { labels: { a: '' } }),
      port(2, { namespace: 'other', labels: { a: '' } }),
      networkPolicy('p', rules),
      networkPolicy('q', rules, 'other'),
    );
    expect(members(cluster)).toEqual(['10.0.0.1/32']);
    expect(cluster.members(cluster.rules('q')?.[0]?.source.sets?.[0])).toEqual(['10.0.0.2/32']);
  });

  test('survives its policy’s rewriting, and goes and comes with its last user', () => {
    const cluster = new Cluster(from("a == 'x'"), port(1), port(2, { labels: { a: 'x' }, ...remote }));
    expect(cluster.put(from("a == 'x'", { nets: ['10.0.0.0/8'] })).ipSets.size).toBe(0);
    const [id] = cluster.state.ipSets.keys();
    expect(cluster.put(gone(port(1))).ipSets.get(id!)).toEqual({ change: 'removed' });
    expect(cluster.put(port(1)).ipSets.get(id!)).toEqual({ change: 'whole', kind: 'addresses', members: new Set(['10.0.0.2/32']) });
  });

  test('does not change when a member goes and comes, or comes and goes, within one flush', () => {
    const [there, other] = [port(2, { labels: { a: 'x' }, ...remote }), port(3, { labels: { a: 'x' }, ...remote })];
    const cluster = new Cluster(from("a == 'x'"), port(1), there);
    expect(isNothing(cluster.put(gone(there), there))).toBe(true);
    expect(isNothing(cluster.put(other, gone(other)))).toBe(true);
    expect(isNothing(cluster.put(port(2, { labels: { a: 'y' }, ...remote }), there))).toBe(true);
    expect(members(cluster)).toEqual(['10.0.0.2/32']);
  });

  test('of host endpoints holds what they expect, of other hosts’ too', () => {
    const cluster = new Cluster(
      from('has(hep)'),
      port(1),
      hostEndpoint('here', { interfaceName: 'eth0', expectedIPs: ['10.2.0.1'] }, { hep: '' }),
      hostEndpoint('there', { node: 'host-2', expectedIPs: ['10.2.0.2', '2001:db8::2'] }, { hep: '' }),
      hostEndpoint('no-address', { interfaceName: 'eth1' }, { hep: '' }),
    );
    expect(members(cluster)).toEqual(['10.2.0.1/32', '10.2.0.2/32', '2001:db8::2/128']);
  });

  test('of everybody holds everybody with an address', () => {
    const cluster = new Cluster(from('all()'), port(1), globalNetworkSet('s', {}, ['192.0.2.0/24']));
    expect(members(cluster)).toEqual(['10.0.0.1/32', '192.0.2.0/24']);
  });

  test('of a namespace holds its network sets, which bring no label for it', () => {
    const cluster = new Cluster(
      networkPolicy('p', { ingress: [{ action: 'Allow', source: { selector: "ag == 'x'" } }] }),
      port(1),
      networkSet('s', { ag: 'x' }, ['192.0.2.1']),
      networkSet('s', { ag: 'x' }, ['192.0.2.2'], 'other'),
      globalNetworkSet('s', { ag: 'x' }, ['192.0.2.3']),
    );
    expect(members(cluster)).toEqual(['192.0.2.1/32']);
  });
});

describe('a set of named ports', () => {
  const web = (protocol: string, number = 80) => ({ name: 'web', protocol, port: number });
  const to = (destination: object, protocol: unknown = 'TCP') => globalPolicy('p', { egress: [{ action: 'Allow', protocol, destination }] });
  const rule = (cluster: Cluster) => cluster.rules('p', 'egress')?.[0]?.destination;
  const named = (cluster: Cluster) => rule(cluster)?.namedPorts?.map((id) => cluster.members(id));

  test('holds address, protocol and port of every endpoint that has one of that name and protocol', () => {
    const cluster = new Cluster(
      to({ ports: ['web'] }),
      port(1, { ports: [web('TCP'), web('TCP'), web('UDP'), { name: 'dns', protocol: 'TCP', port: 53 }], ipNetworks: ['10.0.0.1', '2001:db8::1'] }),
      port(2, { ports: [web('TCP', 8080)], ...remote }),
      port(3, { ports: [web('SCTP')], ...remote }),
      hostEndpoint('h', { node: 'host-2', expectedIPs: ['10.2.0.1'], ports: [web('TCP')] }),
      globalNetworkSet('s', {}, ['192.0.2.0/24']),
    );
    expect(rule(cluster)).toEqual({ namedPorts: [expect.any(String)] });
    expect(named(cluster)).toEqual([['10.0.0.1,6,80', '10.0.0.2,6,8080', '10.2.0.1,6,80', '2001:db8::1,6,80']]);
  });

  test('is one for all names of a list, in any order, so that a rule does not become one for each pair of names', () => {
    const names = (letter: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${letter}${index}`);
    const both = (source: string[], destination: string[]) =>
      globalPolicy('p', { egress: [{ action: 'Allow', protocol: 'TCP', source: { ports: source }, destination: { ports: destination, notPorts: source } }] });
    const cluster = new Cluster(
      both(names('a', 1000), names('b', 1000)),
      port(1, {
        ports: [
          { ...web('TCP'), name: 'b7' },
          { ...web('TCP', 81), name: 'b999' },
          { ...web('TCP', 82), name: 'b1000' },
        ],
      }),
    );
    expect(named(cluster)).toEqual([['10.0.0.1,6,80', '10.0.0.1,6,81']]);
    const [first] = cluster.rules('p', 'egress')!;
    expect([first!.source.namedPorts, first!.destination.notNamedPorts]).toEqual([[expect.any(String)], first!.source.namedPorts]);
    const reversed = new Cluster(both(names('a', 1000).reverse(), names('b', 1000)), port(1));
    expect(reversed.rules('p', 'egress')![0]!.source).toEqual(first!.source);
  });

  test('without a protocol holds the ports of any', () => {
    const cluster = new Cluster(
      globalPolicy('p', { egress: [{ action: 'Deny', destination: { ports: ['web'] } }] }),
      port(1, { ports: [web('TCP'), web('UDP', 81)] }),
    );
    expect(named(cluster)).toEqual([['10.0.0.1,17,81', '10.0.0.1,6,80']]);
  });

  test('with a selector holds those of whom it matches, and stands for the selector where there are no numbers', () => {
    const ends = [port(1, { ports: [web('TCP')], labels: { a: '' } }), port(2, { ports: [web('TCP')], ...remote })];
    const only = new Cluster(to({ ports: ['web'], selector: 'has(a)' }), ...ends);
    expect(rule(only)).toEqual({ namedPorts: [expect.any(String)] });
    expect(named(only)).toEqual([['10.0.0.1,6,80']]);
    const mixed = new Cluster(to({ ports: ['web', 443], selector: 'has(a)' }), ...ends);
    expect(rule(mixed)).toEqual({ sets: [expect.any(String)], ports: [{ first: 443, last: 443 }], namedPorts: [expect.any(String)] });
    expect(mixed.members(rule(mixed)?.sets?.[0])).toEqual(['10.0.0.1/32']);
  });

  test('negated, alone and beside positive ports, is that of the same endpoints', () => {
    const ends = [port(1, { ports: [web('TCP')], labels: { a: '' } }), port(2, { ports: [web('TCP')], ...remote })];
    const negated = new Cluster(to({ notPorts: ['web'], selector: 'has(a)' }), ...ends);
    expect(rule(negated)).toEqual({ sets: [expect.any(String)], notNamedPorts: [expect.any(String)] });
    expect(negated.members(rule(negated)?.notNamedPorts?.[0])).toEqual(['10.0.0.1,6,80']);
    const conflicting = new Cluster(to({ ports: ['web'], notPorts: ['web', 80] }), ...ends);
    expect(rule(conflicting)).toMatchObject({ namedPorts: rule(conflicting)?.notNamedPorts, notPorts: [{ first: 80, last: 80 }] });
  });

  test('follows ports and labels as they change', () => {
    const cluster = new Cluster(to({ ports: ['web'], selector: 'has(a)' }), port(1), port(2, { ports: [web('TCP')], labels: { a: '' }, ...remote }));
    const change = cluster.put(port(2, { ports: [web('TCP', 81)], labels: { a: '' }, ...remote }));
    expect([...change.ipSets.values()]).toEqual([
      {
        change: 'members',
        kind: 'named-ports',
        added: [{ address: '10.0.0.2', protocol: 6, port: 81 }],
        removed: [{ address: '10.0.0.2', protocol: 6, port: 80 }],
      },
    ]);
    cluster.put(port(2, { ports: [web('TCP', 81)], ...remote }));
    expect(named(cluster)).toEqual([[]]);
  });

  test('keeps a port that two endpoints of one address have', () => {
    const same = { ipNetworks: ['10.9.0.1'], ports: [web('TCP')], ...remote };
    const cluster = new Cluster(to({ ports: ['web'] }), port(1), port(2, same), port(3, same));
    expect(isNothing(cluster.put(gone(port(2, same))))).toBe(true);
    expect(named(cluster)).toEqual([['10.9.0.1,6,80']]);
    cluster.put(gone(port(3, same)));
    expect(named(cluster)).toEqual([[]]);
  });
});

describe('labels', () => {
  const selected = (cluster: Cluster, number: number) => cluster.workload(number)?.policy.ingress.flatMap(({ policies }) => policies) ?? [];
  const policy = globalPolicy('p', { selector: "a == 'x'" });

  test('are an endpoint’s own before its profiles’, and the first profile’s before the next’s', () => {
    const profiles = [profile('q', { labelsToApply: { a: 'x', b: '1' } }), profile('r', { labelsToApply: { a: 'y' } })];
    const cluster = new Cluster(
      policy,
      ...profiles,
      port(1, { profiles: ['q', 'r'] }),
      port(2, { profiles: ['r', 'q'] }),
      port(3, { profiles: ['q'], labels: { a: '' } }),
    );
    expect([1, 2, 3].map((number) => selected(cluster, number).length)).toEqual([1, 0, 0]);
    cluster.put(profile('q', { labelsToApply: {} }));
    expect(selected(cluster, 1)).toEqual([]);
    cluster.put(profile('r', { labelsToApply: { a: 'x' } }), port(3, { profiles: ['q', 'r'] }));
    expect([1, 2, 3].map((number) => selected(cluster, number).length)).toEqual([1, 1, 1]);
    cluster.put(port(1, { profiles: [] }));
    expect([1, 2, 3].map((number) => selected(cluster, number).length)).toEqual([0, 1, 1]);
    cluster.put(gone(profile('r', {})));
    expect([1, 2, 3].map((number) => selected(cluster, number).length)).toEqual([0, 0, 0]);
  });

  test('are inherited from a profile whose rules are not understood', () => {
    const cluster = new Cluster(policy, profile('q', { ingress: 7, labelsToApply: { a: 'x' } }), port(1, { profiles: ['q'] }));
    expect(selected(cluster, 1)).toHaveLength(1);
  });

  test('may be there without a value', () => {
    const cluster = new Cluster(globalPolicy('p', { selector: 'has(a)' }), profile('q', { labelsToApply: { a: '' } }), port(1, { profiles: ['q'] }));
    expect(selected(cluster, 1)).toHaveLength(1);
  });

  test('of the namespace reach its network sets, and no endpoint can bring its own', () => {
    const cluster = new Cluster(
      networkPolicy('p', { ingress: [{ action: 'Allow', source: { namespaceSelector: "team == 'x'" } }] }),
      profile('kns.openstack', { labelsToApply: { 'pcns.team': 'x' } }),
      networkSet('s', {}, ['192.0.2.1']),
      port(1, { profiles: ['kns.openstack'] }),
      port(2, { ...remote, labels: { 'pcns.team': 'x' } }),
    );
    expect(members(cluster)).toEqual(['10.0.0.1/32', '192.0.2.1/32']);
  });

  test('of an endpoint that none of them is text make it absent, and it is named', () => {
    const bad = resource('workloadendpoints', 'host--1-openstack-vm-p', {
      namespace: 'openstack',
      labels: { a: 1 },
      spec: { interfaceName: 'tap1', ipNetworks: ['10.0.0.1'] },
    });
    const cluster = new Cluster(policy, bad);
    expect(cluster.state.workloads.size).toBe(0);
    expect(cluster.defects.get(bad[0])).toContain('labels');
  });
});
