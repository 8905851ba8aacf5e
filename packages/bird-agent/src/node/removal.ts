// Removes the Nodes of hosts that are gone for long, where an operator has this agent do so: each costs all other hosts a session that never comes up.

import type { IpAddress } from '@calico-openstack/addresses';
import { type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import { decodeAgentStatus, felixLastStatusKey, felixStatusKey, resourceKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import { type Compare, type Etcd, EtcdError } from '@calico-openstack/etcd';
import type { Problem, Resources } from '../plan/facts.ts';
import type { Node } from '../resources/node.ts';
import { isAgentsAlone } from './registration.ts';

/** Hosts are gone for days. */
const lookMs = 3_600_000;
const retryMs = 60_000;
/** Below the number of operations that etcd takes in one transaction (128 unless told otherwise), two a host. */
const hostsAtOnce = 60;

export interface Removal {
  /** What the last look has found and left as it is. */
  readonly problems: readonly Problem[];
  /** Looks, when it is time to. */
  look(): Promise<void>;
}

export type RemovalOptions = {
  readonly etcd: Etcd;
  readonly region: string | undefined;
  readonly ownName: string;
  readonly nodes: Resources['nodes'];
  /** After this long without a word of its Felix a host is gone. */
  readonly goneMs: number;
  /** The first look comes so long after this was made: sessions that stand are a sign of life, and need time to. */
  readonly waitMs: number;
  /** Of these addresses those that BIRD knows to be there; undefined: it cannot be asked. */
  readonly reachable: (addresses: readonly IpAddress[]) => Promise<ReadonlySet<IpAddress> | undefined>;
  readonly log: Logger;
  readonly clock?: Pick<Clock, 'steadyMs' | 'nowMs'>;
};

/** What Felix's reports say of a host: whether it lives, and when it last said so. The latter's revision, for a comparison. */
type Report = { readonly lives: boolean; readonly last: { readonly atMs: number; readonly modRevision: number } | undefined };

/** A host whose Felix has reported, and does so no more. */
type Gone = { readonly node: Node; readonly last: NonNullable<Report['last']> };

const addressesOf = ({ addresses }: Node): readonly IpAddress[] => ([4, 6] as const).flatMap((family) => addresses[family]?.address ?? []);

/**
 * A host's sign of life is its Felix's report, whose key ends with its lease, a session with it, or a route through it. A Node is removed if that has been missing for `goneMs`, and if it holds nothing but
 * what an agent has written, which its host would write again. The transaction asks once more: whoever comes back at that moment, stays.
 */
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
        const [status, last] = answer.found.slice(index * 2, index * 2 + 2);
        const report = last && decodeAgentStatus(last.value);
        found.set(name, {
          lives: status !== undefined,
          last: last && report?.ok ? { atMs: Date.parse(report.value.time), modRevision: last.modRevision } : undefined,
        });
      }
    }
    return found;
  }

  /** A report older than the Node is of a wrong clock, and says nothing. */
  function goneOf(understood: readonly Node[], found: ReadonlyMap<string, Report>): readonly Gone[] {
    return understood.flatMap((node): readonly Gone[] => {
      const report = found.get(node.name);
      if (node.name === ownName || !report || report.lives || !report.last || node.madeMs === undefined) return [];
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
      log.warn({ node: name, since }, 'a Node was removed, since its host has been gone for long; should the host come back, its agent makes it again');
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
          'none is removed: more than half of them is taken for a fault of what reports',
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
            `those of hosts that are gone cannot be looked for: ${error.code}`,
            `tried again every ${retryMs / 1000} s; calico-openstack etcd-roles --remove-hosts-gone gives the rights that it takes`,
          ),
        ];
        nextLookMs = clock.steadyMs() + retryMs;
      }
    },
  };
}
