// `calico-felix --remove`: removes what this Felix has installed on the host. It refuses unless another Felix polices the host or the host has no workloads. If it is killed half-way, it
// can be called again.
//
//   1. Both tables are switched off in one transaction, and then deleted. The other Felix decides alone from then on. A packet had to pass both before, so nothing is open at any time.
//   2. The stamps in the marks of connections are deleted. They mean nothing without the rules.
//   3. The limits of bandwidth that carry this Felix's marks are deleted. The other one has its own.
//   4. The blackhole routes for workloads that were leaving by live migration are deleted.
//
// The other routes, neighbours and sysctls of workload interfaces stay. Running connections need them, the other Felix has nearly the same ones, and they vanish with the interface.
//
// Upstream's Felix with `Ipv6Support` false has no rules for IPv6. So where no workload has an IPv6 address, IPv6 is switched off on their interfaces before the tables are deleted.
import { type Cidr, familyOf, type IpFamily } from '@calico-openstack/addresses';
import { inForce, type Removed, StartError } from '@calico-openstack/agent';
import { deleteTables, type Links, openConntrack, openLinks, openRoutes, openTable, writeSysctl } from '@calico-openstack/kernel';
import { refuseWhileRunning } from '@calico-openstack/kernel/processes/running';
import { earlierAddresses, stampSet, stampsOf, tableName } from '@calico-openstack/render';
import { removeLimits } from '../devices/shaping.ts';
import { isOurBlackhole } from '../devices/wanted.ts';
import { needing, needingLater } from '../kernel-needs.ts';
import { localSources, resolveParameters } from '../settings.ts';
import { otherFelixPolices } from './takeover.ts';

/**
 * Removes what this Felix has installed in this process's network namespace.
 * @throws StartError when the agent is running, or when nothing would police this host's workloads afterwards
 */
export async function removeFelix(configFiles: readonly string[]): Promise<Removed> {
  const { InterfacePrefix, DeviceRouteProtocol } = inForce(resolveParameters(localSources(configFiles, process.env)));
  refuseWhileRunning('calico-felix');
  const links = needing('links', () => openLinks());
  const table = needing('nftables', () => openTable('inet', tableName));
  try {
    const stands = table.exists();
    const addresses = stands ? earlierAddresses(table.elementsOf) : new Map<Cidr, string>();
    const workloads = workloadInterfaces(links, InterfacePrefix, addresses.values());
    const open = ([4, 6] as const).filter((family) => !otherFelixPolices(family));
    const withoutIpv6 = stands && open.length > 0 ? switchIpv6Off(links, workloads, addresses, open) : 0;
    const stamps = stands ? stampsOf(table.elementsOf(stampSet)) : undefined;
    const removed: string[] = [];
    await needingLater(
      'nftables',
      deleteTables([
        { family: 'arp', name: tableName },
        { family: 'inet', name: tableName },
      ]),
    );
    if (stands) removed.push(`tables inet ${tableName} and arp ${tableName}`);
    if (stamps) removed.push(`the stamps in the marks of ${await unstamp((stamps.egress | stamps.ingress) >>> 0)} connections`);
    const limited = needing('links', () => removeLimits(links, workloads));
    if (limited > 0) removed.push(`limits of bandwidth on ${limited} interfaces`);
    const blackholes = removeBlackholes(DeviceRouteProtocol);
    if (blackholes > 0) removed.push(`${blackholes} blackhole routes for workloads that were leaving by live migration`);
    return { removed, left: whatIsLeft(workloads.size, withoutIpv6) };
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

/**
 * Closes to IPv6 the interfaces of workloads that have no IPv6 address, and returns how many these are.
 * @param open the families that nobody else polices
 * @throws StartError when this would cut off workloads
 */
function switchIpv6Off(links: Links, workloads: ReadonlySet<string>, addresses: ReadonlyMap<Cidr, string>, open: readonly IpFamily[]): number {
  const using = open.includes(4) ? workloads : new Set([...addresses].flatMap(([cidr, name]) => (familyOf(cidr) === 6 && links.link(name) ? name : [])));
  if (using.size > 0) throw nobodyElse([...using], open);
  for (const name of workloads) writeSysctl(['net', 'ipv6', 'conf', name, 'disable_ipv6'], 1);
  return workloads.size;
}

function nobodyElse(workloads: readonly string[], open: readonly IpFamily[]): StartError {
  const which = workloads.length > 3 ? `${workloads.slice(0, 3).join(', ')} and ${workloads.length - 3} more` : workloads.join(', ');
  const remedy = open.includes(4)
    ? 'start the other Felix, wait until it is ready, and call this again'
    : 'the other Felix polices IPv4 alone (its Ipv6Support is false, perhaps): have it police IPv6, and call this again';
  return new StartError(
    'NOBODY_ELSE_POLICES',
    `nothing would police this host's workloads (${which}) in ${open.map((family) => `IPv${family}`).join(' and ')}, so nothing was removed: ${remedy}. ` +
      `To open them to everybody nevertheless: nft 'delete table inet ${tableName}; delete table arp ${tableName}'`,
  );
}

/** Removes our blackhole routes, which nobody else would recognise. Returns their number. */
function removeBlackholes(protocol: number): number {
  const table = needing('links', () => openRoutes());
  try {
    const ours = table.read().filter((route) => isOurBlackhole(route, protocol));
    return ours.length - table.commit(ours.map((object) => ({ verb: 'delete', object }))).length;
  } finally {
    table.close();
  }
}

async function unstamp(mask: number): Promise<number> {
  const conntrack = openConntrack();
  try {
    return (await conntrack.markFlows(mask, () => 0)).marked;
  } finally {
    conntrack.close();
  }
}

const whatIsLeft = (workloads: number, withoutIpv6: number): string[] => [
  ...(workloads > 0
    ? ['routes, neighbours, proxies and settings (sysctls) of workload interfaces: running connections need them, and they go with the interfaces']
    : []),
  ...(withoutIpv6 > 0
    ? [
        `IPv6 switched off (sysctl disable_ipv6) on ${withoutIpv6} interfaces, whose workloads have no IPv6 address: the other Felix polices IPv4 alone. New interfaces are as the other Felix has them`,
      ]
    : []),
  'net.ipv4.ip_forward, net.ipv6.conf.all.forwarding and net.netfilter.nf_conntrack_acct as they are',
  'configuration and log files, and the statuses in etcd: that of this agent expires by itself, and those of endpoints are for the next Felix',
];
