// Calico's selectors, compiled by `policy`: BGPPeers use the same language.
import { type Decoded, decoded, type Labels } from '@calico-openstack/datamodel';
import { matches } from '@calico-openstack/policy/selector/evaluate';
import { parseExpression } from '@calico-openstack/policy/selector/parse';

/** Compiles a selector to a function on labels; refused when it does not parse. */
export function compileSelector(selector: string): Decoded<(labels: Labels) => boolean> {
  const expression = parseExpression(selector);
  if (!expression.ok) return expression;
  return decoded((labels) => matches(expression.value, { get: (name) => (Object.hasOwn(labels, name) ? labels[name] : undefined) }));
}
