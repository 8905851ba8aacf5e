// The order in which policies apply to one endpoint, tier by tier.
import { compareText, type PolicyId, type TierPolicies } from '@calico-openstack/datamodel';
import { type Direction, type HeldPolicy, unknownTier } from '../decode/policy.ts';
import type { TierDefinition } from '../decode/tier.ts';
import { compareNumbers } from './order.ts';

/** Sorts tiers by order, then by name. Tiers that only a policy names come after all that exist. */
function compareTiers(first: string, second: string, tiers: ReadonlyMap<string, TierDefinition>): number {
  if (first === second) return 0;
  if (first === unknownTier || second === unknownTier) return first === unknownTier ? -1 : 1;
  const [one, other] = [tiers.get(first), tiers.get(second)];
  if (!one !== !other) return one ? -1 : 1;
  return (one && other ? compareNumbers(one.order, other.order) : 0) || compareText(first, second);
}

/** Sorts the policies of an endpoint, of any use, into the order in which they apply. */
export function inOrder(policies: Iterable<HeldPolicy>, tiers: ReadonlyMap<string, TierDefinition>): readonly HeldPolicy[] {
  return [...policies].sort(
    (first, second) => compareTiers(first.tier, second.tier, tiers) || compareNumbers(first.order, second.order) || compareText(first.rank, second.rank),
  );
}

/**
 * The tiers that apply in a direction: those with a policy that governs the direction. A tier that does not exist ends in Deny.
 * @param policies in the order in which they apply
 * @param endAction the action at the end of every tier, where it does not depend on the tier: before DNAT and before tracking, only a rule can deny
 */
export function tiersOf(
  policies: readonly HeldPolicy[],
  direction: Direction,
  tiers: ReadonlyMap<string, TierDefinition>,
  endAction?: 'pass',
): readonly TierPolicies[] {
  const lists: { readonly tier: string; readonly policies: PolicyId[]; readonly endAction: 'deny' | 'pass' }[] = [];
  for (const { id, tier, governs } of policies) {
    if (!governs[direction]) continue;
    const last = lists.at(-1);
    if (last?.tier === tier) last.policies.push(id);
    else lists.push({ tier, policies: [id], endAction: endAction ?? tiers.get(tier)?.endAction ?? 'deny' });
  }
  return lists;
}
