// Evaluates selectors. A missing label fails every comparison, and therefore satisfies every negated one.
import type { Expression } from './expression.ts';

/** The labels of one endpoint or network set, inherited ones included. */
export interface LabelLookup {
  get(name: string): string | undefined;
}

/** Long lists of values as sets, made when a list is searched for the first time. */
const sets = new WeakMap<readonly string[], ReadonlySet<string>>();
const shortList = 16;

function isAmong(value: string, values: readonly string[]): boolean {
  if (values.length <= shortList) return values.includes(value);
  let set = sets.get(values);
  if (!set) {
    set = new Set(values);
    sets.set(values, set);
  }
  return set.has(value);
}

/** Whether the labels satisfy the expression. */
export function matches(expression: Expression, labels: LabelLookup): boolean {
  switch (expression.kind) {
    case 'all':
    case 'global':
      return true;
    case 'has':
      return labels.get(expression.label) !== undefined;
    case 'in': {
      const value = labels.get(expression.label);
      return value !== undefined && isAmong(value, expression.values);
    }
    case 'contains':
      return labels.get(expression.label)?.includes(expression.text) === true;
    case 'starts with':
      return labels.get(expression.label)?.startsWith(expression.text) === true;
    case 'ends with':
      return labels.get(expression.label)?.endsWith(expression.text) === true;
    case 'not':
      return !matches(expression.operand, labels);
    case 'and':
      return expression.operands.every((operand) => matches(operand, labels));
    case 'or':
      return expression.operands.some((operand) => matches(operand, labels));
    default:
      return expression satisfies never;
  }
}
