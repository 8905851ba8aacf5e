// Where a selector applies: the exact rewriting of peer/felix.md 1.5, on trees, so that a label's value can never be mistaken for part of the language.
import { type Decoded, decoded, namespaceLabel, refused } from '@calico-openstack/datamodel';
import { and, type Expression, equals, has, mapLeaves, not, prefixLabels } from '../selector/expression.ts';
import { parseExpression } from '../selector/parse.ts';

/** Labels of an endpoint's namespace and service account, inherited from their profiles. No endpoint may bring its own. */
export const namespacePrefix = 'pcns.';
export const serviceAccountPrefix = 'pcsa.';
export const serviceAccountLabel = 'projectcalico.org/serviceaccount';

const inSomeNamespace = has(namespaceLabel);
export const inNamespace = (namespace: string): Expression => equals(namespaceLabel, namespace);

/** A selector in a field; absent and empty are undefined. */
export function readSelector(value: unknown): Decoded<Expression | undefined> {
  if (value === undefined || value === '') return decoded(undefined);
  if (typeof value !== 'string') return refused('is not text');
  return parseExpression(value);
}

/** A selector of the labels that a namespace or service account gives its endpoints. */
function readPrefixed(value: unknown, prefix: string): Decoded<Expression | undefined> {
  const selector = readSelector(value);
  return selector.ok && selector.value ? decoded(prefixLabels(selector.value, prefix)) : selector;
}

export const readServiceAccountSelector = (value: unknown): Decoded<Expression | undefined> => readPrefixed(value, serviceAccountPrefix);

/** A rule's `namespaceSelector`: in it, `all()` means "in some namespace" and `global()` "in none". */
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
 * A policy's own scope. With a `namespaceSelector`, `all()` becomes "in some namespace" in the whole of it, in `selector` too; `global()` stays true for everything.
 * Refused: a part that does not parse; then nobody knows whom the policy governs.
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
