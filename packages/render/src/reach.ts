// Determines whether rules allow every packet. Neutron gives each new security group two egress rules that allow everything, so nearly every workload may send everywhere. Such workloads
// share one class, and the kernel neither walks nor checks the chains of their groups in that direction.
import type { Rule } from '@calico-openstack/datamodel';

/**
 * The effect of rules in one direction. `everything`: they allow every packet of both families. `allows`: they allow some packets, and do nothing else. `judges`: they also deny, pass or
 * log packets.
 */
export type Reach = 'everything' | 'allows' | 'judges';

/** The effect of the rules of one direction, in their order. */
export function reachOf(rules: readonly Rule[]): Reach {
  const open = new Set<4 | 6>();
  for (const rule of rules) {
    if (rule.action !== 'allow') return 'judges';
    if (hasConditions(rule)) continue;
    for (const family of rule.ipVersion === undefined ? ([4, 6] as const) : [rule.ipVersion]) open.add(family);
    if (open.size === 2) return 'everything'; // no packet reaches the rules behind this one
  }
  return 'allows';
}

/** Whether policies allow every packet. The first one in this order that decides counts. */
export function allowsEverything(reaches: Iterable<Reach | undefined>): boolean {
  for (const reach of reaches) {
    if (reach === 'everything') return true;
    if (reach !== 'allows') return false;
  }
  return false;
}

/** Whether a rule has conditions other than the family. */
function hasConditions({ action: _action, ipVersion: _ipVersion, source, destination, ...others }: Rule): boolean {
  return [others, source, destination].some((conditions) => Object.values(conditions).some((value) => value !== undefined));
}
