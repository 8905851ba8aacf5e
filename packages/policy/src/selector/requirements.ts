// Which labels a selector requires. An index by these labels finds the selectors and labellings that may match without trying every pair.
import type { Expression } from './expression.ts';

/** A label with a certain value, or with any value when `value` is absent. */
export type LabelKey = { readonly label: string; readonly value?: string };

/** A cover of a selector: everything that the selector matches has at least one of these labels. An empty cover belongs to a selector that matches nothing. */
export type Cover = readonly LabelKey[];

/** The most covers that are computed for a selector. A larger choice costs more than it saves. */
const coversMax = 8;

/**
 * The covers of a selector in canonical form. Any one of them suffices to find everything that the selector matches.
 * The list is empty for a selector that requires no label (`all()`, `!has(k)`, `k != 'v'`): then every labelling must be evaluated.
 */
export function covers(expression: Expression): readonly Cover[] {
  switch (expression.kind) {
    case 'all':
    case 'global':
      return [];
    case 'has':
    case 'contains':
    case 'starts with':
    case 'ends with':
      return [[{ label: expression.label }]];
    case 'in':
      return [expression.values.map((value) => ({ label: expression.label, value }))];
    case 'not':
      return expression.operand.kind === 'all' ? [[]] : [];
    case 'and':
      return expression.operands.flatMap(covers).sort(byUse).slice(0, coversMax);
    case 'or': {
      const best = expression.operands.map((operand) => [...covers(operand)].sort(byUse)[0]);
      return best.every((cover) => cover !== undefined) ? [best.flat()] : [];
    }
    default:
      return expression satisfies never;
  }
}

/** Sorts the most useful covers first: those with few keys, then those whose keys have values. */
const byUse = (first: Cover, second: Cover): number => first.length - second.length || broadKeys(first) - broadKeys(second);
const broadKeys = (cover: Cover): number => cover.filter((key) => key.value === undefined).length;
