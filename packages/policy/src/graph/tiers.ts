// The order in which policies apply to one endpoint: which tiers count in which direction, and which policies stand in them.
import { compareText, type PolicyId, type TierPolicies } from '@calico-openstack/datamodel';
import { type Direction, type PolicyDefinition, unknownTier } from '../decode/policy.ts';
import type { TierDefinition } from '../decode/tier.ts';
import { compareNumbers } from './order.ts';

/** By order, then by name; those that only a policy names come after all that exist. */
function compareTiers(first: string, second: string, tiers: ReadonlyMap<string, TierDefinition>): number {
  if (first === second) return 0;
  if (first === unknownTier || second === unknownTier) return first === unknownTier ? -1 : 1;
  const [one, other] = [tiers.get(first), tiers.get(second)];
  if (!one !== !other) return one ? -1 : 1;
  return (one && other ? compareNumbers(one.order, other.order) : 0) || compareText(first, second);
}

/** All of one endpoint's policies, of any use, in the order in which they apply. */
export function inOrder(policies: Iterable<PolicyDefinition>, tiers: ReadonlyMap<string, TierDefinition>): readonly PolicyDefinition[] {
  return [...policies].sort(
    (first, second) => compareTiers(first.tier, second.tier, tiers) || compareNumbers(first.order, second.order) || compareText(first.rank, second.rank),
  );
}

/**
 * The tiers that count in a direction: those of which a policy governs it. A missing tier ends in Deny.
 * @param policies In order.
 * @param endAction What every tier ends in, where that does not depend on the tier (before DNAT and before tracking, only a rule denies).
 */
export function tiersOf(
  policies: readonly PolicyDefinition[],
  direction: Direction,
  tiers: ReadonlyMap<string, TierDefinition>,
  endAction?: 'pass',
): readonly TierPolicies[] {
  const lists: { readonly tier: string; readonly policies: PolicyId[]; readonly endAction: 'deny' | 'pass' }[] = [];
  for (const { id, tier, [direction]: rules } of policies) {
    if (rules === undefined) continue;
    const last = lists.at(-1);
    if (last?.tier === tier) last.policies.push(id);
    else lists.push({ tier, policies: [id], endAction: endAction ?? tiers.get(tier)?.endAction ?? 'deny' });
  }
  return lists;
}
