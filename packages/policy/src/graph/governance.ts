// Determines which policies govern the local endpoints. Endpoints with the same labels form one subject, because the same policies govern them in the same order.
import { type PolicyId, sameContent, type TierPolicies } from '@calico-openstack/datamodel';
import type { HeldPolicy } from '../decode/policy.ts';
import type { TierDefinition } from '../decode/tier.ts';
import type { Labelling } from './labels.ts';
import { Matching } from './matching.ts';
import { inOrder, tiersOf } from './tiers.ts';

/** The tiers that apply in each direction, with their policies in order. */
export type TierLists = { readonly ingress: readonly TierPolicies[]; readonly egress: readonly TierPolicies[] };

/** The policies of a subject by the place where they are enforced. Workloads use `normal` only. */
export type Governed = { readonly normal: TierLists; readonly forward: TierLists; readonly untracked: TierLists; readonly preDnat: TierLists };

const ungoverned: TierLists = { ingress: [], egress: [] };
const nothing: Governed = { normal: ungoverned, forward: ungoverned, untracked: ungoverned, preDnat: ungoverned };

/** The kind of a local endpoint. It decides which policies apply: untracked policies do not apply to the host endpoint for every interface (`*`). */
export type MemberKind = 'workload' | 'host-endpoint' | 'every-interface';

/** A local endpoint. `touch` is called when other policies govern it than before. */
export type Member = { readonly kind: MemberKind; touch(): void };

/** All local endpoints with one labelling. */
export type Subject = {
  readonly labelling: Labelling;
  readonly members: Set<Member>;
  /** The number of members of each kind. */
  readonly count: Record<MemberKind, number>;
  governed: Governed;
  /** All policies in `governed`. */
  policies: ReadonlySet<PolicyId>;
};

/** Counts the users of policies. */
export type PolicyUsers = { retain(id: PolicyId): void; release(id: PolicyId): void };

/** Policies, tiers and subjects. */
export class Governance {
  readonly #users: PolicyUsers;
  readonly #policies = new Map<PolicyId, HeldPolicy>();
  readonly #tiers = new Map<string, TierDefinition>();
  readonly #subjects = new Map<Labelling, Subject>();
  readonly #matching = new Matching<PolicyId>();
  readonly #dirty = new Set<Subject>();

  constructor(users: PolicyUsers) {
    this.#users = users;
  }

  get policyCount(): number {
    return this.#policies.size;
  }

  get tierCount(): number {
    return this.#tiers.size;
  }

  /** The definition of a policy; undefined when there is none. */
  policy(id: PolicyId): HeldPolicy | undefined {
    return this.#policies.get(id);
  }

  /** Sets a policy; undefined removes it. Cost: the local labellings that it governs before and after; nothing when only its rules changed. */
  setPolicy(id: PolicyId, policy: HeldPolicy | undefined): void {
    const before = this.#policies.get(id);
    if (policy) this.#policies.set(id, policy);
    else this.#policies.delete(id);
    if (before && policy && governsAlike(before, policy)) return;
    if (before) this.#markGoverned(before);
    if (policy) {
      this.#matching.addUser(policy.selector, id);
      this.#markGoverned(policy);
    }
    if (before && before.selector.text !== policy?.selector.text) this.#matching.removeUser(before.selector, id);
  }

  /** Sets a tier; undefined removes it. Every subject is recomputed, because tiers are few and change seldom. */
  setTier(name: string, tier: TierDefinition | undefined): void {
    if (sameContent(this.#tiers.get(name), tier)) return;
    if (tier) this.#tiers.set(name, tier);
    else this.#tiers.delete(name);
    for (const subject of this.#subjects.values()) this.#dirty.add(subject);
  }

  /** Adds a local endpoint with this labelling, and returns its subject. */
  join(labelling: Labelling, member: Member): Subject {
    let subject = this.#subjects.get(labelling);
    if (!subject) {
      subject = { labelling, members: new Set(), count: { workload: 0, 'host-endpoint': 0, 'every-interface': 0 }, governed: nothing, policies: new Set() };
      this.#subjects.set(labelling, subject);
      this.#matching.addLabelling(labelling);
    }
    subject.members.add(member);
    subject.count[member.kind] += 1;
    if (subject.count[member.kind] === 1) this.#dirty.add(subject);
    return subject;
  }

  /** Removes a local endpoint from its subject. */
  leave(subject: Subject, member: Member): void {
    subject.members.delete(member);
    subject.count[member.kind] -= 1;
    if (subject.count[member.kind] === 0) this.#dirty.add(subject);
  }

  /** Recomputes the subjects that changed, and touches the members of those that other policies govern now. */
  settle(): void {
    for (const subject of this.#dirty) {
      const { labelling, members } = subject;
      const governed = this.#govern(subject);
      if (members.size === 0) {
        this.#matching.removeLabelling(labelling);
        this.#subjects.delete(labelling);
      }
      if (sameContent(subject.governed, governed)) continue;
      subject.governed = governed;
      const policies = policiesIn(governed);
      for (const id of policies) if (!subject.policies.has(id)) this.#users.retain(id);
      for (const id of subject.policies) if (!policies.has(id)) this.#users.release(id);
      subject.policies = policies;
      for (const member of members) member.touch();
    }
    this.#dirty.clear();
  }

  #govern(subject: Subject): Governed {
    if (subject.members.size === 0) return nothing;
    const policies: HeldPolicy[] = [];
    for (const id of this.#matching.usersOf(subject.labelling)) policies.push(this.#policies.get(id)!);
    const ordered = inOrder(policies, this.#tiers);
    const lists = (chosen: (policy: HeldPolicy) => boolean, endAction?: 'pass'): TierLists => {
      const some = ordered.filter(chosen);
      return { ingress: tiersOf(some, 'ingress', this.#tiers, endAction), egress: tiersOf(some, 'egress', this.#tiers, endAction) };
    };
    const { 'host-endpoint': named, 'every-interface': unnamed } = subject.count;
    return {
      normal: lists(({ use }) => use === 'normal'),
      forward: named + unnamed > 0 ? lists(({ use, applyOnForward }) => use === 'normal' && applyOnForward) : ungoverned,
      untracked: named > 0 ? lists(({ use }) => use === 'untracked', 'pass') : ungoverned,
      preDnat: named + unnamed > 0 ? lists(({ use }) => use === 'pre-dnat', 'pass') : ungoverned,
    };
  }

  #markGoverned(policy: HeldPolicy): void {
    for (const labelling of this.#matching.labellingsOf(policy.selector)) {
      const subject = this.#subjects.get(labelling);
      if (subject) this.#dirty.add(subject);
    }
  }
}

function governsAlike(before: HeldPolicy, after: HeldPolicy): boolean {
  return (
    before.selector.text === after.selector.text &&
    before.tier === after.tier &&
    before.order === after.order &&
    before.use === after.use &&
    before.applyOnForward === after.applyOnForward &&
    before.governs.ingress === after.governs.ingress &&
    before.governs.egress === after.governs.egress
  );
}

function policiesIn(governed: Governed): Set<PolicyId> {
  const ids = new Set<PolicyId>();
  for (const { ingress, egress } of Object.values(governed)) for (const { policies } of [...ingress, ...egress]) for (const id of policies) ids.add(id);
  return ids;
}
