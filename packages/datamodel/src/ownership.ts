// Who has an address that several endpoints name: one order for every part, so that Felix, the DHCP agent and the driver agree without asking each other.
import { compareText } from './text-order.ts';

/** How an endpoint came to an address. `fixed`: Neutron gave it, as a fixed or a floating address; `pair`: an allowed address pair, which a tenant may write. */
export type ClaimKind = 'fixed' | 'pair';

export type AddressClaim = {
  readonly kind: ClaimKind;
  /** The endpoint's creationTimestamp in milliseconds since 1970; `Infinity` when its value tells none, so that nobody gains by leaving it out. */
  readonly createdMs: number;
  /** Decides between endpoints of one age. */
  readonly id: string;
};

/** Sorts claims of one address: the first has it. A fixed address before a pair, then the older endpoint, then the lower id, byte by byte. */
export function compareClaims(first: AddressClaim, second: AddressClaim): number {
  if (first.kind !== second.kind) return first.kind === 'fixed' ? -1 : 1;
  if (first.createdMs !== second.createdMs) return first.createdMs < second.createdMs ? -1 : 1;
  return compareText(first.id, second.id);
}
