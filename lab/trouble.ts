// What a lab's services complained of: the first place to look when something is not as it should be.
import { existsSync, readFileSync } from 'node:fs';
import type { Lab } from './lab.ts';
import type { Service } from './process.ts';

/** Errors as etcd, MariaDB, OpenStack, BIRD and our own programs write them; of our own warnings too: the others warn of much that is as it should be. */
const complaint = /\b(ERROR|CRITICAL|FATAL)\b|\[WARNING\]\[\d+\]|<(ERR|FATAL|BUG)>|"level":"(error|panic|fatal)"|^Traceback|^\w*Error:/;

/** The last complaints in each service's log, under the log's name; nothing of those that had none. */
export function troubleOf({ etcd, mariadb, keystone, neutron, driver, router, hosts }: Lab, most = 5): string[] {
  const onHosts = hosts.flatMap(({ bird, felix, dhcpAgent, birdAgent }) => [bird, felix, dhcpAgent, birdAgent]);
  const services: (Service | undefined)[] = [etcd, mariadb, keystone, neutron, driver, router.bird, ...onHosts];
  return services.flatMap((service) => {
    if (service === undefined || !existsSync(service.log)) return [];
    const lines = complaints(readFileSync(service.log, 'utf8')).slice(-most);
    return lines.length === 0 ? [] : [`${service.log}:`, ...lines.map((line) => `  ${line}`)];
  });
}

export const complaints = (log: string): string[] => log.split('\n').filter((line) => complaint.test(line));
