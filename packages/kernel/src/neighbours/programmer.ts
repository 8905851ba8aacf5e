// Keeps the kernel's neighbour entries as desired.
import { type Programmer, type ProgrammerOptions, programmer } from '../programmer/programmer.ts';
import { type KernelNeighbour, type Neighbour, neighbourKind } from './neighbour.ts';

/**
 * A `Programmer` of neighbours. Its keys are those of `neighbourKey`. `set` throws RangeError for a value that is not a neighbour. A desired entry replaces a learned one, and an entry that
 * another program (such as Dnsmasq) has put in its place is replaced again.
 */
export function createNeighbourProgrammer(options: Omit<ProgrammerOptions<Neighbour, KernelNeighbour>, 'kind'>): Programmer<Neighbour> {
  return programmer({ ...options, kind: neighbourKind });
}

/** All permanent entries and proxies on links whose names start with one of the prefixes are ours. */
export const ownsNeighbours =
  ({ devicePrefixes }: { readonly devicePrefixes: readonly string[] }) =>
  ({ kind }: KernelNeighbour, deviceName: string | undefined): boolean =>
    kind !== 'learned' && deviceName !== undefined && devicePrefixes.some((prefix) => deviceName.startsWith(prefix));
