// Finds the complaints in the logs of a lab's services: the first place to look when something is wrong.
import { existsSync, readFileSync } from 'node:fs';
import type { Lab } from './lab.ts';
import type { Service } from './process.ts';

/** Matches errors in the logs of etcd, MariaDB, OpenStack, BIRD and our own programs, and warnings of our own programs only: the others warn of much that is harmless. */
const complaint = /\b(ERROR|CRITICAL|FATAL)\b|\[WARNING\]\[\d+\]|<(ERR|FATAL|BUG)>|"level":"(error|panic|fatal)"|^Traceback|^\w*Error:/;

/** The last complaints in each service's log, below the log's name. Services without complaints are left out. */
export function troubleOf({ etcd, mariadb, keystone, neutron, driver, router, hosts, nova }: Lab, most = 5): string[] {
  const onHosts = hosts.flatMap(({ bird, felix, dhcpAgent, birdAgent }) => [bird, felix, dhcpAgent, birdAgent]);
  const services: (Service | undefined)[] = [etcd, mariadb, keystone, neutron, driver, router.bird, ...onHosts];
  if (nova) services.push(nova.api, nova.metadata, nova.placement, nova.glance, nova.conductor, nova.scheduler, ...nova.hosts.map(({ compute }) => compute));
  return services.flatMap((service) => {
    if (service === undefined || !existsSync(service.log)) return [];
    const lines = complaints(readFileSync(service.log, 'utf8')).slice(-most);
    return lines.length === 0 ? [] : [`${service.log}:`, ...lines.map((line) => `  ${line}`)];
  });
}

/** The lines of a log that are complaints. */
export const complaints = (log: string): string[] => log.split('\n').filter((line) => complaint.test(line));
