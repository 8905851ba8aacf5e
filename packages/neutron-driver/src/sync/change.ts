// A change names an object that has to be checked again, and where it may have left something in etcd. It has no content.
import type { Slot } from '../translate/endpoint.ts';

/** An object that may have changed. */
export type Change =
  /** A port. `slots`: places where it may have endpoints, besides those where it should have them now. */
  | { readonly kind: 'port'; readonly id: string; readonly slots: readonly Slot[] }
  | { readonly kind: 'subnet'; readonly id: string }
  | { readonly kind: 'security_group'; readonly id: string }
  | { readonly kind: 'address_group'; readonly id: string }
  /** All ports to which this object applies; they are looked up when the change is handled. `network_pairs`: only ports whose endpoints contain their network's subnets. `pair_holders`: ports with an address of this port as an allowed address pair. */
  | { readonly kind: 'ports_of'; readonly of: PortsOf; readonly id: string };

/** The kinds of objects that apply to ports. */
export const portsOf = ['network', 'network_pairs', 'pair_holders', 'subnet', 'security_group', 'qos_policy'] as const;
/** One of `portsOf`. */
export type PortsOf = (typeof portsOf)[number];

/** The ports that have an address of this one as an allowed address pair: while it has no endpoint itself (a load balancer's virtual IP), its floating IPs lead to them. */
export const pairHolders = (port: string): Change => ({ kind: 'ports_of', of: 'pair_holders', id: port });

/** Identifies the object: two changes of the same object have the same key. */
export const changeKey = (change: Change): string => (change.kind === 'ports_of' ? `ports_of:${change.of}:${change.id}` : `${change.kind}:${change.id}`);

/** Combines two changes of the same object. */
export function mergeChanges<C extends Change>(known: C | undefined, more: C): C {
  if (known?.kind !== 'port' || more.kind !== 'port') return more;
  return { ...more, slots: mergeSlots(known.slots, more.slots) };
}

/** Combines places, each once. */
export function mergeSlots(...lists: readonly (readonly Slot[])[]): readonly Slot[] {
  return [...new Map(lists.flat().map((slot) => [`${slot.host} ${slot.device}`, slot])).values()];
}
