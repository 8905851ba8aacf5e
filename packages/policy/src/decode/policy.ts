// Decodes NetworkPolicy and GlobalNetworkPolicy: which endpoints they govern, in which order, and their rules.
import { type Decoded, type PolicyId, show } from '@calico-openstack/datamodel';
import { canonical, type Selector } from '../selector/canonical.ts';
import { fieldNames, readFields, readFlag, readNumber, readText, readTexts } from './fields.ts';
import { type Reading, readResource } from './reading.ts';
import { decodeRules, onlyDenials, type RuleDefinition } from './rule.ts';
import { readPolicyScope } from './scope.ts';

/** The kind of a policy resource. */
export type PolicyKind = 'NetworkPolicy' | 'GlobalNetworkPolicy';
/** As seen from the endpoint: towards it, or away from it. */
export type Direction = 'ingress' | 'egress';

/** Where a policy's rules are enforced. Only `normal` policies affect workloads; the others are for host endpoints. */
export type PolicyUse = 'normal' | 'pre-dnat' | 'untracked';

/** A policy, as far as it is understood. */
export type PolicyDefinition = {
  readonly id: PolicyId;
  /** `name/namespace/kind`: sorts policies of the same order. */
  readonly rank: string;
  readonly selector: Selector;
  readonly tier: string;
  /** The lowest order is applied first. Infinity when the policy states none. */
  readonly order: number;
  readonly use: PolicyUse;
  /** Whether the policy applies to forwarded traffic at host endpoints too. */
  readonly applyOnForward: boolean;
  /** The rules of each direction that the policy governs; undefined where it does not. */
  readonly ingress: readonly RuleDefinition[] | undefined;
  readonly egress: readonly RuleDefinition[] | undefined;
};

/** The rules of both directions; those of a direction that the policy does not govern are none. */
export type RuleLists = Readonly<Record<Direction, readonly RuleDefinition[]>>;

/**
 * What is kept of a policy: which endpoints it governs and where it stands. `rules` decodes the rules from its value again. A host uses few of a cloud's policies, and decoded
 * rules take three times the memory of their text.
 */
export type HeldPolicy = Omit<PolicyDefinition, Direction> & { readonly governs: Readonly<Record<Direction, boolean>>; rules(): RuleLists };

/** The tier of a policy that names none. It exists even when nobody created it. */
export const defaultTier = 'default';
/** The tier of policies whose own tier is not understood. It comes before all others, because their denials may have to come first. No Tier resource can have this name. */
export const unknownTier = '';

const policyFields = fieldNames(
  'tier',
  'order',
  'selector',
  'namespaceSelector',
  'serviceAccountSelector',
  'ingress',
  'egress',
  'types',
  'doNotTrack',
  'preDNAT',
  'applyOnForward',
);
type PolicyFields = ReturnType<typeof readFields<'tier' | 'order' | 'types' | 'doNotTrack' | 'preDNAT' | 'applyOnForward' | 'ingress' | 'egress'>>['fields'];

/** Identifies a policy: `<kind>/<namespace or empty>/<name>`. `join` makes a flat string; a template makes a tree of pieces, and each of ten thousand policies keeps its own. */
export const policyId = (kind: PolicyKind, namespace: string | undefined, name: string): PolicyId => [kind, namespace, name].join('/') as PolicyId;

/**
 * Absent when the value is not a resource, or when one of the policy's own selectors does not parse: then nobody knows which endpoints it governs.
 * When anything else is not understood, only the policy's Deny rules remain, at the place where they deny most.
 * @param namespace undefined for a GlobalNetworkPolicy
 */
export function decodePolicy(bytes: Uint8Array, kind: PolicyKind, namespace: string | undefined, name: string): Reading<PolicyDefinition> {
  return readResource(bytes, ({ spec }, complain) => {
    const { fields } = readFields(spec, policyFields);
    // A NetworkPolicy applies to its own namespace and has no namespaceSelector. One that is written there is ignored like any unknown field.
    const { namespaceSelector } = kind === 'GlobalNetworkPolicy' ? fields : {};
    const scope = readPolicyScope({ ...fields, namespaceSelector, namespace });
    if (!scope.ok) {
      complain(`${scope.reason}; the policy counts as absent`);
      return undefined;
    }
    const place = readPlace(fields, kind, complain);
    return {
      id: policyId(kind, namespace, name),
      rank: [name, namespace, kind].join('/'),
      selector: canonical(scope.value),
      ...place.value,
      ...readDirections(fields, namespace, place, complain),
    };
  });
}

type Place = { readonly value: Pick<PolicyDefinition, 'tier' | 'order' | 'use' | 'applyOnForward'>; readonly understood: boolean };

function readPlace(fields: PolicyFields, kind: PolicyKind, complain: (reason: string) => void): Place {
  let understood = true;
  const read = <T>(name: string, content: Decoded<T>, otherwise: T): T => {
    if (content.ok) return content.value;
    understood = false;
    complain(`spec.${name} ${content.reason}; only what the policy denies counts`);
    return otherwise;
  };
  const tier = read('tier', readText(fields.tier), unknownTier) ?? defaultTier;
  const order = read('order', readNumber(fields.order), Number.NEGATIVE_INFINITY) ?? Number.POSITIVE_INFINITY;
  if (kind === 'NetworkPolicy') return { value: { tier, order, use: 'normal', applyOnForward: false }, understood };
  const untracked = read('doNotTrack', readFlag(fields.doNotTrack), undefined);
  const preDnat = read('preDNAT', readFlag(fields.preDNAT), undefined);
  const forward = read('applyOnForward', readFlag(fields.applyOnForward), undefined);
  // When its use is not understood, the policy is enforced where it meets the most traffic.
  if (untracked === undefined || preDnat === undefined || forward === undefined)
    return { value: { tier, order, use: 'normal', applyOnForward: true }, understood };
  return { value: { tier, order, use: untracked ? 'untracked' : preDnat ? 'pre-dnat' : 'normal', applyOnForward: forward }, understood };
}

/** Without `types` a policy governs both directions, whatever rules it has. A policy before DNAT governs ingress only. */
function readDirections(
  fields: PolicyFields,
  namespace: string | undefined,
  place: Place,
  complain: (reason: string) => void,
): Pick<PolicyDefinition, Direction> {
  const types = readTexts(fields.types);
  if (!types.ok) complain(`spec.types ${types.reason}; in both directions only what the policy denies counts`);
  const named = types.ok ? types.value.map((type) => type.toLowerCase()) : [];
  const unknown = types.ok ? types.value.filter((type) => !['ingress', 'egress'].includes(type.toLowerCase())) : ['?'];
  if (types.ok && unknown.length > 0) complain(`spec.types holds ${show(unknown[0])}; in the other direction only what the policy denies counts`);
  const rules = (direction: Direction): readonly RuleDefinition[] | undefined => {
    const governs = (types.ok && types.value.length === 0) || named.includes(direction);
    if (!governs && unknown.length === 0) return undefined;
    if (place.value.use === 'pre-dnat' && direction === 'egress') return undefined;
    const decoded = decodeRules(fields[direction], `spec.${direction}`, namespace, complain);
    return governs && place.understood ? decoded : onlyDenials(decoded);
  };
  return { ingress: rules('ingress'), egress: rules('egress') };
}

/** Decodes a policy as `decodePolicy` does, and keeps its rules as text; `recent` keeps them decoded for a while. */
export function holdPolicy(bytes: Uint8Array, kind: PolicyKind, namespace: string | undefined, name: string, recent: RecentRules): Reading<HeldPolicy> {
  const { value, defects } = decodePolicy(bytes, kind, namespace, name);
  if (value === undefined) return { value, defects };
  const { ingress, egress, ...head } = value;
  const text = utf8.decode(bytes); // not the bytes, which may hold on to the page that they came in
  const held = { ...head, governs: { ingress: ingress !== undefined, egress: egress !== undefined }, rules: rulesOf(text, kind, namespace, name) };
  recent.remember(held, { ingress: ingress ?? [], egress: egress ?? [] });
  return { value: held, defects };
}

/**
 * The decoded rules of the policies that were read or used last. A policy is mostly used right after it was read, because an operator changed it or because it came with
 * an endpoint; then its rules are not decoded a second time.
 */
export class RecentRules {
  readonly #lists = new Map<HeldPolicy, RuleLists>();

  /** The rules of a policy, decoded again if need be. */
  of(policy: HeldPolicy): RuleLists {
    return this.#lists.get(policy) ?? this.remember(policy, policy.rules());
  }

  /** Keeps the rules of one policy, and forgets those that have been kept the longest. */
  remember(policy: HeldPolicy, lists: RuleLists): RuleLists {
    this.#lists.set(policy, lists);
    for (const oldest of this.#lists.keys()) {
      if (this.#lists.size <= mostRecent) break;
      this.#lists.delete(oldest);
    }
    return lists;
  }
}

/** Of ordinary policies, about 12 MB. */
const mostRecent = 2000;

const [utf8, toUtf8] = [new TextDecoder(), new TextEncoder()];

/** The function is made here and not in `holdPolicy`, where it would keep the decoded rules in memory. */
const rulesOf = (text: string, kind: PolicyKind, namespace: string | undefined, name: string) => (): RuleLists => {
  const { ingress = [], egress = [] } = decodePolicy(toUtf8.encode(text), kind, namespace, name).value ?? {};
  return { ingress, egress };
};
