// A selector as a tree, as it was written. `k == 'v'` is `in` with one value; `k != 'v'` and `k not in {…}` are their negations,
// which a missing label satisfies as well.

export type Expression =
  | { readonly kind: 'all' }
  | { readonly kind: 'global' }
  | { readonly kind: 'has'; readonly label: string }
  | { readonly kind: 'in'; readonly label: string; readonly values: readonly string[] }
  | { readonly kind: TextComparison; readonly label: string; readonly text: string }
  | { readonly kind: 'not'; readonly operand: Expression }
  | { readonly kind: 'and' | 'or'; readonly operands: readonly Expression[] };

export type TextComparison = 'contains' | 'starts with' | 'ends with';

export const all: Expression = { kind: 'all' };
export const none: Expression = { kind: 'not', operand: all };
export const has = (label: string): Expression => ({ kind: 'has', label });
export const isIn = (label: string, values: readonly string[]): Expression => ({ kind: 'in', label, values });
export const equals = (label: string, value: string): Expression => isIn(label, [value]);
export const not = (operand: Expression): Expression => ({ kind: 'not', operand });
export const and = (...operands: readonly Expression[]): Expression => ({ kind: 'and', operands });

/** The same tree with every leaf replaced by what `change` makes of it: how labels get their scope's prefix, and `all()` its meaning there. */
export function mapLeaves(expression: Expression, change: (leaf: Expression) => Expression): Expression {
  switch (expression.kind) {
    case 'not':
      return not(mapLeaves(expression.operand, change));
    case 'and':
    case 'or':
      return { kind: expression.kind, operands: expression.operands.map((operand) => mapLeaves(operand, change)) };
    default:
      return change(expression);
  }
}

/** The same tree with every label's name prefixed. */
export const prefixLabels = (expression: Expression, prefix: string): Expression =>
  mapLeaves(expression, (leaf) => ('label' in leaf ? { ...leaf, label: prefix + leaf.label } : leaf));
