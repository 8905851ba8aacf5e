import { type Cidr, type IpAddress, parseCidr } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reservationsOfBgpPeer, reservationsOfBird, reservationsOfEtcd, reservationsOfHost, reservationsOfNode } from './reservations.ts';
import { ReservedAddresses } from './reserved-addresses.ts';
import { reservationsOfBgpConfiguration } from './workload-peering.ts';

const cidr = (text: string): Cidr => parseCidr(text)!;
const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const isTap = (name: string): boolean => name.startsWith('tap');

describe('what a workload may have', () => {
  const reserved = new ReservedAddresses();
  reserved.set(
    'host',
    reservationsOfHost(
      [
        { is: 'own', prefix: '192.0.2.5/32', device: 'eth0' },
        { is: 'own', prefix: '2001:db8::5/128', device: 'eth0' },
        { is: 'own', prefix: '203.0.113.64/26', device: 'lo' },
        { is: 'own', prefix: '10.65.0.1/32', device: 'tap1' },
        { is: 'own', prefix: '10.65.0.1/32', device: undefined }, // an address of a tap that was deleted
        { is: 'next-hop', prefix: '192.0.2.1/32', device: 'eth0' },
        { is: 'next-hop', prefix: '10.65.0.9/32', device: 'tap1' },
      ],
      isTap,
    ),
  );
  reserved.set('etcd', reservationsOfEtcd(['198.51.100.7' as IpAddress]));

  test.each([
    ['127.0.0.1', 'lies in 127.0.0.0/8, the loopback addresses'],
    ['0.0.0.0/0', 'overlaps 0.0.0.0/8, the unspecified addresses'],
    ['192.0.2.5', 'is an address of this host (eth0)'],
    ['2001:db8::5/128', 'is an address of this host (eth0)'],
    ['192.0.2.1/32', 'is the next hop of a route of this host (eth0)'],
    ['192.0.2.0/30', 'holds 192.0.2.1, the next hop of a route of this host (eth0)'],
    ['203.0.113.66', 'lies in 203.0.113.64/26, an address of this host (lo)'],
    ['203.0.113.0/24', 'holds 203.0.113.64/26, an address of this host (lo)'],
    ['198.51.100.7', 'is an etcd endpoint'],
    ['10.65.0.1', undefined],
    ['10.65.0.9', undefined],
    ['192.0.2.6', undefined],
    ['192.0.2.8/30', undefined],
  ])('%s: %s', (address, obstacle) => {
    expect(reserved.obstacle(address as IpAddress)).toBe(obstacle);
  });

  test('the host’s own addresses are told apart by their flag, not by the holder’s wording', () => {
    const reserving = new ReservedAddresses();
    reserving.set(
      'host',
      new Map([
        [cidr('203.0.113.1'), { whose: 'an address of this host', isThisHosts: true }],
        [cidr('203.0.113.2'), { whose: 'an address of this host' }],
      ]),
    );
    expect(['203.0.113.1', '203.0.113.2', '203.0.113.3'].map((address) => reserving.isThisHosts(address as IpAddress))).toEqual([true, false, false]);
    expect(reserving.set('host', new Map([[cidr('203.0.113.1'), { whose: 'an address of this host' }]]))).toEqual(
      new Set(['203.0.113.1/32', '203.0.113.2/32']),
    );
    expect(reserving.isThisHosts('203.0.113.1' as IpAddress)).toBe(false);
  });
});

test('what two sources reserve stays reserved until both release it, and every change is reported', () => {
  const reserved = new ReservedAddresses();
  const one = new Map([[cidr('192.0.2.1'), { whose: 'a' }]]);
  expect(reserved.set('y', one)).toEqual(new Set(['192.0.2.1/32']));
  expect(reserved.set('x', new Map([[cidr('192.0.2.1'), { whose: 'b' }]]))).toEqual(new Set(['192.0.2.1/32']));
  expect(reserved.obstacle(cidr('192.0.2.1'))).toBe('is b');
  expect(reserved.set('y', one)).toEqual(new Set());
  reserved.set('x', undefined);
  expect(reserved.obstacle(cidr('192.0.2.1'))).toBe('is a');
  expect(reserved.set('y', undefined)).toEqual(new Set(['192.0.2.1/32']));
  expect(reserved.obstacle(cidr('192.0.2.1'))).toBeUndefined();
});

test("BIRD's neighbors are found, but not in comments and strings", () => {
  const text = `
    router id 10.0.0.5; # neighbor 10.9.9.9 as 1;
    protocol bgp up { local as 65000; neighbor 10.0.0.1 as 65001; description "neighbor 10.9.9.8 as 1"; password "a#b"; }
    protocol bgp six { neighbor fd00::1%eth0 port 1790 as 65001; } /* neighbor 10.9.9.7 */
    protocol bgp dynamic { neighbor range 10.1.0.0/16 external; }
    protocol bgp three { neighbor
      10.0.0.3 as 65003; }`;
  expect([...reservationsOfBird(text).keys()].sort()).toEqual(['10.0.0.1/32', '10.0.0.3/32', '10.1.0.0/16', 'fd00::1/128']);
  fc.assert(fc.property(fc.string(), (any) => void reservationsOfBird(`${any} neighbor ${any}`)));
});

test('a session with a workload of the host reserves nothing: the workload is to have its address', () => {
  const text = `
    template bgp calico_session_x { local 169.254.0.179 port 179 as 64512; }
    protocol bgp 'workload4-guests:port-1' from calico_session_x
    {
      local 169.254.0.179 port 179 as 64512;
      neighbor 10.65.0.4 port 179 as 65001;
    }
    protocol bgp 'peer4-workload4-tor' { neighbor 192.0.2.1 as 64500; }
    protocol bgp workload4 { neighbor 192.0.2.2 as 64500; }`;
  expect([...reservationsOfBird(text).keys()]).toEqual(['192.0.2.1/32', '192.0.2.2/32']);
});

test('the hosts’ addresses in sessions with workloads are reserved, those that can be none are not', () => {
  const reserved = (spec: object, name = 'default') => [...reservationsOfBgpConfiguration(name, bytes({ spec })).keys()];
  expect(reserved({ localWorkloadPeeringIPV4: '169.254.0.179', localWorkloadPeeringIPV6: 'FD12::1' })).toEqual(['169.254.0.179/32', 'fd12::1/128']);
  expect(reserved({ localWorkloadPeeringIPV4: '169.254.0.179' }, 'node.host-1')).toEqual([]);
  for (const text of ['127.0.0.1', '224.0.0.1', 'fd12::1', '10.0.0.0/24', 7, null]) expect(reserved({ localWorkloadPeeringIPV4: text })).toEqual([]);
  for (const text of ['fe80::179', '::1', '10.0.0.1', 'ff02::1']) expect(reserved({ localWorkloadPeeringIPV6: text })).toEqual([]);
});

test('Nodes and BGPPeers reserve their addresses, never a prefix', () => {
  const node = { spec: { bgp: { ipv4Address: '10.0.0.5/8', ipv6Address: 'FD00:0::5/64' }, addresses: [{ address: '10.1.0.5/24' }, { address: 7 }, null] } };
  expect([...reservationsOfNode('compute-1', bytes(node))]).toEqual([
    ['10.0.0.5/32', { whose: 'an address of the node compute-1' }],
    ['fd00::5/128', { whose: 'an address of the node compute-1' }],
    ['10.1.0.5/32', { whose: 'an address of the node compute-1' }],
  ]);
  const peer = (peerIP: unknown) => [...reservationsOfBgpPeer('tor', bytes({ spec: { peerIP } })).keys()];
  expect(peer('10.0.0.1')).toEqual(['10.0.0.1/32']);
  expect(peer('10.0.0.1:1790')).toEqual(['10.0.0.1/32']);
  expect(peer('[fd00::1]:1790')).toEqual(['fd00::1/128']);
  expect(peer('fd00::1')).toEqual(['fd00::1/128']);
  expect(peer({})).toEqual([]);
  expect(reservationsOfNode('n', bytes([])).size + reservationsOfBgpPeer('p', new Uint8Array([255])).size).toBe(0);
});
