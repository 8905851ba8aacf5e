// The scope of a resync: everything, or the objects that an operator names together with what belongs to them.
import { z } from 'zod';
import type { RowsQuestion } from './rows.ts';
import type { Background } from './sources.ts';

const ids = z.array(z.string().min(1)).default([]);
const named = z.strictObject({ networks: ids, subnets: ids, ports: ids, security_groups: ids, include_sgs_for_ports: z.boolean().default(false) });

/** Either everything, or objects by id. A network stands for its subnets and ports, a subnet for the ports with addresses in it. Names are those of upstream's summary. */
export type ResyncScope = { readonly all: true } | ({ readonly all: false } & Readonly<z.infer<typeof named>>);

/** The kinds of objects that are compared, in the order in which they need each other. */
export const comparedKinds = ['subnets', 'address_groups', 'security_groups', 'ports'] as const satisfies readonly (keyof RowsQuestion)[];
/** One of `comparedKinds`. */
export type ComparedKind = (typeof comparedKinds)[number];

/** The scope of a full resync. */
export const everything: ResyncScope = { all: true };

/** A request for a resync. `deep`: whether to read all ports, also those whose revisions have not changed. `progress`: whether the caller wants to be called with its progress. */
export type ResyncRequest = { readonly scope: ResyncScope; readonly dryRun: boolean; readonly deep: boolean; readonly progress: boolean };

const request = named.extend({ dry_run: z.boolean().default(false), deep: z.boolean().default(false), progress: z.boolean().default(false) });

/** Parses the parameters of the call `resync`. Without any named object, the scope is everything. undefined when they are malformed. */
export function parseRequest(params: unknown): ResyncRequest | undefined {
  const parsed = request.safeParse(params ?? {});
  if (!parsed.success) return undefined;
  const { dry_run: dryRun, deep, progress, ...scope } = parsed.data;
  const names = scope.networks.length + scope.subnets.length + scope.ports.length + scope.security_groups.length;
  return { scope: names === 0 ? everything : { all: false, ...scope }, dryRun, deep, progress };
}

/** The ids of each kind to compare; undefined when all are to be compared. */
export async function idsOf(scope: ResyncScope, source: Background): Promise<Readonly<Record<ComparedKind, readonly string[]>> | undefined> {
  if (scope.all) return undefined;
  const subnets = new Set(scope.subnets);
  const ports = new Set(scope.ports);
  const groups = new Set(scope.security_groups);
  for (const network of scope.networks) {
    for (const { id } of (await source.subnets({ network })).subnets) subnets.add(id);
    for (const id of await source.portsOf('network', network)) ports.add(id);
  }
  for (const subnet of scope.subnets) for (const id of await source.portsOf('subnet', subnet)) ports.add(id);
  if (scope.include_sgs_for_ports) {
    const { ports: rows } = await source.rows({ ports: [...ports], subnets: [], security_groups: [], address_groups: [] });
    for (const port of rows) for (const group of port.security_groups) groups.add(group);
  }
  return { subnets: [...subnets], address_groups: [], security_groups: [...groups], ports: [...ports] };
}
