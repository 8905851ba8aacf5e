// Confines selectors to namespaces and service accounts, as Calico does it. Calico rewrites the selector's text; this rewrites the tree, so that a label's value can never be
// mistaken for part of the language.
import { type Decoded, decoded, namespaceLabel, refused } from '@calico-openstack/datamodel';
import { and, type Expression, equals, has, mapLeaves, not, prefixLabels } from '../selector/expression.ts';
import { parseExpression } from '../selector/parse.ts';

/** Begins the labels that an endpoint inherits from the profile of its namespace. An endpoint cannot have such labels of its own. */
export const namespacePrefix = 'pcns.';
/** Begins the labels that an endpoint inherits from the profile of its service account. An endpoint cannot have such labels of its own. */
export const serviceAccountPrefix = 'pcsa.';
/** The label that holds an endpoint's service account. */
export const serviceAccountLabel = 'projectcalico.org/serviceaccount';

const inSomeNamespace = has(namespaceLabel);
/** Matches what is in the namespace. */
export const inNamespace = (namespace: string): Expression => equals(namespaceLabel, namespace);

/** Reads a selector; undefined when the field is absent or empty. */
export function readSelector(value: unknown): Decoded<Expression | undefined> {
  if (value === undefined || value === '') return decoded(undefined);
  if (typeof value !== 'string') return refused('is not text');
  return parseExpression(value);
}

/** Reads a selector whose labels are those of a namespace or service account. */
function readPrefixed(value: unknown, prefix: string): Decoded<Expression | undefined> {
  const selector = readSelector(value);
  return selector.ok && selector.value ? decoded(prefixLabels(selector.value, prefix)) : selector;
}

/** Reads a selector of service accounts by their labels. */
export const readServiceAccountSelector = (value: unknown): Decoded<Expression | undefined> => readPrefixed(value, serviceAccountPrefix);

/** Reads a rule's `namespaceSelector`, where `all()` means "in some namespace" and `global()` means "in no namespace". */
export function readRuleNamespaceSelector(value: unknown): Decoded<Expression | undefined> {
  const selector = readPrefixed(value, namespacePrefix);
  if (!selector.ok || !selector.value) return selector;
  return decoded(
    mapLeaves(selector.value, (leaf) => {
      if (leaf.kind === 'all') return inSomeNamespace;
      return leaf.kind === 'global' ? not(inSomeNamespace) : leaf;
    }),
  );
}

/**
 * Which endpoints a policy governs. With a `namespaceSelector`, `all()` means "in some namespace" everywhere, in `selector` too; `global()` still matches everything.
 * Refused when a part does not parse: then nobody knows which endpoints the policy governs.
 */
export function readPolicyScope(fields: {
  readonly selector?: unknown;
  readonly namespaceSelector?: unknown;
  readonly serviceAccountSelector?: unknown;
  readonly namespace?: string | undefined;
}): Decoded<Expression> {
  const selector = readSelector(fields.selector);
  if (!selector.ok) return refused(`spec.selector ${selector.reason}`);
  const namespaces = readPrefixed(fields.namespaceSelector, namespacePrefix);
  if (!namespaces.ok) return refused(`spec.namespaceSelector ${namespaces.reason}`);
  const accounts = readServiceAccountSelector(fields.serviceAccountSelector);
  if (!accounts.ok) return refused(`spec.serviceAccountSelector ${accounts.reason}`);
  const own = fields.namespace === undefined ? undefined : inNamespace(fields.namespace);
  const whole = and(...[selector.value, own, accounts.value, namespaces.value].filter((part) => part !== undefined));
  return decoded(namespaces.value ? mapLeaves(whole, (leaf) => (leaf.kind === 'all' ? inSomeNamespace : leaf)) : whole);
}
