// Neighbours made as they are wanted.
import { type Programmer, type ProgrammerOptions, programmer } from '../programmer/programmer.ts';
import { type KernelNeighbour, type Neighbour, neighbourKind } from './neighbour.ts';

/**
 * See `Programmer`; keys are `neighbourKey`'s. `set` throws RangeError for a value that is no neighbour. An entry that was learned gives way to one that is wanted,
 * and one that somebody (Dnsmasq, a guest's announcement through another program) put in its place is replaced again.
 */
export function createNeighbourProgrammer(options: Omit<ProgrammerOptions<Neighbour, KernelNeighbour>, 'kind'>): Programmer<Neighbour> {
  return programmer({ ...options, kind: neighbourKind });
}

/** All permanent entries and proxies on links whose names start with one of the prefixes are ours. */
export const ownsNeighbours =
  ({ devicePrefixes }: { readonly devicePrefixes: readonly string[] }) =>
  ({ kind }: KernelNeighbour, deviceName: string | undefined): boolean =>
    kind !== 'learned' && deviceName !== undefined && devicePrefixes.some((prefix) => deviceName.startsWith(prefix));
