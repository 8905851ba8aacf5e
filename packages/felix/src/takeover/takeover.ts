// Removes the rules of another Felix from this host: upstream's, in any of its modes. They stay until our rules are in force.
//
//   before etcd has been read   Its rules police the host. We close nothing, so that a wrong address of etcd cuts nobody off.
//   when ours are in force      Each packet has to pass both. Its rules drop packets of workloads that it does not know, so they are removed, without losing a packet in flight.
//                               Whatever our rules deny is denied before, during and after that.
//
// Only objects with upstream's own marks are removed (upstream.ts), and not objects of an operator with similar names.
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

/** Whether upstream's rules in iptables' legacy tables decide now about forwarded packets of this family. */
const policesByLegacyTables = (family: IpFamily): boolean => usesLegacyTables(family) && leadsThroughUpstream(savedFilterTable(family));

/** Whether another Felix's rules decide now about forwarded packets of this family. @throws NetlinkError when the kernel does not answer */
export const otherFelixPolices = (family: IpFamily): boolean => policesByNftables(family) || policesByLegacyTables(family);

/** Whether another Felix's rules decide now about forwarded packets of either family. @throws NetlinkError when the kernel does not answer */
export const anotherFelixPolices = (): boolean => families.some(otherFelixPolices);

/** What was removed, and what could not or must not be removed, in words for people. */
export type TakenAway = { readonly removed: readonly string[]; readonly left: readonly string[] };

/**
 * Removes what upstream's Felix has installed on this host. It may be called only while our rules are in force. Rules and ipsets are removed last, because they are the evidence that
 * upstream's Felix was here: a call after a failure or a kill does the rest.
 * @throws CodedError when something failed; a part may have been removed
 */
export async function takeAwayUpstreams(links: Links & LinkEditor, interfacePrefixes: readonly string[]): Promise<TakenAway> {
  const removed: string[] = [];
  const left: string[] = [];
  const tables = upstreamTables();
  const chains = await plannedRemovals(left);
  const sets = ipsetNames().filter(isUpstreamIpset);
  if (tables.length + chains.length + sets.length === 0) return { removed, left };
  removeTunnels(links, interfacePrefixes, removed, left);
  await deleteTables(tables);
  removed.push(...tables.map(({ family, name }) => `table ${family} ${name}`));
  for (const { family, backend, removal } of chains) {
    await carryOut(family, backend, removal);
    removed.push(`chains cali-… of ${nameOf(family, backend)}`);
  }
  const kept = destroyIpsets(sets); // no rule of upstream's uses them any more
  if (sets.length > kept.length) removed.push(`${sets.length - kept.length} ipsets cali…`);
  left.push(...kept.map(({ name, code }) => `ipset ${name}: ${code === 'IN_USE' ? 'something else uses it' : code}`));
  return { removed, left };
}

type ChainRemoval = { readonly family: IpFamily; readonly backend: Backend; readonly removal: Removal };

/** The removals in each family and back end. */
async function plannedRemovals(left: string[]): Promise<ChainRemoval[]> {
  const planned: ChainRemoval[] = [];
  for (const family of families) {
    for (const backend of backends.filter((each) => (each === 'nft' ? hasIptablesNftChains(family) : usesLegacyTables(family)))) {
      try {
        const removal = await plannedRemoval(family, backend);
        left.push(...removal.left.map((what) => `${what} (${nameOf(family, backend)})`));
        if (removal.script !== '') planned.push({ family, backend, removal });
      } catch (error) {
        // Other programs use the legacy tables too, and may have their own tools. A missing tool is therefore no reason to remove nothing.
        if (!(error instanceof CodedError && error.code === 'TOOL_MISSING' && backend === 'legacy')) throw error;
        left.push(`whatever upstream’s Felix may have in the tables of ${nameOf(family, backend)}: ${error.message}`);
      }
    }
  }
  return planned;
}

const backends: readonly Backend[] = ['nft', 'legacy'];
const nameOf = (family: IpFamily, backend: Backend): string => `${family === 4 ? 'iptables' : 'ip6tables'}-${backend}`;

/** Removes tunnels and routes. Routes on workload interfaces are left to devices.ts, which removes those that are not desired. */
function removeTunnels(links: Links & LinkEditor, interfacePrefixes: readonly string[], removed: string[], left: string[]): void {
  for (const link of [...links.links.values()].filter(isUpstreamTunnel)) {
    const refusal = links.removeLink(link.name);
    if (!refusal) removed.push(`link ${link.name}, with its routes`);
    else if (refusal.code !== 'ENODEV') left.push(`link ${link.name}: ${refusal.code}`);
  }
  const table = openRoutes();
  try {
    // These routes lead over tunnels to other hosts, or are blackholes of address blocks. BIRD installs the routes to other hosts' workloads now.
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

/** Removes another Felix's rules when that is allowed. */
export interface TakeOver {
  /** Says that our rules are in force, so that those of another Felix may be removed. A call costs little when there is no reason to search. */
  rulesInForce(): void;
  /** Says that another Felix's rules may have appeared, for the next `rulesInForce`. */
  lookAgain(): void;
  close(): Promise<void>;
}

/** The least time between two searches, of which the first is made at once. Each runs iptables' tools where other programs use iptables. */
const pauseMs = 20_000;
const goneEveryMs = 5000;

/** What `createTakeOver` works with. */
export type TakeOverOptions = {
  readonly links: Links & LinkEditor;
  /** Returns the prefixes of the names of workload interfaces. */
  readonly interfacePrefixes: () => readonly string[];
  readonly health: Health;
  readonly log: Logger;
  /** Called when the rules that policed this host have gone before ours are in force, so that nothing polices it. */
  readonly onGone: () => void;
};

/** Removes nothing before the first `rulesInForce`. A failure is logged, reported as not ready, and retried. */
export function createTakeOver({ links, interfacePrefixes, health, log, onGone }: TakeOverOptions): TakeOver {
  const component = health.register('TakeOver');
  let wanted = false;
  let due = true;
  let lastMs = Number.NEGATIVE_INFINITY;
  let looked = false;
  let toldLeft = '';
  // The kernel reports changes of nftables, and not of iptables' legacy tables.
  const watch = families.some(policesByLegacyTables) ? setInterval(lookWhetherGone, goneEveryMs) : undefined;
  watch?.unref();

  const loop = startLoop({
    async run() {
      if (!wanted || !due) return undefined;
      const restMs = lastMs + pauseMs - performance.now();
      if (restMs > 0) return restMs;
      due = false;
      tell(await takeAwayUpstreams(links, interfacePrefixes()));
      lastMs = performance.now(); // not after a failure, which is retried sooner
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
          'cannot remove the rules of the Felix that was here before; they drop all packets from and to new workloads, whatever our rules allow, until a retry succeeds; see the error',
        );
    },
    backoff: { firstMs: 1000, maxMs: 60_000 },
  });

  function tell({ removed, left }: TakenAway): void {
    const facts = { removed: removed.join(', ') };
    if (removed.length > 0 && looked)
      log.warn(facts, 'rules of another Felix have appeared beside ours and were removed; another Felix seems to run on this host; stop it');
    else if (removed.length > 0) log.info(facts, 'our rules are in force, and what another Felix had left on this host is removed');
    looked = true;
    const text = left.join('; ');
    if (text !== '' && text !== toldLeft)
      log.warn(
        { left },
        'some objects look like those of another Felix and stay, because something else uses them or the kernel refuses; remove them if nothing needs them',
      );
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
