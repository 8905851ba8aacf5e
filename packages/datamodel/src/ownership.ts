// Decides which endpoint owns an address that several endpoints name. Felix, the DHCP agent and the driver use the same order, so they agree without any message between them.
import { compareText } from './text-order.ts';

/** How an endpoint got an address. `fixed`: from Neutron, as a fixed or a floating IP. `pair`: as an allowed address pair, which a tenant may write. */
export type ClaimKind = 'fixed' | 'pair';

/** An endpoint's claim to an address. */
export type AddressClaim = {
  readonly kind: ClaimKind;
  /** The endpoint's creationTimestamp in milliseconds since 1970; `Infinity` when the value has none, so that leaving it out gains nothing. */
  readonly createdMs: number;
  /** Decides between endpoints of the same age. */
  readonly id: string;
};

/** Compares two claims to one address, for `sort`: the first claim owns it. A fixed address comes before a pair, then the older endpoint, then the lower id (byte by byte). */
export function compareClaims(first: AddressClaim, second: AddressClaim): number {
  if (first.kind !== second.kind) return first.kind === 'fixed' ? -1 : 1;
  if (first.createdMs !== second.createdMs) return first.createdMs < second.createdMs ? -1 : 1;
  return compareText(first.id, second.id);
}
