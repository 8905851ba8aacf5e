// What nobody may have on a tap, from where it stands: the kernel, BIRD's configuration, the agent's own etcd endpoints. A server address on a tap is the host's own, and what it
// talked to under that address is out of its reach from then on.

import { parseAddress } from '@calico-openstack/addresses';
import { followAddresses, followFile, type Logger } from '@calico-openstack/agent';
import { type Reservations, reservationsOfBird, reservationsOfEtcd, reservationsOfHost } from '@calico-openstack/datamodel';
import { openHostAddresses } from '@calico-openstack/kernel';
import type { Links } from '@calico-openstack/kernel/links/link';
import type { AgentOptions } from './option-table.ts';

/** What stands on workloads' interfaces is put there by this agent or its like. */
const isWorkloadInterface = (name: string): boolean => name.startsWith('tap') || name.startsWith('cali');

/** Tells all of it at once, but for etcd endpoints that are names, and again whenever it changes. Keeps the process alive until closed. @throws NetlinkError */
export function followReserved(
  links: Links,
  { etcd, birdConfigFile }: Pick<AgentOptions, 'etcd' | 'birdConfigFile'>,
  log: Logger,
  onReserved: (source: string, reservations: Reservations) => void,
): { close(): void } {
  const addresses = openHostAddresses(links, {
    onTrouble: (error) => log.warn({ err: error }, 'the kernel does not tell its routes; asking again'),
    leavesOut: isWorkloadInterface,
  });
  const tellHost = (): void => onReserved('host', reservationsOfHost(addresses.read(), isWorkloadInterface));
  let telling: NodeJS.Immediate | undefined;
  // Of all that changes in one turn, once: reading costs as much as the host has addresses.
  const watch = addresses.watch(() => {
    telling ??= setImmediate(() => {
      telling = undefined;
      tellHost();
    });
  });
  tellHost();
  const bird = followFile(birdConfigFile, {
    onText: (text) => onReserved('bird', reservationsOfBird(text ?? '')),
    onUnreadable: (error) =>
      log.warn({ err: error, file: birdConfigFile }, "BIRD's configuration cannot be read: no tap gets an address of the neighbours that it named last"),
  });
  const endpoints = followAddresses(etcd.endpoints, (found) => onReserved('etcd', reservationsOfEtcd(found.flatMap((address) => parseAddress(address) ?? []))));
  return {
    close() {
      watch.close();
      clearImmediate(telling);
      addresses.close();
      bird.close();
      endpoints.close();
    },
  };
}
