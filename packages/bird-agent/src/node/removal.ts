// Removes the Nodes of hosts that have vanished long ago, if an operator has configured that: each costs all other hosts a session that never comes up.

import type { IpAddress } from '@calico-openstack/addresses';
import { type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import { decodeAgentStatus, felixLastStatusKey, felixStatusKey, resourceKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import { type Compare, type Etcd, EtcdError } from '@calico-openstack/etcd';
import type { Problem, Resources } from '../plan/facts.ts';
import type { Node } from '../resources/node.ts';
import { isAgentsAlone } from './registration.ts';

/** How often to look for hosts that are gone. They must have been gone for days. */
const lookMs = 3_600_000;
const retryMs = 60_000;
/** How many hosts are read in one transaction, with two operations each: below etcd's default limit of 128. */
const hostsAtOnce = 60;

/** Removes Nodes. */
export interface Removal {
  /** The problems of the last look: Nodes that were found and not removed. */
  readonly problems: readonly Problem[];
  /** Looks if it is time. */
  look(): Promise<void>;
}

/** When to remove which Nodes. */
export type RemovalOptions = {
  readonly etcd: Etcd;
  readonly region: string | undefined;
  readonly ownName: string;
  readonly nodes: Resources['nodes'];
  /** A host counts as gone when its Felix has reported nothing for this time. */
  readonly goneMs: number;
  /** The delay before the first look. Established sessions count as signs of life, and need time to come up. */
  readonly waitMs: number;
  /** Those of the addresses that BIRD can reach; undefined when BIRD does not answer. */
  readonly reachable: (addresses: readonly IpAddress[]) => Promise<ReadonlySet<IpAddress> | undefined>;
  readonly log: Logger;
  readonly clock?: Pick<Clock, 'steadyMs' | 'nowMs'>;
};

/** Felix's reports of a host: whether it lives, and when it reported last, with the revision of that report for a comparison. */
type Report = { readonly lives: boolean; readonly last: { readonly atMs: number; readonly modRevision: number } | undefined };

/** A host whose Felix reported once and does not report any more. */
type Gone = { readonly node: Node; readonly last: NonNullable<Report['last']> };

const addressesOf = ({ addresses }: Node): readonly IpAddress[] => ([4, 6] as const).flatMap((family) => addresses[family]?.address ?? []);

/**
 * The signs of life of a host are Felix's report, whose key expires with its lease, a BGP session with it, and a route through it. A Node is removed if there was none for `goneMs`, and if it holds only
 * values that an agent wrote, which its host would write again. The transaction compares the reports once more, so a host that returns at that moment stays.
 */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: the steps of one look, each of which says in a sentence of its own why a Node stays
export function hostRemoval({ etcd, region, ownName, nodes, goneMs, waitMs, reachable, log, clock = systemClock }: RemovalOptions): Removal {
  let problems: readonly Problem[] = [];
  let nextLookMs = clock.steadyMs() + waitMs;
  const said = (key: string, reason: string, effect: string): Problem => ({ key, reason, effect });

  async function reports(names: readonly string[]): Promise<ReadonlyMap<string, Report>> {
    const found = new Map<string, Report>();
    for (let from = 0; from < names.length; from += hostsAtOnce) {
      const some = names.slice(from, from + hostsAtOnce);
      const answer = await etcd.transact(
        [],
        some.flatMap((name) => [{ get: felixStatusKey(region, name) }, { get: felixLastStatusKey(region, name) }]),
      );
      for (const [index, name] of some.entries()) {
        const status = answer.found[index * 2];
        const last = answer.found[index * 2 + 1];
        const report = last && decodeAgentStatus(last.value);
        found.set(name, {
          lives: status !== undefined,
          last: last && report?.ok ? { atMs: Date.parse(report.value.time), modRevision: last.modRevision } : undefined,
        });
      }
    }
    return found;
  }

  /** The hosts that are gone. A report that is older than the Node comes from a wrong clock and does not count. */
  function goneOf(understood: readonly Node[], found: ReadonlyMap<string, Report>): readonly Gone[] {
    return understood.flatMap((node): readonly Gone[] => {
      const report = found.get(node.name);
      if (!report?.last || report.lives || node.madeMs === undefined) return [];
      const { last } = report;
      return last.atMs >= node.madeMs && clock.nowMs() - last.atMs > goneMs ? [{ node, last }] : [];
    });
  }

  async function remove({ node: { name }, last }: Gone): Promise<Problem | undefined> {
    const since = rfc3339Seconds(new Date(last.atMs));
    const key = resourceKey({ plural: 'nodes', name });
    const { found } = await etcd.get(key);
    if (!found) return undefined;
    if (!isAgentsAlone(found.value))
      return said(
        `Node ${name}`,
        `its host has been gone since ${since}`,
        'it holds what an operator has set, and is left alone; delete it if the host is no more',
      );
    const unchanged: readonly Compare[] = [
      { key, modRevision: found.modRevision },
      { key: felixStatusKey(region, name), exists: false },
      { key: felixLastStatusKey(region, name), modRevision: last.modRevision },
    ];
    const { succeeded } = await etcd.transact(unchanged, [{ delete: key }]);
    if (succeeded)
      log.warn({ node: name, since }, 'a Node was removed because its host has been gone for long; if the host returns, its agent creates the Node again');
    return undefined;
  }

  async function lookAround(): Promise<readonly Problem[]> {
    const understood = [...nodes.values()].flatMap((node) => (node.ok ? [node.value] : []));
    const found = await reports(understood.map(({ name }) => name));
    if (!found.get(ownName)?.lives)
      return [
        said(`Felix on ${ownName}`, 'reports nothing: is OpenstackRegion right in bird-agent.cfg?', 'no Node is removed, since no host can be told to be gone'),
      ];
    const silent = goneOf(understood, found);
    if (silent.length === 0) return [];
    if (silent.length * 2 > understood.length)
      return [
        said(
          'Nodes',
          `${silent.length} of ${understood.length} hosts seem to be gone`,
          'none is removed: so many at once are more likely a fault of the reports',
        ),
      ];
    const there = await reachable(silent.flatMap(({ node }) => addressesOf(node)));
    if (!there) return [said('Nodes', 'BIRD cannot be asked which hosts have sessions and routes', 'no Node is removed until it can')];
    const gone = silent.filter(({ node }) => !addressesOf(node).some((address) => there.has(address)));
    const left: Problem[] = [];
    for (const each of gone) left.push(...[await remove(each)].flatMap((problem) => problem ?? []));
    return left;
  }

  return {
    get problems() {
      return problems;
    },
    async look() {
      if (clock.steadyMs() < nextLookMs) return;
      try {
        problems = await lookAround();
        nextLookMs = clock.steadyMs() + lookMs;
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        problems = [
          said(
            'Nodes',
            `Nodes of vanished hosts cannot be looked for: ${error.code}`,
            `tried again every ${retryMs / 1000} s; calico-openstack etcd-roles --remove-hosts-gone gives the rights that it takes`,
          ),
        ];
        nextLookMs = clock.steadyMs() + retryMs;
      }
    },
  };
}
