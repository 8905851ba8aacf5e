// A selector as a tree, as it was written. `k == 'v'` is `in` with one value. `k != 'v'` and `k not in {…}` are negations of `in`,
// so a missing label satisfies them.

/** A node of the tree. */
export type Expression =
  | { readonly kind: 'all' }
  | { readonly kind: 'global' }
  | { readonly kind: 'has'; readonly label: string }
  | { readonly kind: 'in'; readonly label: string; readonly values: readonly string[] }
  | { readonly kind: TextComparison; readonly label: string; readonly text: string }
  | { readonly kind: 'not'; readonly operand: Expression }
  | { readonly kind: 'and' | 'or'; readonly operands: readonly Expression[] };

/** The operators that compare part of a label's value. */
export type TextComparison = 'contains' | 'starts with' | 'ends with';

/** Matches everything. */
export const all: Expression = { kind: 'all' };
/** Matches nothing. */
export const none: Expression = { kind: 'not', operand: all };
/** Matches when the label exists. */
export const has = (label: string): Expression => ({ kind: 'has', label });
/** Matches when the label's value is one of these. */
export const isIn = (label: string, values: readonly string[]): Expression => ({ kind: 'in', label, values });
/** Matches when the label has this value. */
export const equals = (label: string, value: string): Expression => isIn(label, [value]);
/** Matches when the operand does not. */
export const not = (operand: Expression): Expression => ({ kind: 'not', operand });
/** Matches when all operands match. */
export const and = (...operands: readonly Expression[]): Expression => ({ kind: 'and', operands });

/** Returns the tree with every leaf replaced by `change(leaf)`. This is how labels get the prefix of their scope, and how `all()` gets its meaning in that scope. */
export function mapLeaves(expression: Expression, change: (leaf: Expression) => Expression): Expression {
  switch (expression.kind) {
    case 'not':
      return not(mapLeaves(expression.operand, change));
    case 'and':
    case 'or':
      return { kind: expression.kind, operands: expression.operands.map((operand) => mapLeaves(operand, change)) };
    case 'all':
    case 'global':
    case 'has':
    case 'in':
    case 'contains':
    case 'starts with':
    case 'ends with':
      return change(expression);
    default:
      throw new TypeError(`there is no expression like ${JSON.stringify(expression satisfies never)}`);
  }
}

/** Returns the tree with `prefix` before the name of every label. */
export const prefixLabels = (expression: Expression, prefix: string): Expression =>
  mapLeaves(expression, (leaf) => ('label' in leaf ? { ...leaf, label: prefix + leaf.label } : leaf));
