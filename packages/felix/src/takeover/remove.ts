// `calico-felix --remove`: removes what this Felix has installed on the host. It refuses unless another Felix polices the host or the host has no workloads. If it is killed half-way, it
// can be called again.
//
//   1. Both tables are deleted in one transaction. The other Felix decides alone from then on. A packet had to pass both before, so nothing is open at any time.
//   2. The stamps in the marks of connections are deleted. They mean nothing without the rules.
//   3. The limits of bandwidth that carry this Felix's marks are deleted. The other one has its own.
//
// Routes, neighbours and sysctls of workload interfaces stay. Running connections need them, the other Felix has nearly the same ones, and they vanish with the interface.
import { inForce, type Removed, StartError } from '@calico-openstack/agent';
import { deleteTables, type Links, openConntrack, openLinks, openTable } from '@calico-openstack/kernel';
import { refuseWhileRunning } from '@calico-openstack/kernel/processes/running';
import { earlierAddresses, stampSet, stampsOf, tableName } from '@calico-openstack/render';
import { removeLimits } from '../devices/shaping.ts';
import { needing } from '../kernel-needs.ts';
import { localSources, resolveParameters } from '../settings.ts';
import { otherFelixPolices } from './takeover.ts';

/**
 * Removes what this Felix has installed in this process's network namespace.
 * @throws StartError when the agent is running, or when nothing would police this host's workloads afterwards
 */
export async function removeFelix(configFiles: readonly string[]): Promise<Removed> {
  const { InterfacePrefix } = inForce(resolveParameters(localSources(configFiles, process.env)));
  refuseWhileRunning('calico-felix');
  const links = needing('links', () => openLinks());
  const table = needing('nftables', () => openTable('inet', tableName));
  try {
    const stands = table.exists();
    const workloads = workloadInterfaces(links, InterfacePrefix, stands ? earlierAddresses(table.elementsOf).values() : []);
    const open = ([4, 6] as const).filter((family) => !otherFelixPolices(family));
    if (stands && workloads.size > 0 && open.length > 0) throw nobodyElse([...workloads], open);
    const stamps = stands ? stampsOf(table.elementsOf(stampSet)) : undefined;
    const removed: string[] = [];
    needing('nftables', () =>
      deleteTables([
        { family: 'arp', name: tableName },
        { family: 'inet', name: tableName },
      ]),
    );
    if (stands) removed.push(`tables inet ${tableName} and arp ${tableName}`);
    if (stamps) removed.push(`the stamps in the marks of ${await unstamp((stamps.egress | stamps.ingress) >>> 0)} connections`);
    const limited = needing('links', () => removeLimits(links, workloads));
    if (limited > 0) removed.push(`limits of bandwidth on ${limited} interfaces`);
    return { removed, left: whatIsLeft(workloads.size > 0) };
  } finally {
    table.close();
    links.close();
  }
}

/** The links that have a workload's prefix or to which our table leads addresses of workloads. The second rule finds those with a prefix that is set in the datastore, which is not read. */
function workloadInterfaces(links: Links, prefixes: readonly string[], known: Iterable<string>): ReadonlySet<string> {
  const named = [...links.links.keys()].filter((name) => prefixes.some((prefix) => name.startsWith(prefix)));
  return new Set([...named, ...[...known].filter((name) => links.link(name))]);
}

function nobodyElse(workloads: readonly string[], open: readonly (4 | 6)[]): StartError {
  const which = workloads.length > 3 ? `${workloads.slice(0, 3).join(', ')} and ${workloads.length - 3} more` : workloads.join(', ');
  return new StartError(
    'NOBODY_ELSE_POLICES',
    `nothing would police this host's workloads (${which}) in ${open.map((family) => `IPv${family}`).join(' and ')}, so nothing was removed: start the other Felix, wait until it is ready, and call this again. ` +
      `To open them to everybody nevertheless: nft 'delete table inet ${tableName}; delete table arp ${tableName}'`,
  );
}

async function unstamp(mask: number): Promise<number> {
  const conntrack = openConntrack();
  try {
    return (await conntrack.markFlows(mask, () => 0)).marked;
  } finally {
    conntrack.close();
  }
}

const whatIsLeft = (workloads: boolean): string[] => [
  ...(workloads
    ? ['routes, neighbours, proxies and settings (sysctls) of workload interfaces: running connections need them, and they go with the interfaces']
    : []),
  'net.ipv4.ip_forward, net.ipv6.conf.all.forwarding and net.netfilter.nf_conntrack_acct as they are',
  'configuration and log files, and the statuses in etcd: that of this agent expires by itself, and those of endpoints are for the next Felix',
];
