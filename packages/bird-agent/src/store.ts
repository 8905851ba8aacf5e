// Holds the datastore's BGP resources. Each value is decoded once, when it arrives.

import type { Cidr } from '@calico-openstack/addresses';
import { takeEach } from '@calico-openstack/agent';
import {
  bgpPlurals,
  type Decoded,
  decodeWorkloadEndpoint,
  hostEndpointsPrefix,
  parseResourceKey,
  parseWorkloadEndpointName,
  resourcePrefix,
  sameContent,
  workloadEndpointNamePrefix,
} from '@calico-openstack/datamodel';
import type { Change } from '@calico-openstack/etcd';
import type { Resources } from './plan/facts.ts';
import { type BgpConfiguration, decodeBgpConfiguration } from './resources/bgp-configuration.ts';
import { type BgpFilter, decodeBgpFilter } from './resources/bgp-filter.ts';
import { type BgpPeer, decodeBgpPeer, type PeerRefusal } from './resources/bgp-peer.ts';
import { decodeIpPool } from './resources/ip-pool.ts';
import { type Departure, decodeDeparture } from './resources/live-migration.ts';
import { decodeNode, type Node } from './resources/node.ts';
import { createNodeIndex } from './resources/node-index.ts';
import { type Workload, workloadOf } from './resources/workload.ts';
import { isSameResource, type Understood } from './understood.ts';

/** The prefixes that the agent of a host follows: the resources that matter for BGP, and the host's own endpoints. */
export const followedPrefixes = (region: string | undefined, host: string): readonly string[] => [
  ...bgpPlurals.map((plural) => resourcePrefix(plural)),
  hostEndpointsPrefix(region, workloadEndpointNamePrefix(host)),
];

/** The resources. */
export interface ResourceStore {
  readonly resources: Resources;
  /** Applies changes, each by itself. Returns whether they may matter. */
  apply(changes: readonly Change[]): boolean;
  /** Replaces the present, invalid value by a former one of the same resource if that is valid. Returns whether it is. */
  recall(now: Change, former: Understood): boolean;
  /** By key, the valid values that a restarted agent needs in case the present ones are invalid; undefined when nothing has changed since the last call. */
  toRemember(): ReadonlyMap<string, Understood> | undefined;
}

/** The parts that the store needs. */
export type StoreOptions = {
  /** Called for a value that made its decoder throw. That is a fault of ours; the resource counts as absent. */
  readonly onFault: (error: unknown, key: string) => void;
  /** This host's name. Of the thousands of other Nodes, a valid value is remembered only while the newer one is invalid. */
  readonly ownName: string;
  /** The valid values from before the agent was started. */
  readonly before?: ReadonlyMap<string, Understood>;
};

/** Creates the store. It holds no resources until the first changes. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: a value that is understood changes its map, what is remembered and what is outdated together
export function createResourceStore({ onFault, ownName, before }: StoreOptions): ResourceStore {
  const nodes = new Map<string, Decoded<Node>>();
  const nodeIndex = createNodeIndex();
  const configurations = new Map<string, Decoded<BgpConfiguration>>();
  const peers = new Map<string, { readonly ok: true; readonly value: BgpPeer } | PeerRefusal>();
  const filters = new Map<string, Decoded<BgpFilter>>();
  const pools = new Map<string, Decoded<Cidr>>();
  const departures = new Map<string, Decoded<Departure | undefined>>();
  const workloads = new Map<string, Workload>();

  const outdated = new Map<string, string>();

  const remembered = new Map(before);
  const understood = new Map<string, Understood>();
  let hasNews = false;

  /** Stores a value. An invalid value does not replace a valid one: a mistake in one resource must not end the sessions that depend on it. */
  function keep<T extends { readonly ok: true } | { readonly ok: false; readonly reason: string }>(
    kept: Map<string, T>,
    kind: string,
    name: string,
    { key, value, modRevision }: Change,
    decode: (bytes: Uint8Array) => T,
  ): boolean {
    const id = `${kind} ${name}`;
    const wasOutdated = outdated.delete(id);
    if (wasOutdated || isOwn(kind, name)) hasNews = true;
    const now = value && decode(value);
    if (value === undefined || now === undefined || now.ok) {
      remembered.delete(key);
      if (value === undefined || now === undefined) {
        understood.delete(key);
        return kept.delete(name);
      }
      understood.set(key, { modRevision, value });
      kept.set(name, now);
      return true;
    }
    if (!kept.get(name)?.ok) {
      const last = remembered.get(key);
      const then = last && isSameResource(last, { modRevision, value }) ? decode(last.value) : undefined;
      // An equal refusal stays the same object, so that it need not be examined again.
      if (then?.ok || !sameContent(kept.get(name), now)) kept.set(name, then?.ok ? then : now);
      if (!last || !then?.ok) return true;
      understood.set(key, last);
    }
    outdated.set(id, now.reason);
    hasNews = true;
    return true;
  }

  /** Whether to remember a resource: all but other hosts' Nodes, and no LiveMigration, which lets another host take over a workload's address and so must be valid now. */
  const isOwn = (kind: string, name: string): boolean => kind !== 'LiveMigration' && (kind !== 'Node' || name === ownName);

  /** The workloads' values. An invalid value does not leave the former one in force, because it decides what a guest may announce. They matter only to hosts that peer with workloads. */
  function takeWorkload(namespace: string, name: string, value: Uint8Array | undefined): boolean {
    const key = `${namespace}/${name}`;
    const parts = parseWorkloadEndpointName(name);
    const decoded = value && parts?.host === ownName ? decodeWorkloadEndpoint(value) : undefined;
    const before = workloads.get(key);
    if (decoded?.ok) workloads.set(key, workloadOf(decoded.value));
    else workloads.delete(key);
    const hasWorkloadPeers = [...peers.values()].some((peer) => peer.ok && peer.value.remotes.kind === 'workloads');
    return hasWorkloadPeers && !sameContent(before, workloads.get(key));
  }

  function take(change: Change): boolean {
    const parsed = parseResourceKey(change.key);
    switch (parsed?.plural) {
      case 'nodes': {
        const before = nodes.get(parsed.name);
        const matters = keep(nodes, 'Node', parsed.name, change, (bytes) => decodeNode(parsed.name, bytes));
        nodeIndex.replace(parsed.name, before, nodes.get(parsed.name));
        return matters;
      }
      case 'bgpconfigurations':
        return keep(configurations, 'BGPConfiguration', parsed.name, change, decodeBgpConfiguration);
      case 'bgppeers':
        return keep(peers, 'BGPPeer', parsed.name, change, (bytes) => decodeBgpPeer(parsed.name, bytes));
      case 'bgpfilters':
        return keep(filters, 'BGPFilter', parsed.name, change, (bytes) => decodeBgpFilter(parsed.name, bytes));
      case 'ippools':
        return keep(pools, 'IPPool', parsed.name, change, decodeIpPool);
      case 'workloadendpoints':
        return takeWorkload(parsed.namespace, parsed.name, change.value);
      case 'livemigrations':
        return keep(departures, 'LiveMigration', `${parsed.namespace}/${parsed.name}`, change, decodeDeparture);
      default:
        return false;
    }
  }

  function isRemembered(key: string): boolean {
    const parsed = parseResourceKey(key);
    if (parsed?.plural === 'livemigrations') return false;
    return parsed?.plural !== 'nodes' || parsed.name === ownName || outdated.has(`Node ${parsed.name}`);
  }

  function apply(changes: readonly Change[]): boolean {
    let matters = false;
    const faults = takeEach(
      changes,
      (change) => {
        matters = take(change) || matters;
      },
      onFault,
    );
    return matters || faults > 0;
  }

  return {
    resources: { nodes, nodeIndex, configurations, peers, filters, pools, departures, workloads, outdated },
    apply,
    recall(now, former) {
      remembered.set(now.key, former);
      apply([now]);
      return understood.has(now.key);
    },
    toRemember() {
      if (!hasNews) return undefined;
      hasNews = false;
      return new Map([...understood].filter(([key]) => isRemembered(key)));
    },
  };
}
