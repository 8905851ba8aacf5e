// `calico-felix --remove`: what this Felix has put on the host goes, when another one polices the host or nobody's workloads are here. Killed half-way, it can be called again.
//
//   1. the tables, both in one step: from then on the other Felix decides alone. Until then a packet had to pass both, so nothing is open at any time
//   2. the stamps in connections' marks, which mean nothing without the rules
//
// What is on workload interfaces stays: running connections need it, the other Felix has nearly the same there, and it goes with the interface.
import { inForce, type Removed, StartError } from '@calico-openstack/agent';
import { deleteTables, type Links, openConntrack, openLinks, openTable } from '@calico-openstack/kernel';
import { refuseWhileRunning } from '@calico-openstack/kernel/processes/running';
import { earlierAddresses, stampSet, stampsOf, tableName } from '@calico-openstack/render';
import { needing } from '../kernel-needs.ts';
import { localSources, resolveParameters } from '../settings.ts';
import { otherFelixPolices } from './takeover.ts';

/** @throws StartError when the agent runs, or when nothing would police this host's workloads */
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
    return { removed, left: whatIsLeft(workloads.size > 0) };
  } finally {
    table.close();
    links.close();
  }
}

/** By name, or because our table says that addresses of workloads lead there: an InterfacePrefix of the datastore is not known here. */
function workloadInterfaces(links: Links, prefixes: readonly string[], known: Iterable<string>): ReadonlySet<string> {
  const named = [...links.links.keys()].filter((name) => prefixes.some((prefix) => name.startsWith(prefix)));
  return new Set([...named, ...[...known].filter((name) => links.link(name))]);
}

function nobodyElse(workloads: readonly string[], open: readonly (4 | 6)[]): StartError {
  const which = workloads.length > 3 ? `${workloads.slice(0, 3).join(', ')} and ${workloads.length - 3} more` : workloads.join(', ');
  return new StartError(
    'NOBODY_ELSE_POLICES',
    `nothing would police this host's workloads (${which}) in ${open.map((family) => `IPv${family}`).join(' and ')}, so nothing was removed: start the other Felix, wait until it is ready, and call this again. ` +
      `To open them to everything in spite of that: nft 'delete table inet ${tableName}; delete table arp ${tableName}'`,
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
  'configuration and log files, and what is reported in etcd: the status key runs out by itself, and endpoint statuses are for the next Felix',
];
