// The kernel's neighbours by rtnetlink.
import { type DumpRequest, openNetlinkTable } from '../programmer/netlink.ts';
import type { KernelTable } from '../programmer/table.ts';
import { dumpNeighbours, neighbourGroups, readNeighbourMessage, writeNeighbourOperation } from './messages.ts';
import type { KernelNeighbour } from './neighbour.ts';

export type NeighbourTable = KernelTable<KernelNeighbour>;

/**
 * The neighbours of the calling thread's network namespace, entries and proxies of both families; sockets stay in it (see `inNamespace`). Of proxies that others
 * change the kernel tells nothing: only a comparison finds that. Throws NetlinkError when the kernel does not let itself be read.
 */
export function openNeighbours(): NeighbourTable {
  const dumps = ([4, 6] as const).flatMap((family) =>
    (['entries', 'proxies'] as const).map(
      (which): DumpRequest =>
        (sequence) =>
          dumpNeighbours(sequence, family, which),
    ),
  );
  const words = { plural: 'the neighbours', groups: neighbourGroups, parse: readNeighbourMessage, write: writeNeighbourOperation };
  return openNetlinkTable(words, dumps);
}
