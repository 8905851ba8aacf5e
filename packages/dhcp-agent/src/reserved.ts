// Follows which addresses nobody may have on a tap: the kernel's own, those in BIRD's configuration, the agent's own etcd endpoints. An address on a tap becomes the host's own:
// the host could no longer reach a neighbour or an etcd server that has the same address.

import { parseAddress } from '@calico-openstack/addresses';
import { followAddresses, followFile, type Logger } from '@calico-openstack/agent';
import { type Reservations, reservationsOfBird, reservationsOfEtcd, reservationsOfHost } from '@calico-openstack/datamodel';
import { openHostAddresses } from '@calico-openstack/kernel';
import type { Links } from '@calico-openstack/kernel/links/link';
import type { AgentOptions } from './option-table.ts';

/** Addresses and routes of workloads' interfaces are not reserved: this agent or Felix put them there. */
const isWorkloadInterface = (name: string): boolean => name.startsWith('tap') || name.startsWith('cali');

/**
 * Calls `onReserved` for each source at once, and again whenever the source changes. etcd endpoints that are names follow when they are resolved.
 * Keeps the process alive until closed.
 * @throws NetlinkError when the kernel refuses to report its addresses
 */
export function followReserved(
  links: Links,
  { etcd, birdConfigFile }: Pick<AgentOptions, 'etcd' | 'birdConfigFile'>,
  log: Logger,
  onReserved: (source: string, reservations: Reservations) => void,
): { close(): void } {
  const addresses = openHostAddresses(links, {
    onTrouble: (error) => log.warn({ err: error }, 'the kernel does not report changes of routes and addresses, so newly reserved ones are not seen; retrying'),
    leavesOut: isWorkloadInterface,
  });
  const tellHost = (): void => onReserved('host', reservationsOfHost(addresses.read(), isWorkloadInterface));
  let telling: NodeJS.Immediate | undefined;
  // The addresses are read once for all changes of one turn of the event loop, because reading takes time in proportion to the host's addresses.
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
      log.warn(
        { err: error, file: birdConfigFile },
        "cannot read BIRD's configuration; addresses of the neighbours that it named last stay reserved, and no tap gets them",
      ),
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
