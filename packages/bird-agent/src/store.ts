// The datastore's BGP resources as they were understood. Each value is decoded once, when it comes.
import { takeEach } from '@calico-openstack/agent';
import { type Cidr, type Decoded, parseResourceKey, resourcePrefix } from '@calico-openstack/datamodel';
import type { Change } from '@calico-openstack/etcd';
import type { Resources } from './plan/facts.ts';
import { type BgpConfiguration, decodeBgpConfiguration } from './resources/bgp-configuration.ts';
import { type BgpFilter, decodeBgpFilter } from './resources/bgp-filter.ts';
import { type BgpPeer, decodeBgpPeer, type PeerRefusal } from './resources/bgp-peer.ts';
import { decodeIpPool } from './resources/ip-pool.ts';
import { type Departure, decodeDeparture } from './resources/live-migration.ts';
import { decodeNode, type Node } from './resources/node.ts';

/** What the agent follows. */
export const followedPrefixes = (['nodes', 'bgpconfigurations', 'bgppeers', 'bgpfilters', 'ippools', 'livemigrations'] as const).map((plural) =>
  resourcePrefix(plural),
);

export interface ResourceStore {
  readonly resources: Resources;
  /** Takes changes in, each by itself; true when they may matter. */
  apply(changes: readonly Change[]): boolean;
}

/** @param onFault told of a value that made its reader throw: a fault of ours, by which the resource counts as absent */
export function resourceStore(onFault: (error: unknown, key: string) => void): ResourceStore {
  const nodes = new Map<string, Decoded<Node>>();
  const configurations = new Map<string, Decoded<BgpConfiguration>>();
  const peers = new Map<string, { readonly ok: true; readonly value: BgpPeer } | PeerRefusal>();
  const filters = new Map<string, Decoded<BgpFilter>>();
  const pools = new Map<string, Decoded<Cidr>>();
  const departures = new Map<string, Decoded<Departure | undefined>>();

  function keep<T>(kept: Map<string, T>, name: string, value: Uint8Array | undefined, decode: (bytes: Uint8Array) => T): boolean {
    if (value === undefined) return kept.delete(name);
    kept.set(name, decode(value));
    return true;
  }

  function take({ key, value }: Change): boolean {
    const parsed = parseResourceKey(key);
    switch (parsed?.plural) {
      case 'nodes':
        return keep(nodes, parsed.name, value, (bytes) => decodeNode(parsed.name, bytes));
      case 'bgpconfigurations':
        return keep(configurations, parsed.name, value, decodeBgpConfiguration);
      case 'bgppeers':
        return keep(peers, parsed.name, value, (bytes) => decodeBgpPeer(parsed.name, bytes));
      case 'bgpfilters':
        return keep(filters, parsed.name, value, (bytes) => decodeBgpFilter(parsed.name, bytes));
      case 'ippools':
        return keep(pools, parsed.name, value, decodeIpPool);
      case 'livemigrations':
        return keep(departures, `${parsed.namespace}/${parsed.name}`, value, decodeDeparture);
      default:
        return false;
    }
  }

  return {
    resources: { nodes, configurations, peers, filters, pools, departures },
    apply(changes) {
      let matters = false;
      const faults = takeEach(
        changes,
        (change) => {
          matters = take(change) || matters;
        },
        onFault,
      );
      return matters || faults > 0;
    },
  };
}
