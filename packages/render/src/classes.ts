// Classes. Endpoints with the same policies in the same order form one class: they share one chain, and a new endpoint of a known class adds no chain and no rule.
//
//   interface ──map──► class number ──verdict map──► class chain ──jump──► tier chain ──jump──► policy chain
//
// Whenever rules change, the kernel checks all chains by every way that leads to them. So a class has as few chains as its policy allows: a class with a single tier has the tier's rules
// itself, and all workloads that may send or receive everything are one class without policy chains.
//
// A policy chain drops the packet, or returns with the accept mark, with the pass mark, or with neither when no rule matched.
import { type EndpointPolicy, type PolicyId, type ProfileId, shortDigest, type TierPolicies } from '@calico-openstack/datamodel';
import type { NftChain, NftElement, NftRule } from '@calico-openstack/kernel/nftables/objects';
import type { EditList } from './edits.ts';
import { classChain, type Direction, policyChain, profileChain, tierChain } from './names.ts';
import type { RenderOptions } from './options.ts';
import { allowsEverything, type Reach } from './reach.ts';
import { deny } from './rules.ts';
import { clearMark, connectionIs, goBack, jump, markHas, markHasAny, rule, setMark, u32 } from './statements.ts';

/** The name of the map from class numbers to class chains. */
export const classMap = (direction: Direction): string => `classes-${direction}`;

/** The content of a class in one direction. */
type ClassPolicy = { readonly tiers: readonly TierPolicies[]; readonly profiles: readonly ProfileId[] };

/**
 * The packets that a class judges. `workload`: packets that no policy allows are denied. `host`: the same for the host's own sockets, where packets that conntrack calls invalid are denied
 * first. `host-forward`: packets that no tier allows or denies go on; invalid packets are denied where there is a tier. `host-early`: packets that no policy denies go on.
 */
export type ClassKind = 'workload' | 'host' | 'host-forward' | 'host-early';

type Class = { readonly content: string; readonly number: number; readonly policy: ClassPolicy; readonly kind: ClassKind; users: number };
type Tier = { readonly tier: TierPolicies; users: number };

/** The data on which a tier's chain depends: its policies and its end action, but not its name. */
const tierContent = (tier: TierPolicies): string => JSON.stringify([tier.policies, tier.endAction]);

/** The data on which a class's chain depends. */
const classContent = ({ tiers, profiles }: ClassPolicy, kind: ClassKind): string =>
  JSON.stringify([tiers.map(tierContent), profiles, ...(kind === 'workload' ? [] : [kind])]);

/** The content of the class of workloads whose policy allows every packet. */
const everything = 'everything';

/** Whether the rules of the class's only tier stand in the class's own chain. A packet that such a tier passes on is denied, because no tier follows. */
const isOfOneTier = ({ policy: { tiers, profiles }, kind }: Class): boolean => kind === 'workload' && tiers.length === 1 && profiles.length === 0;

/** The effect of the rules of a policy or a profile in the direction of the classes; undefined for an unknown one. */
export type Reaches = ReadonlyMap<PolicyId | ProfileId, Reach>;

/** The classes of one direction, with their chains. */
export class Classes {
  readonly #direction: Direction;
  readonly #reaches: Reaches;
  readonly #classes = new Map<string, Class>();
  readonly #numbers = new Set<number>();
  readonly #tiers = new Map<string, Tier>();

  constructor(direction: Direction, reaches: Reaches) {
    this.#direction = direction;
    this.#reaches = reaches;
  }

  /** Counts one more endpoint of the class with this policy, and creates the class if it is new. Returns the class's number, and the content by which the endpoint releases it. */
  acquire(
    endpoint: EndpointPolicy,
    options: RenderOptions,
    edits: EditList,
    kind: ClassKind = 'workload',
  ): { readonly number: number; readonly content: string } {
    const content = this.contentOf(endpoint, kind);
    const known = this.#classes.get(content);
    if (known) {
      known.users += 1;
      return known;
    }
    const policy = content === everything ? { tiers: [], profiles: [] } : this.#policyOf(endpoint);
    const fresh = { content, number: this.#freeNumber(content), policy, kind, users: 1 };
    this.#classes.set(content, fresh);
    this.#numbers.add(fresh.number);
    for (const tier of isOfOneTier(fresh) ? [] : policy.tiers) this.#acquireTier(tier, options, edits);
    edits.setChain(this.#chain(fresh, options));
    edits.addElements(classMap(this.#direction), [this.#element(fresh)]);
    return fresh;
  }

  /** Counts one endpoint less, and removes the class after the last. */
  release(content: string, edits: EditList): void {
    const known = this.#classes.get(content)!;
    known.users -= 1;
    if (known.users > 0) return;
    this.#classes.delete(content);
    this.#numbers.delete(known.number);
    edits.removeElements(classMap(this.#direction), [this.#element(known)]);
    edits.removeChain(classChain(this.#direction, content));
    for (const tier of isOfOneTier(known) ? [] : known.policy.tiers) this.#releaseTier(tier, edits);
  }

  /** The data on which the chain of an endpoint's class depends. A workload's changes when a policy begins or ceases to allow everything. */
  contentOf(endpoint: EndpointPolicy, kind: ClassKind = 'workload'): string {
    const policy = this.#policyOf(endpoint);
    if (kind !== 'workload') return classContent(policy, kind);
    const first = policy.tiers.length > 0 ? policy.tiers[0]!.policies : policy.profiles;
    return allowsEverything(first.map((id) => this.#reaches.get(id))) ? everything : classContent(policy, kind);
  }

  /** The name of the chain of a class. */
  chainOf(endpoint: EndpointPolicy, kind: ClassKind): string {
    return classChain(this.#direction, this.contentOf(endpoint, kind));
  }

  /** Writes every chain again, because the options changed. */
  rewrite(options: RenderOptions, edits: EditList): void {
    for (const { tier } of this.#tiers.values()) edits.setChain(this.#tierChain(tier, options));
    for (const known of this.#classes.values()) edits.setChain(this.#chain(known, options));
  }

  #policyOf(endpoint: EndpointPolicy): ClassPolicy {
    return { tiers: endpoint[this.#direction], profiles: endpoint.profiles };
  }

  /** A number derived from the content, so that a restart finds the numbers that are in the kernel. When two contents collide, the second gets the next free number. */
  #freeNumber(content: string): number {
    let number = Number.parseInt(shortDigest(content, 6), 32) + 1; // 30 bits
    while (this.#numbers.has(number)) number += 1;
    return number;
  }

  #element(known: Class): NftElement {
    return { key: u32(known.number), verdict: { verdict: 'goto', chain: classChain(this.#direction, known.content) } };
  }

  #acquireTier(tier: TierPolicies, options: RenderOptions, edits: EditList): void {
    const content = tierContent(tier);
    const known = this.#tiers.get(content);
    if (known) known.users += 1;
    else {
      this.#tiers.set(content, { tier, users: 1 });
      edits.setChain(this.#tierChain(tier, options));
    }
  }

  #releaseTier(tier: TierPolicies, edits: EditList): void {
    const content = tierContent(tier);
    const known = this.#tiers.get(content)!;
    known.users -= 1;
    if (known.users > 0) return;
    this.#tiers.delete(content);
    edits.removeChain(tierChain(this.#direction, content));
  }

  #tierChain(tier: TierPolicies, options: RenderOptions): NftChain {
    return { name: tierChain(this.#direction, tierContent(tier)), rules: this.#tierRules(tier, options) };
  }

  #tierRules(tier: TierPolicies, options: RenderOptions): NftRule[] {
    const decided = rule(markHasAny(options.acceptMark | options.passMark), goBack);
    const policies = tier.policies.flatMap((id: PolicyId): NftRule[] => [rule(jump(policyChain(this.#direction, id))), decided]);
    return tier.endAction === 'deny' ? [...policies, rule(deny(options))] : policies;
  }

  #chain(known: Class, options: RenderOptions): NftChain {
    return { name: classChain(this.#direction, known.content), rules: this.#rules(known, options) };
  }

  #rules(known: Class, options: RenderOptions): NftRule[] {
    if (known.content === everything) return [rule(setMark(options.acceptMark), goBack)];
    if (isOfOneTier(known)) return this.#tierRules(known.policy.tiers[0]!, options);
    const accepted = rule(markHas(options.acceptMark), goBack);
    const tiers = known.policy.tiers.flatMap((tier): NftRule[] => [
      rule(jump(tierChain(this.#direction, tierContent(tier)))),
      accepted,
      rule(clearMark(options.passMark)),
    ]);
    const profiles = known.policy.profiles.flatMap((id): NftRule[] => [rule(jump(profileChain(this.#direction, id))), accepted]);
    const { first, last } = classEnds(known.kind, tiers.length > 0, options);
    return [...first, ...tiers, ...profiles, ...last];
  }
}

/** The rules before and behind the policies of a class. */
function classEnds(kind: ClassKind, hasTiers: boolean, options: RenderOptions): { readonly first: readonly NftRule[]; readonly last: readonly NftRule[] } {
  switch (kind) {
    case 'workload':
      return { first: [], last: [rule(deny(options))] };
    case 'host':
      return { first: invalidRules(options), last: [rule(deny(options))] };
    case 'host-forward':
      return { first: hasTiers ? invalidRules(options) : [], last: [] };
    case 'host-early':
      return { first: [], last: [] };
    default:
      throw new TypeError(`there is no class of the kind ${kind satisfies never}`);
  }
}

/** The rules that deny packets which conntrack calls invalid. */
export const invalidRules = (options: RenderOptions): NftRule[] => (options.dropInvalid ? [rule(connectionIs('invalid'), deny(options))] : []);
