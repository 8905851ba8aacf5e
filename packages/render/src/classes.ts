// Classes. Endpoints with the same policies in the same order form one class: they share one chain, and a new endpoint of a known class adds no chain and no rule.
//
//   interface ──map──► class number ──verdict map──► class chain ──jump──► tier chain ──jump──► policy chain
//
// A policy chain drops the packet, or returns with the accept mark, with the pass mark, or with neither when no rule matched.
import { type EndpointPolicy, type PolicyId, type ProfileId, shortDigest, type TierPolicies } from '@calico-openstack/datamodel';
import type { NftChain, NftElement, NftRule } from '@calico-openstack/kernel/nftables/objects';
import type { EditList } from './edits.ts';
import { classChain, type Direction, policyChain, profileChain, tierChain } from './names.ts';
import type { RenderOptions } from './options.ts';
import { deny } from './rules.ts';
import { clearMark, connectionIs, goBack, jump, markHas, markHasAny, rule, u32 } from './statements.ts';

/** The name of the map from class numbers to class chains. */
export const classMap = (direction: Direction): string => `classes-${direction}`;

/** The content of a class in one direction. */
type ClassPolicy = { readonly tiers: readonly TierPolicies[]; readonly profiles: readonly ProfileId[] };

/**
 * Whose packets a class judges. `workload`: what nothing allows is denied. `host`: the same for the host's own sockets, where packets that conntrack calls invalid are denied first.
 * `host-forward`: what a tier neither allows nor denies may go on; invalid packets are denied where there is a tier. `host-early`: what nothing denies may go on.
 */
export type ClassKind = 'workload' | 'host' | 'host-forward' | 'host-early';

type Class = { readonly content: string; readonly number: number; readonly policy: ClassPolicy; readonly kind: ClassKind; users: number };
type Tier = { readonly tier: TierPolicies; users: number };

/** What a tier's chain depends on: its policies and its end action, but not its name. */
const tierContent = (tier: TierPolicies): string => JSON.stringify([tier.policies, tier.endAction]);

/** What a class's chain depends on. */
const classContent = ({ tiers, profiles }: ClassPolicy, kind: ClassKind): string =>
  JSON.stringify([tiers.map(tierContent), profiles, ...(kind === 'workload' ? [] : [kind])]);

/** The classes of one direction, with their chains. */
export class Classes {
  readonly #direction: Direction;
  readonly #classes = new Map<string, Class>();
  readonly #numbers = new Set<number>();
  readonly #tiers = new Map<string, Tier>();

  constructor(direction: Direction) {
    this.#direction = direction;
  }

  /** Counts one more endpoint of the class with this policy, and creates the class if it is new. Returns the class's number. */
  acquire(endpoint: EndpointPolicy, options: RenderOptions, edits: EditList, kind: ClassKind = 'workload'): number {
    const policy = this.#policyOf(endpoint);
    const content = classContent(policy, kind);
    const known = this.#classes.get(content);
    if (known) {
      known.users += 1;
      return known.number;
    }
    const fresh = { content, number: this.#freeNumber(content), policy, kind, users: 1 };
    this.#classes.set(content, fresh);
    this.#numbers.add(fresh.number);
    for (const tier of policy.tiers) this.#acquireTier(tier, options, edits);
    edits.setChain(this.#chain(fresh, options));
    edits.addElements(classMap(this.#direction), [this.#element(fresh)]);
    return fresh.number;
  }

  /** Counts one endpoint less, and removes the class after the last. */
  release(endpoint: EndpointPolicy, edits: EditList, kind: ClassKind = 'workload'): void {
    const content = classContent(this.#policyOf(endpoint), kind);
    const known = this.#classes.get(content)!;
    known.users -= 1;
    if (known.users > 0) return;
    this.#classes.delete(content);
    this.#numbers.delete(known.number);
    edits.removeElements(classMap(this.#direction), [this.#element(known)]);
    edits.removeChain(classChain(this.#direction, content));
    for (const tier of known.policy.tiers) this.#releaseTier(tier, edits);
  }

  /** The name of the chain of a class. */
  chainOf(endpoint: EndpointPolicy, kind: ClassKind): string {
    return classChain(this.#direction, classContent(this.#policyOf(endpoint), kind));
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
    const decided = rule(markHasAny(options.acceptMark | options.passMark), goBack);
    const policies = tier.policies.flatMap((id: PolicyId): NftRule[] => [rule(jump(policyChain(this.#direction, id))), decided]);
    return { name: tierChain(this.#direction, tierContent(tier)), rules: tier.endAction === 'deny' ? [...policies, rule(deny(options))] : policies };
  }

  #chain(known: Class, options: RenderOptions): NftChain {
    const accepted = rule(markHas(options.acceptMark), goBack);
    const tiers = known.policy.tiers.flatMap((tier): NftRule[] => [
      rule(jump(tierChain(this.#direction, tierContent(tier)))),
      accepted,
      rule(clearMark(options.passMark)),
    ]);
    const profiles = known.policy.profiles.flatMap((id): NftRule[] => [rule(jump(profileChain(this.#direction, id))), accepted]);
    const first = known.kind === 'host' || (known.kind === 'host-forward' && tiers.length > 0) ? invalidRules(options) : [];
    const last = known.kind === 'workload' || known.kind === 'host' ? [rule(deny(options))] : [];
    return { name: classChain(this.#direction, known.content), rules: [...first, ...tiers, ...profiles, ...last] };
  }
}

/** The rules that deny packets which conntrack calls invalid. */
export const invalidRules = (options: RenderOptions): NftRule[] => (options.dropInvalid ? [rule(connectionIs('invalid'), deny(options))] : []);
