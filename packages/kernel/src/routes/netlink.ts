// The kernel's routes, over rtnetlink.
import { type DumpRequest, openNetlinkTable } from '../programmer/netlink.ts';
import type { KernelTable } from '../programmer/table.ts';
import { dumpRoutes, passes, type RouteFilter, readRouteMessage, routeGroups, writeRouteOperation } from './messages.ts';
import { type KernelRoute, routeTable } from './route.ts';

export type { RouteFilter };

/** The routes that pass a filter. Only those are read and watched. */
export interface RouteTable extends KernelTable<KernelRoute> {
  /** Reads the routes. With `filter`, reads those that pass it instead. */
  read(filter?: RouteFilter): readonly KernelRoute[];
}

/**
 * The routes of both families in the calling thread's network namespace that pass `scope` (by default: the main table). Its sockets stay in the namespace (see `inNamespace`).
 * Throws NetlinkError when the kernel cannot be read.
 */
export function openRoutes(scope: RouteFilter = { table: routeTable.main }): RouteTable {
  const dumps = (filter: RouteFilter): DumpRequest[] => ([4, 6] as const).map((family) => (sequence) => dumpRoutes(sequence, family, filter));
  const words = { plural: 'the routes', groups: routeGroups, parse: readRouteMessage, write: writeRouteOperation };
  const table = openNetlinkTable<KernelRoute>(words, dumps(scope), (message) => passes(message, scope));
  return { ...table, read: (filter = scope) => table.dump(dumps(filter), (message) => passes(message, filter)) };
}
