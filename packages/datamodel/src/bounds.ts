// Limits on those parts of a value that cost more than reading them. They lie far above what any cloud has: a workload beyond them is a mistake or an attack, and would slow down
// the other workloads of its host.
import type { Labels } from './resource.ts';

/** The most of each that an endpoint may have. For comparison, Neutron's defaults are 5 fixed IPs and 10 allowed address pairs a port. */
export const endpointMost = { addresses: 1024, floatingIps: 1024, spoofedPrefixes: 1024, ports: 256, profiles: 64 } as const;

/** The most labels of anything that selectors match: an endpoint, a network set, and what a profile gives to endpoints. */
export const labelsMost = 1024;

/** The reason for a refusal, as a phrase that follows the field's name, when `count` exceeds `most`; otherwise undefined. */
export const tooMany = (count: number, most: number): string | undefined => (count > most ? `holds ${count} entries, and ${most} are the most` : undefined);

/** `tooMany` for the number of labels. */
export const tooManyLabels = (labels: Labels): string | undefined => tooMany(Object.keys(labels).length, labelsMost);
