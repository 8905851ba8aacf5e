// How much one value may hold of what costs more than reading it, far above what any cloud has: a workload with more is somebody's mistake, or meant to hurt, and would hold up the others of its host.
import type { Labels } from './resource.ts';

/** The most that an endpoint may have of each. Neutron's own default is 5 fixed IPs and 10 allowed address pairs a port. */
export const endpointMost = { addresses: 1024, floatingIps: 1024, spoofedPrefixes: 1024, ports: 256, profiles: 64 } as const;

/** The most labels of what selectors are asked about: an endpoint, a network set, and what a profile gives to endpoints. */
export const labelsMost = 1024;

/** A fragment that fits behind a field's name when it holds more than it may. */
export const tooMany = (count: number, most: number): string | undefined => (count > most ? `holds ${count} entries, and ${most} are the most` : undefined);

/** The same for labels. */
export const tooManyLabels = (labels: Labels): string | undefined => tooMany(Object.keys(labels).length, labelsMost);
