// The kernel's routes by rtnetlink.
import { type DumpRequest, openNetlinkTable } from '../programmer/netlink.ts';
import type { KernelTable } from '../programmer/table.ts';
import { dumpRoutes, passes, type RouteFilter, readRouteMessage, routeGroups, writeRouteOperation } from './messages.ts';
import { type KernelRoute, routeTable } from './route.ts';

export type { RouteFilter };

/** The routes that pass a filter: reading gives those, and only those are watched. */
export interface RouteTable extends KernelTable<KernelRoute> {
  /** With a filter of its own, this reading is about that instead. */
  read(filter?: RouteFilter): readonly KernelRoute[];
}

/**
 * The routes of the calling thread's network namespace, of both families, that pass `scope` (the main table); sockets stay in it (see `inNamespace`).
 * Throws NetlinkError when the kernel does not let itself be read.
 */
export function openRoutes(scope: RouteFilter = { table: routeTable.main }): RouteTable {
  const dumps = (filter: RouteFilter): DumpRequest[] => ([4, 6] as const).map((family) => (sequence) => dumpRoutes(sequence, family, filter));
  const words = { plural: 'the routes', groups: routeGroups, parse: readRouteMessage, write: writeRouteOperation };
  const table = openNetlinkTable<KernelRoute>(words, dumps(scope), (message) => passes(message, scope));
  return { ...table, read: (filter = scope) => table.dump(dumps(filter), (message) => passes(message, filter)) };
}
