// Which addresses a workload of this host owns: none that belong to somebody else, and of an address that several workloads name only one owns it.
import { type Cidr, parseCidr } from '@calico-openstack/addresses';
import { addressPairMacsAnnotation, networkIdAnnotation, ReservedAddresses, type WorkloadId } from '@calico-openstack/datamodel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Cluster, globalPolicy, gone, port, portId, resource } from './testing/resources.ts';

const reserve = (cluster: Cluster, source: 'host' | 'etcd' | 'bird', reserved: Readonly<Record<string, string>>) => {
  cluster.calculation.reserve(
    source,
    new Map(Object.entries(reserved).map(([text, holder]) => [parseCidr(text)!, { whose: holder, isThisHosts: holder.startsWith('an address of this host') }])),
  );
  return cluster.put();
};

describe('an address that nobody may have', () => {
  test.each(['127.0.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.5', '240.0.0.1', '169.254.169.254', 'fe80::1', '::1', '::', 'ff02::1'])(
    '%s is not routed, and the others are',
    (address) => {
      const pair = [`${address}/${address.includes(':') ? 128 : 32}`];
      const cluster = new Cluster(port(1, { ipNetworks: ['10.9.0.1', ...pair], allowedIps: pair }));
      expect(cluster.workload(1)?.routed).toEqual(['10.9.0.1/32']);
      expect(cluster.workload(1)?.refusals).toEqual([expect.stringContaining(`${address} lies in `)]);
      expect(cluster.defects.get(port(1)[0])).toContain(`${address} lies in `);
    },
  );

  test('a prefix in ipNetworks is refused, and is in no set', () => {
    const cluster = new Cluster(
      globalPolicy('p', { ingress: [{ action: 'Allow', source: { selector: "a == 'x'" } }] }),
      port(1, { labels: { a: 'x' }, ipNetworks: ['10.9.0.1', '0.0.0.0/1', '128.0.0.0/1'] }),
    );
    expect(cluster.workload(1)?.routed).toEqual(['10.9.0.1/32']);
    expect(cluster.workload(1)?.refusals).toHaveLength(2);
    expect(cluster.members(cluster.rules('p')?.[0]?.source.sets?.[0])).toEqual(['10.9.0.1/32']);
  });

  test('what the host, etcd or BIRD have goes when they have it, and comes back when they let it go; nobody else is touched', () => {
    const cluster = new Cluster(port(1, { ipNetworks: ['10.9.0.1', '10.9.0.2'] }), port(2));
    for (const source of ['host', 'etcd', 'bird'] as const) {
      const change = reserve(cluster, source, { '10.9.0.2': 'taken', '203.0.113.1': 'elsewhere' });
      expect([...change.workloads.keys()]).toEqual([portId(1)]);
      expect([...change.reserved.keys()].sort()).toEqual(['10.9.0.2/32', '203.0.113.1/32']);
      expect(cluster.workload(1)).toMatchObject({ routed: ['10.9.0.1/32'], refusals: ['10.9.0.2 is taken'] });
      expect([...reserve(cluster, source, {}).workloads.keys()]).toEqual([portId(1)]);
      expect(cluster.workload(1)?.routed).toEqual(['10.9.0.1/32', '10.9.0.2/32']);
      expect(cluster.workload(1)?.refusals).toBeUndefined();
    }
  });

  test('a prefix that the host has takes the addresses in it', () => {
    const cluster = new Cluster(port(1, { ipNetworks: ['10.9.0.1', '10.8.0.1'] }));
    reserve(cluster, 'host', { '10.9.0.0/24': 'an address of this host' });
    expect(cluster.workload(1)).toMatchObject({ routed: ['10.8.0.1/32'], refusals: ['10.9.0.1 lies in 10.9.0.0/24, an address of this host'] });
    reserve(cluster, 'host', {});
    expect(cluster.workload(1)?.routed).toHaveLength(2);
  });

  test('Nodes and BGPPeers have theirs', () => {
    const node = resource('nodes', 'compute-9', { spec: { bgp: { ipv4Address: '10.9.0.1/24' } } });
    const peer = resource('bgppeers', 'tor', { spec: { peerIP: '10.9.0.2:1790' } });
    const cluster = new Cluster(port(1, { ipNetworks: ['10.9.0.1', '10.9.0.2', '10.9.0.3'] }), node, peer);
    expect(cluster.workload(1)?.routed).toEqual(['10.9.0.3/32']);
    expect(cluster.workload(1)?.refusals).toEqual(['10.9.0.1 is an address of the node compute-9', '10.9.0.2 is the BGP peer tor']);
    cluster.put(gone(node), gone(peer));
    expect(cluster.workload(1)?.routed).toHaveLength(3);
  });

  test('a floating IP that is somebody else’s, or stands for an address that is not the workload’s, is none', () => {
    const nat = (internalIP: string, externalIP: string) => ({ internalIP, externalIP });
    const cluster = new Cluster(
      port(1, { ipNetworks: ['10.9.0.1'], ipNATs: [nat('10.9.0.1', '203.0.113.1'), nat('10.9.0.1', '203.0.113.9'), nat('10.0.0.2', '203.0.113.8')] }),
      port(2),
    );
    reserve(cluster, 'host', { '203.0.113.1': 'an address of this host' });
    expect(cluster.workload(1)).toMatchObject({ routed: ['10.9.0.1/32', '203.0.113.9/32'], ipNats: [{ internal: '10.9.0.1', external: '203.0.113.9' }] });
    expect(cluster.workload(1)?.refusals).toEqual(['203.0.113.1 is an address of this host', '10.0.0.2 in ipNATs, for 203.0.113.8, is none of its addresses']);
    reserve(cluster, 'host', { '10.9.0.1': 'an address of this host' });
    expect(cluster.workload(1)).toMatchObject({ routed: [], ipNats: [] });
  });

  test('the host does not answer for an IPv6 gateway that is somebody else’s; a link-local one is the host’s own', () => {
    const cluster = new Cluster(port(1, { ipv6Gateway: '2001:db8::1' }), port(2, { ipv6Gateway: 'fe80::1' }), port(3, { ipNetworks: ['2001:db8::3'] }));
    expect(cluster.workload(2)?.ipv6Gateway).toBe('fe80::1');
    expect(cluster.workload(1)?.ipv6Gateway).toBe('2001:db8::1');
    reserve(cluster, 'host', { '2001:db8::1': 'the next hop of a route of this host' });
    expect(cluster.workload(1)?.ipv6Gateway).toBeUndefined();
    expect(cluster.workload(1)?.refusals?.[0]).toContain('2001:db8::1 is the next hop');
    reserve(cluster, 'host', { '2001:db8::1': 'an address of this host (ns-1234)' });
    expect(cluster.workload(1)).toMatchObject({ ipv6Gateway: '2001:db8::1' });
    expect(cluster.workload(1)?.refusals).toBeUndefined();
  });
});

describe('who of several has an address', () => {
  const at = (day: number) => `2026-01-0${day}T00:00:00Z`;
  const pair = { ipNetworks: ['10.9.0.1'], allowedIps: ['10.9.0.1'] };
  const fixed = { ipNetworks: ['10.9.0.1'] };

  test.each([
    ['a fixed address beats an older pair', { ...pair, created: at(1) }, { ...fixed, created: at(2) }, 2],
    ['of two pairs the older endpoint has it', { ...pair, created: at(2) }, { ...pair, created: at(1) }, 2],
    ['of two fixed ones the older endpoint has it', { ...fixed, created: at(2) }, { ...fixed, created: at(1) }, 2],
    ['of one age the lower id has it', { ...fixed, created: at(1) }, { ...fixed, created: at(1) }, 1],
    ['who tells no age has it last', { ...fixed }, { ...fixed, created: at(1) }, 2],
  ])('%s', (_, one, two, winner) => {
    const cluster = new Cluster(port(1, one), port(2, two));
    const loser = 3 - winner;
    expect([cluster.workload(winner)?.routed, cluster.workload(loser)?.routed]).toEqual([['10.9.0.1/32'], []]);
    expect(cluster.defects.get(port(loser)[0])).toContain(`belongs to ${portId(winner)}`);
  });

  test('an interface is the older endpoint’s', () => {
    const cluster = new Cluster(port(1, { interfaceName: 'tap', created: at(2) }), port(2, { interfaceName: 'tap', created: at(1) }));
    expect([1, 2].map((number) => cluster.workload(number)?.shadowedBy)).toEqual([portId(2), undefined]);
  });

  test('a floating IP is fixed', () => {
    const nat = { ipNetworks: ['10.9.0.7'], ipNATs: [{ internalIP: '10.9.0.7', externalIP: '10.9.0.1' }], created: at(2) };
    const cluster = new Cluster(port(1, { ...pair, created: at(1) }), port(2, nat));
    expect([1, 2].map((number) => cluster.workload(number)?.routed)).toEqual([[], ['10.9.0.7/32', '10.9.0.1/32']]);
  });

  test('who loses a fixed address is told so in its status; that others have its pair is no fault', () => {
    const cluster = new Cluster(port(1, { ...fixed, created: at(1) }), port(2, { ...fixed, created: at(2) }), port(3, { ...pair, created: at(1) }));
    expect([1, 2, 3].map((number) => cluster.workload(number)?.refusals?.length)).toEqual([undefined, 1, undefined]);
  });
});

describe('the gateway of a network', () => {
  test('that another endpoint had before is answered for as soon as that endpoint is gone', () => {
    const cluster = new Cluster(port(1, { ipNetworks: ['2001:db8::1'] }));
    cluster.put(port(2, { ipNetworks: ['2001:db8::9'], ipv6Gateway: '2001:db8::1' }));
    expect(cluster.workload(2)?.ipv6Gateway).toBeUndefined();
    cluster.put(gone(port(1)));
    expect(cluster.workload(2)?.ipv6Gateway).toBe('2001:db8::1');
    cluster.put(port(1, { ipNetworks: ['2001:db8::1'] }));
    expect(cluster.workload(2)?.ipv6Gateway).toBeUndefined();
  });

  const inNetwork = (network: string, more: object) => ({ annotations: { [networkIdAnnotation]: network }, ...more });
  const claiming = { ipNetworks: ['10.9.0.9', '10.9.0.1'], allowedIps: ['10.9.0.1'] };

  test('is no pair of an endpoint of this network, while one of this host has it', () => {
    const [neighbour, claimant] = [port(1, inNetwork('n', { ipv4Gateway: '10.9.0.1' })), port(2, inNetwork('n', claiming))];
    const cluster = new Cluster(claimant);
    expect(cluster.workload(2)?.routed).toHaveLength(2);
    cluster.put(neighbour);
    expect(cluster.workload(2)).toMatchObject({ routed: ['10.9.0.9/32'], refusals: [expect.stringContaining('10.9.0.1 is a gateway of its network')] });
    cluster.put(gone(neighbour));
    expect(cluster.workload(2)?.routed).toHaveLength(2);
  });

  test('takes nobody’s address in another network, nor a fixed one', () => {
    const cluster = new Cluster(
      port(1, inNetwork('mine', { ipv4Gateway: '10.9.0.1' })),
      port(2, inNetwork('other', claiming)),
      port(3, inNetwork('mine', { ipNetworks: ['10.9.0.3'], ipv4Gateway: '10.9.0.3' })),
    );
    expect(cluster.workload(2)?.routed).toHaveLength(2);
    expect(cluster.workload(3)?.routed).toEqual(['10.9.0.3/32']);
  });
});

test('MACs of address pairs are handed on by MAC, without the port’s own; an annotation that is not understood is named, and counts as absent', () => {
  const annotated = (value: unknown) => port(1, { annotations: { [addressPairMacsAnnotation]: JSON.stringify(value) } });
  const cluster = new Cluster(annotated({ '10.9.0.2': ['00:00:5e:00:01:01', 'fa:16:3e:00:00:01'], '10.9.0.1': ['00:00:5E:00:01:01'] }));
  expect(cluster.workload(1)?.pairMacs).toEqual([{ mac: '00:00:5e:00:01:01', addresses: ['10.9.0.1/32', '10.9.0.2/32'] }]);
  cluster.put(annotated({ '10.9.0.2': 'any' }));
  expect(cluster.workload(1)?.pairMacs).toBeUndefined();
  expect(cluster.defects.get(port(1)[0])).toContain(addressPairMacsAnnotation);
});

const universe = [
  '10.9.0.1',
  '10.9.0.2',
  '10.9.0.3',
  '127.0.0.1',
  '224.0.0.1',
  '10.9.0.0/30',
  '0.0.0.0/1',
  '2001:db8::1',
  '2001:db8::2',
  'fe80::1',
  '2001:db8::/64',
  '::/0',
];
const some = fc.uniqueArray(fc.constantFrom(...universe), { minLength: 1, maxLength: 4 });

test('whatever endpoints ask for and others reserve, no address is routed that is reserved, and none twice', () => {
  const endpoint = fc.tuple(
    fc.integer({ min: 1, max: 5 }),
    some,
    some,
    fc.constantFrom(...universe.filter((text) => !text.includes('/'))),
    fc.integer({ min: 1, max: 3 }),
  );
  const step = fc.oneof(
    endpoint.map((value) => ({ endpoint: value })),
    fc.tuple(fc.constantFrom('host' as const, 'bird' as const), some).map((value) => ({ reserve: value })),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const cluster = new Cluster();
      const reserved = new ReservedAddresses();
      for (const each of steps) {
        if ('reserve' in each) {
          const [source, texts] = each.reserve;
          const map = new Map(texts.map((text) => [parseCidr(text)!, { whose: 'taken' }]));
          reserved.set(source, map);
          cluster.calculation.reserve(source, map);
          cluster.put();
        } else {
          const [number, ipNetworks, allowedIps, external, day] = each.endpoint;
          const internal = ipNetworks[0]!.split('/')[0]!;
          const ipNATs = [{ internalIP: internal, externalIP: external }];
          cluster.put(port(number, { ipNetworks, allowedIps, ipNATs, created: `2026-01-0${day}T00:00:00Z` }));
        }
        const routed = [1, 2, 3, 4, 5].flatMap((number) => cluster.workload(number)?.routed ?? []);
        expect(new Set(routed).size).toBe(routed.length);
        for (const cidr of routed) expect(reserved.obstacle(cidr)).toBeUndefined();
        for (const cidr of routed) expect(cidr).toMatch(/\/(32|128)$/);
        expect([...cluster.state.reserved.keys()].sort()).toEqual(
          [...new Set(reserved.within('0.0.0.0/0' as Cidr).concat(reserved.within('::/0' as Cidr)))].sort(),
        );
      }
    }),
  );
});

describe('an address pair that several ports of a network share', () => {
  const at = (day: number) => `2026-01-0${day}T00:00:00Z`;
  const vip = parseCidr('10.9.0.100')!;
  const member = (number: number, more: object = {}) =>
    port(number, { ipNetworks: [`10.9.0.${number}`, '10.9.0.100'], allowedIps: ['10.9.0.100'], created: at(number), ...more });
  const hasIt = (cluster: Cluster): number[] => [1, 2, 3].filter((number) => cluster.workload(number)?.routed.includes(vip));
  const hold = (cluster: Cluster, number: number | undefined) => {
    cluster.calculation.setHolders(new Map([[vip, number === undefined ? undefined : (portId(number) as WorkloadId)]]));
    return cluster.put();
  };

  test('is told with its ports’ ages, also when the other port is on another host, and no longer when it is gone', () => {
    const cluster = new Cluster(member(1));
    expect(cluster.workload(1)?.shared).toBeUndefined();
    const elsewhere = member(3, { host: 'host-2' });
    cluster.put(elsewhere);
    expect(cluster.workload(1)?.shared).toEqual({ addresses: [vip], createdMs: Date.parse(at(1)) });
    cluster.put(gone(elsewhere));
    expect(cluster.workload(1)?.shared).toBeUndefined();
    cluster.put(member(2), member(3));
    cluster.put(gone(member(3)));
    expect(cluster.workload(1)?.shared).toBeDefined();
    cluster.put(port(2, { ipNetworks: ['10.9.0.2'] }));
    expect(cluster.workload(1)?.shared).toBeUndefined();
  });

  test('is not shared by one port that migrates from host to host', () => {
    const cluster = new Cluster(member(1), member(1, { host: 'host-2' }));
    expect(cluster.workload(1)?.shared).toBeUndefined();
  });

  test('belongs to the oldest until the host has found out who holds it, then to that one, or to nobody', () => {
    const cluster = new Cluster(member(1), member(2));
    expect(hasIt(cluster)).toEqual([1]);
    expect([...hold(cluster, 2).workloads.keys()].sort()).toEqual([portId(1), portId(2)]);
    expect(hasIt(cluster)).toEqual([2]);
    hold(cluster, undefined);
    expect(hasIt(cluster)).toEqual([]);
    expect(cluster.defects.get(member(1)[0])).toBeUndefined();
    cluster.calculation.setHolders(new Map());
    cluster.put();
    expect(hasIt(cluster)).toEqual([1]);
  });

  test('is a fixed address of another port: nobody takes it by holding it', () => {
    const cluster = new Cluster(member(1), member(2), port(3, { ipNetworks: ['10.9.0.100'] }));
    expect(cluster.workload(1)?.shared).toBeUndefined();
    hold(cluster, 2);
    expect(hasIt(cluster)).toEqual([3]);
  });

  test('of two networks is shared in neither: a port of another network takes nothing', () => {
    const inNetwork = (network: string) => ({ annotations: { [networkIdAnnotation]: network } });
    const cluster = new Cluster(member(1, inNetwork('m')), member(2, inNetwork('n')));
    expect([1, 2].map((number) => cluster.workload(number)?.shared)).toEqual([undefined, undefined]);
    cluster.put(member(3, inNetwork('n')));
    expect([1, 2, 3].map((number) => cluster.workload(number)?.shared)).toEqual([undefined, undefined, undefined]); // the oldest is of the other network
    hold(cluster, 2);
    expect(hasIt(cluster)).toEqual([1]);
    cluster.put(gone(member(1)));
    expect(hasIt(cluster)).toEqual([2]);
    expect(cluster.workload(3)?.shared).toBeDefined();
  });

  test('is not shared where it is reserved, or a gateway of the network', () => {
    const cluster = new Cluster(member(1, { ipv4Gateway: '10.9.0.100' }), member(2));
    expect([1, 2].map((number) => cluster.workload(number)?.shared)).toEqual([undefined, undefined]);
  });

  test('is held by a port that no longer has it: by nobody', () => {
    const cluster = new Cluster(member(1), member(2), member(3));
    hold(cluster, 3);
    cluster.put(port(3, { ipNetworks: ['10.9.0.3'] }));
    expect(hasIt(cluster)).toEqual([]);
  });
});
