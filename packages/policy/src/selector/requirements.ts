// What labels must have for a selector to match: how selectors and labels find each other without trying every pair.
import type { Expression } from './expression.ts';

/** A label that must be there, with this value or with any. */
export type LabelKey = { readonly label: string; readonly value?: string };

/** Whatever the selector matches has at least one of these. An empty cover: the selector matches nothing. */
export type Cover = readonly LabelKey[];

/** Enough to choose from; more would cost more than it saves. */
const coversMax = 8;

/**
 * The covers of a selector in canonical form, any one of which suffices to find all that it matches. Empty: it demands no label, so everything must be looked at
 * (`all()`, `!has(k)`, `k != 'v'`).
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

/** Few keys before many; keys with a value before those without. */
const byUse = (first: Cover, second: Cover): number => first.length - second.length || broadKeys(first) - broadKeys(second);
const broadKeys = (cover: Cover): number => cover.filter((key) => key.value === undefined).length;
