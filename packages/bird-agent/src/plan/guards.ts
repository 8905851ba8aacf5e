// Collects the data of the guards (bird/guards.ts): the prefixes for which routes are refused, and the workloads that are migrating.
import { addressOf, type Cidr, familyOf, type IpAddress, type IpFamily, isHostCidr, prefixLength } from '@calico-openstack/addresses';
import type { Guards } from '../bird/configuration.ts';
import type { KeptFlatMap } from '../kept.ts';
import type { Advertisement } from '../resources/bgp-configuration.ts';
import type { Node } from '../resources/node.ts';
import type { Host, Resources } from './facts.ts';

/** The least length of a workload prefix. A shorter one is a mistake and would let everything through. */
const leastLength = 2;

/** What the guards are computed from. */
export type GuardsInput = {
  readonly own: Node;
  readonly others: readonly Node[];
  readonly host: Host;
  readonly pools: Resources['pools'];
  readonly advertisements: readonly Advertisement[];
  /** The hosts' own addresses in sessions with workloads. */
  readonly peeringAddresses: readonly IpAddress[];
  /** The addresses of BGPPeers with which this host has sessions, and which are no Nodes. */
  readonly peers: readonly IpAddress[];
  /** BGPConfiguration's patterns of interfaces to ignore. */
  readonly ignoredInterfaces: readonly string[];
};

/** Bridges that container engines and libvirt create for themselves. Their networks are the same on every host, lead nowhere, and may equal a tenant's. */
const privateBridges = ['docker*', 'podman*', 'virbr*', 'lxcbr*', 'lxdbr*', 'cni*'];

function matchesPattern(name: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.\\-]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

/**
 * The guards of a family.
 * @param keptHosts remembers the addresses of the other hosts' Nodes
 */
export function guardsOf(family: IpFamily, input: GuardsInput, keptHosts: KeptFlatMap<Node, IpAddress>): Guards {
  const { own, others, host, pools, advertisements, peeringAddresses, peers, ignoredInterfaces } = input;
  const ofFamily = <T extends Cidr | IpAddress>(values: readonly T[]): readonly T[] => [...new Set(values.filter((value) => familyOf(value) === family))];
  const ownNode = own.addresses[family];
  const ownAddresses = new Set(ofFamily([...host.addresses.map(addressOf), ...(ownNode ? [ownNode.address] : []), ...peeringAddresses]));
  const needed = new Set(ofFamily([...host.datastoreAddresses, ...peers]));
  const nodes = keptHosts(others, JSON.stringify([...ownAddresses, '', ...needed]), ({ addresses }) => {
    const address = addresses[family]?.address;
    return address === undefined || ownAddresses.has(address) || needed.has(address) ? [] : [address];
  });
  const hosts = [...nodes, ...[...needed].filter((address) => !ownAddresses.has(address))];
  const offered = [...host.workloadPrefixes, ...host.exportPrefixes, ...[...pools.values()].flatMap((pool) => (pool.ok ? [pool.value] : []))];
  const ignored = [...privateBridges, ...ignoredInterfaces];
  const guarded = host.interfaceNetworks
    .filter(({ interface: name }) => !ignored.some((pattern) => matchesPattern(name, pattern)))
    .map(({ network }) => network);
  return {
    own: [...ownAddresses],
    networks: ofFamily([...guarded, ...(ownNode ? [ownNode.network] : [])]).filter((network) => !isHostCidr(network)),
    hosts,
    moving: ofFamily(host.moving),
    workloads: ofFamily([...offered, ...advertisements.map(({ cidr }) => cidr)])
      .filter((prefix) => prefixLength(prefix) >= leastLength)
      .toSorted(),
  };
}
