// Another Felix's rules on this host, upstream's in any of its modes: left alone until ours stand, then taken away with all that belongs to them.
//
//   before etcd has been read   its rules police the host: ours close nothing, so that a wrong address of etcd cuts nobody off
//   ours in force               each packet has to pass both. Its rules drop what comes from workloads that it does not know, so they go: each table in one step.
//                               What ours denies is denied before, while and after
//
// Recognised is what carries upstream's own marks (upstream.ts), so nothing of an operator's goes that is only called alike.
import { CodedError, type Health, type Logger, startLoop } from '@calico-openstack/agent';
import { deleteTables, destroyIpsets, ipsetNames, type LinkEditor, type Links, openRoutes, printRoute } from '@calico-openstack/kernel';
import { type Backend, carryOut, leadsThroughUpstream, plannedRemoval, type Removal, savedFilterTable } from './iptables.ts';
import {
  hasIptablesNftChains,
  type IpFamily,
  isUpstreamIpset,
  isUpstreamTunnel,
  policesByNftables,
  upstreamRouteProtocol,
  upstreamTables,
  usesLegacyTables,
} from './upstream.ts';

const families: readonly IpFamily[] = [4, 6];

/** Whether upstream's rules in iptables' own tables decide now what is forwarded in this family. */
const policesByLegacyTables = (family: IpFamily): boolean => usesLegacyTables(family) && leadsThroughUpstream(savedFilterTable(family));

/** Whether another Felix's rules decide now what is forwarded in this family. */
export const otherFelixPolices = (family: IpFamily): boolean => policesByNftables(family) || policesByLegacyTables(family);

/** The same of either family. */
export const anotherFelixPolices = (): boolean => families.some(otherFelixPolices);

/** What went, and what could not or must not go, in words for people. */
export type TakenAway = { readonly removed: readonly string[]; readonly left: readonly string[] };

/**
 * Takes away what upstream's Felix has on this host. Call it only while rules of ours are in force. Its rules and ipsets say that it was here, so they go last.
 * @throws CodedError: part of it may have gone, and it can be called again, as after a kill
 */
export async function takeAwayUpstreams(links: Links & LinkEditor, interfacePrefixes: readonly string[]): Promise<TakenAway> {
  const removed: string[] = [];
  const left: string[] = [];
  const tables = upstreamTables();
  const chains = await plannedRemovals(left);
  const sets = ipsetNames().filter(isUpstreamIpset);
  if (tables.length + chains.length + sets.length === 0) return { removed, left };
  removeTunnels(links, interfacePrefixes, removed, left);
  deleteTables(tables);
  removed.push(...tables.map(({ family, name }) => `table ${family} ${name}`));
  for (const { family, backend, removal } of chains) {
    await carryOut(family, backend, removal);
    removed.push(`chains cali-… of ${nameOf(family, backend)}`);
  }
  const kept = destroyIpsets(sets); // nothing looks into them any more
  if (sets.length > kept.length) removed.push(`${sets.length - kept.length} ipsets cali…`);
  left.push(...kept.map(({ name, code }) => `ipset ${name}: ${code === 'IN_USE' ? 'something else uses it' : code}`));
  return { removed, left };
}

type ChainRemoval = { readonly family: IpFamily; readonly backend: Backend; readonly removal: Removal };

/** Of each family and back end that has something of upstream's to take away. */
async function plannedRemovals(left: string[]): Promise<ChainRemoval[]> {
  const planned: ChainRemoval[] = [];
  for (const family of families) {
    for (const backend of backends.filter((each) => (each === 'nft' ? hasIptablesNftChains(family) : usesLegacyTables(family)))) {
      try {
        const removal = await plannedRemoval(family, backend);
        left.push(...removal.left.map((what) => `${what} (${nameOf(family, backend)})`));
        if (removal.script !== '') planned.push({ family, backend, removal });
      } catch (error) {
        // Others use the older tables too, and may have brought their own tools: no reason to do nothing at all.
        if (!(error instanceof CodedError && error.code === 'TOOL_MISSING' && backend === 'legacy')) throw error;
        left.push(`whatever upstream’s Felix may have in the tables of ${nameOf(family, backend)}: ${error.message}`);
      }
    }
  }
  return planned;
}

const backends: readonly Backend[] = ['nft', 'legacy'];
const nameOf = (family: IpFamily, backend: Backend): string => `${family === 4 ? 'iptables' : 'ip6tables'}-${backend}`;

/** Routes on workload interfaces are none of this: whoever programs those (devices.ts) takes away what it does not want there. */
function removeTunnels(links: Links & LinkEditor, interfacePrefixes: readonly string[], removed: string[], left: string[]): void {
  for (const link of [...links.links.values()].filter(isUpstreamTunnel)) {
    const refusal = links.removeLink(link.name);
    if (!refusal) removed.push(`link ${link.name}, with its routes`);
    else if (refusal.code !== 'ENODEV') left.push(`link ${link.name}: ${refusal.code}`);
  }
  const table = openRoutes();
  try {
    // To other hosts over tunnels, and the black holes of address blocks: BIRD brings routes to other hosts' workloads now.
    const isWorkloads = (index: number | undefined): boolean =>
      index !== undefined && interfacePrefixes.some((prefix) => links.nameOf(index)?.startsWith(prefix));
    const marked = table.read({ protocol: upstreamRouteProtocol }).filter(({ deviceIndex }) => !isWorkloads(deviceIndex));
    const refusals = table.commit(marked.map((object) => ({ verb: 'delete', object })));
    const refused = refusals.filter(({ code }) => code !== 'ABSENT' && code !== 'DEVICE_GONE');
    if (marked.length > refused.length) removed.push(`${marked.length - refused.length} routes of protocol ${upstreamRouteProtocol}`);
    left.push(...refused.map(({ operation, errno }) => `route ${printRoute(operation.object)}: ${errno}`));
  } finally {
    table.close();
  }
}

export interface TakeOver {
  /** Our rules are in force: what another Felix has left may go. Cheap where nothing is to be looked for. */
  rulesInForce(): void;
  /** Rules may have come back. */
  lookAgain(): void;
  close(): Promise<void>;
}

/** The first look is at once. Later ones, for a Felix that was not stopped, are at least so far apart: where others use iptables, each runs its tools. */
const pauseMs = 20_000;
const goneEveryMs = 5000;

export type TakeOverOptions = {
  readonly links: Links & LinkEditor;
  /** What names of workload interfaces begin with, asked each time. */
  readonly interfacePrefixes: () => readonly string[];
  readonly health: Health;
  readonly log: Logger;
  /** The rules that policed this host went before ours were in force: nothing polices it now. */
  readonly onGone: () => void;
};

export function createTakeOver({ links, interfacePrefixes, health, log, onGone }: TakeOverOptions): TakeOver {
  const component = health.register('TakeOver');
  let wanted = false;
  let due = true;
  let lastMs = Number.NEGATIVE_INFINITY;
  let looked = false;
  let toldLeft = '';
  // The kernel tells of changes of nftables, and not of iptables' own tables.
  const watch = families.some(policesByLegacyTables) ? setInterval(lookWhetherGone, goneEveryMs) : undefined;
  watch?.unref();

  const loop = startLoop({
    async run() {
      if (!wanted || !due) return undefined;
      const restMs = lastMs + pauseMs - performance.now();
      if (restMs > 0) return restMs;
      due = false;
      tell(await takeAwayUpstreams(links, interfacePrefixes()));
      lastMs = performance.now(); // what failed is tried again sooner
      component.report({ live: true, ready: true });
      return undefined;
    },
    onFailure(error, failures, retryMs) {
      due = true;
      const detail = (error as Error).message;
      component.report({ live: true, ready: false, detail });
      if (failures === 1)
        log.error(
          { err: error, retryMs: Math.round(retryMs) },
          'cannot take away the rules of the Felix that was here before: they drop what new workloads send and are sent, whatever ours allow; tried again',
        );
    },
    backoff: { firstMs: 1000, maxMs: 60_000 },
  });

  function tell({ removed, left }: TakenAway): void {
    const facts = { removed: removed.join(', ') };
    if (removed.length > 0 && looked)
      log.warn(facts, 'rules of another Felix have appeared beside ours and were taken away: one seems to run on this host; stop it');
    else if (removed.length > 0) log.info(facts, 'our rules are in force: what another Felix had left on this host is taken away');
    looked = true;
    const text = left.join('; ');
    if (text !== '' && text !== toldLeft) log.warn({ left }, 'looks like another Felix’s and is left: somebody else uses it, or the kernel refuses');
    toldLeft = text;
  }

  function lookWhetherGone(): void {
    if (wanted || families.some(policesByLegacyTables)) return;
    clearInterval(watch);
    onGone();
  }

  return {
    rulesInForce() {
      if (wanted && !due) return;
      wanted = true;
      clearInterval(watch);
      loop.wake();
    },
    lookAgain() {
      due = true;
    },
    close: () => {
      clearInterval(watch);
      return loop.close();
    },
  };
}
