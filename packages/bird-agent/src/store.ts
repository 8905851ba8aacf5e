// The datastore's BGP resources as they were understood. Each value is decoded once, when it comes.
import { takeEach } from '@calico-openstack/agent';
import { bgpPlurals, type Cidr, type Decoded, parseResourceKey, resourcePrefix } from '@calico-openstack/datamodel';
import type { Change } from '@calico-openstack/etcd';
import type { Resources } from './plan/facts.ts';
import { type BgpConfiguration, decodeBgpConfiguration } from './resources/bgp-configuration.ts';
import { type BgpFilter, decodeBgpFilter } from './resources/bgp-filter.ts';
import { type BgpPeer, decodeBgpPeer, type PeerRefusal } from './resources/bgp-peer.ts';
import { decodeIpPool } from './resources/ip-pool.ts';
import { type Departure, decodeDeparture } from './resources/live-migration.ts';
import { decodeNode, type Node } from './resources/node.ts';

/** What the agent follows. */
export const followedPrefixes = bgpPlurals.map((plural) => resourcePrefix(plural));

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

  const outdated = new Map<string, string>();

  /** A value that is not understood does not take the place of one that was: a slip in one resource must not end the sessions that rest on it. */
  function keep<T extends { readonly ok: true } | { readonly ok: false; readonly reason: string }>(
    kept: Map<string, T>,
    kind: string,
    name: string,
    value: Uint8Array | undefined,
    decode: (bytes: Uint8Array) => T,
  ): boolean {
    outdated.delete(`${kind} ${name}`);
    if (value === undefined) return kept.delete(name);
    const now = decode(value);
    if (!now.ok && kept.get(name)?.ok) outdated.set(`${kind} ${name}`, now.reason);
    else kept.set(name, now);
    return true;
  }

  function take({ key, value }: Change): boolean {
    const parsed = parseResourceKey(key);
    switch (parsed?.plural) {
      case 'nodes':
        return keep(nodes, 'Node', parsed.name, value, (bytes) => decodeNode(parsed.name, bytes));
      case 'bgpconfigurations':
        return keep(configurations, 'BGPConfiguration', parsed.name, value, decodeBgpConfiguration);
      case 'bgppeers':
        return keep(peers, 'BGPPeer', parsed.name, value, (bytes) => decodeBgpPeer(parsed.name, bytes));
      case 'bgpfilters':
        return keep(filters, 'BGPFilter', parsed.name, value, (bytes) => decodeBgpFilter(parsed.name, bytes));
      case 'ippools':
        return keep(pools, 'IPPool', parsed.name, value, decodeIpPool);
      case 'livemigrations':
        return keep(departures, 'LiveMigration', `${parsed.namespace}/${parsed.name}`, value, decodeDeparture);
      default:
        return false;
    }
  }

  return {
    resources: { nodes, configurations, peers, filters, pools, departures, outdated },
    apply(changes) {
      let matters = false;
      const known = nodes.size;
      const faults = takeEach(
        changes,
        (change) => {
          matters = take(change) || matters;
        },
        onFault,
      );
      if (nodes.size > known) sortByName(nodes);
      return matters || faults > 0;
    },
  };
}

/** Puts a map's entries in order of their names; they nearly are. */
function sortByName<T>(map: Map<string, T>): void {
  const names = [...map.keys()];
  if (names.every((name, index) => index === 0 || names[index - 1]! < name)) return;
  const entries = [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  map.clear();
  for (const [name, value] of entries) map.set(name, value);
}
