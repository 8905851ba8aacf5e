// What may have changed: an object to look at again. No state, no delta: only which object, and where in etcd it may have left something.
import type { Slot } from '../translate/endpoint.ts';

export type Change =
  | { readonly kind: 'port'; readonly id: string /** Where its endpoints may be, beside where they should be now. */; readonly slots: readonly Slot[] }
  | { readonly kind: 'subnet'; readonly id: string }
  | { readonly kind: 'security_group'; readonly id: string }
  | { readonly kind: 'address_group'; readonly id: string }
  /** All ports that this object shows in, looked up when it is their turn. `network_pairs`: only those whose endpoints say where their network's subnets are. */
  | { readonly kind: 'ports_of'; readonly of: PortsOf; readonly id: string };

export const portsOf = ['network', 'network_pairs', 'subnet', 'security_group', 'qos_policy'] as const;
export type PortsOf = (typeof portsOf)[number];

/** Which object it is about: two changes of one object are one. */
export const changeKey = (change: Change): string => (change.kind === 'ports_of' ? `ports_of:${change.of}:${change.id}` : `${change.kind}:${change.id}`);

/** Both changes of one object. */
export function mergeChanges<C extends Change>(known: C | undefined, more: C): C {
  if (known?.kind !== 'port' || more.kind !== 'port') return more;
  return { ...more, slots: mergeSlots(known.slots, more.slots) };
}

export function mergeSlots(...lists: readonly (readonly Slot[])[]): readonly Slot[] {
  return [...new Map(lists.flat().map((slot) => [`${slot.host} ${slot.device}`, slot])).values()];
}
