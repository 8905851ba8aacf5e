// The kernel's neighbours by rtnetlink.
import { type DumpRequest, openNetlinkTable } from '../programmer/netlink.ts';
import type { KernelTable } from '../programmer/table.ts';
import { dumpNeighbours, neighbourGroups, readNeighbourMessage, writeNeighbourOperation } from './messages.ts';
import type { KernelNeighbour } from './neighbour.ts';

/** The kernel's neighbours, entries and proxies. */
export type NeighbourTable = KernelTable<KernelNeighbour>;

/**
 * Opens the neighbours of the calling thread's network namespace, entries and proxies of both families; sockets stay in it (see `inNamespace`). The kernel does not report other
 * programs' changes of proxies: only a comparison finds those. Throws NetlinkError when the kernel cannot be read.
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
