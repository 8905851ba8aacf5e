// Implements `calico-dhcp-agent --remove`: removes everything that this agent has put on the host, in an order in which no guest gets a wrong answer. Then another agent can be started.
import { rmSync } from 'node:fs';
import { inForce, type Removed } from '@calico-openstack/agent';
import { deleteTables } from '@calico-openstack/kernel';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { networkNamespaceOf } from '@calico-openstack/kernel/processes/processes';
import { refuseWhileRunning } from '@calico-openstack/kernel/processes/running';
import { dnsPlacesIn, endForwardingDnsmasq } from './dns/dnsmasq.ts';
import { ipv6DirectoryIn, placesIn } from './dnsmasq/command.ts';
import { kill, processesWith } from './dnsmasq/process.ts';
import { guardTable } from './guard/rules.ts';
import { agentOptions, readOptions } from './option-table.ts';
import { routeKeeper, setServerAddresses, tapsInUse } from './taps.ts';

/** Removes the agent's Dnsmasqs, files, addresses and nftables table. Returns what was removed, for the log. @throws StartError when the agent runs */
export async function removeDhcpAgent(configFiles: readonly string[]): Promise<Removed> {
  const { directory, dnsmasq } = agentOptions(inForce(readOptions(configFiles)));
  refuseWhileRunning('calico-dhcp-agent');
  const places = placesIn(directory);
  const ipv6 = ipv6DirectoryIn(directory);
  const removed: string[] = [];
  const left: string[] = [];
  for (const found of processesWith(`--pid-file=${places.pid}`).filter(({ network }) => network === networkNamespaceOf('self'))) {
    await kill(found);
    removed.push(`Dnsmasq (process ${found.pid})`);
  }
  for (const pid of await endForwardingDnsmasq(directory)) removed.push(`Dnsmasq (process ${pid})`);
  // No Dnsmasq serves any more, so the addresses on taps are removed, and then the rules that kept guests apart.
  const links = openLinks();
  try {
    const taps = tapsInUse(links);
    const refusals = taps.flatMap((tap) => setServerAddresses(links, tap, []));
    if (taps.length > 0) removed.push(`gateways' addresses on ${taps.length} taps`);
    if (taps.length > 0) left.push(`${routeKeeper.address} on taps, without which the kernel would drop the VMs' routes; it goes with the tap`);
    left.push(...refusals.map(({ address, tap, code }) => `${address} on ${tap}: the kernel refuses (${code})`));
  } finally {
    links.close();
  }
  await deleteTables([guardTable]);
  removed.push(`table ${guardTable.family} ${guardTable.name}`);
  for (const own of [places.directory, ipv6, dnsPlacesIn(directory).ports]) {
    rmSync(own, { recursive: true, force: true });
    removed.push(own);
  }
  left.push(
    `guests' leases, which they keep until they run out`,
    `configuration and log files${dnsmasq.logDirectory === undefined ? '' : ` (${dnsmasq.logDirectory})`}`,
  );
  return { removed, left };
}
