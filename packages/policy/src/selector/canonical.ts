// One form for all spellings of a selector, so that selectors that mean the same by the rules below share one text, one evaluation and one set.
// Negation stands only before a comparison; operands are flat, sorted and each there once; `all()` and what never matches are absorbed.
import { type Expression, all as everything, none, not } from './expression.ts';

/** A selector ready for use. `text` is its identity. */
export type Selector = { readonly expression: Expression; readonly text: string };

/** Elsewhere than in a namespace selector (whose scope has been written out by then), `global()` is true for everything. */
export function canonical(expression: Expression): Selector {
  const { expression: normal, text } = normalise(expression, false);
  return { expression: normal, text };
}

export const matchesEverything: Selector = { expression: everything, text: 'all()' };
const matchesNothing: Selector = { expression: none, text: '!all()' };

/** While it is being made, an AND or OR remembers its operands with their texts, to be flattened into the next. */
type Draft = Selector & { readonly operands?: readonly Draft[] };

function normalise(expression: Expression, negated: boolean): Draft {
  switch (expression.kind) {
    case 'all':
    case 'global':
      return negated ? matchesNothing : matchesEverything;
    case 'not':
      return normalise(expression.operand, !negated);
    case 'and':
    case 'or':
      return combine(
        (expression.kind === 'and') !== negated ? 'and' : 'or',
        expression.operands.map((operand) => normalise(operand, negated)),
      );
    case 'has':
      return leaf(expression, negated, `${negated ? '!' : ''}has(${expression.label})`);
    case 'in': {
      const values = [...new Set(expression.values)].sort();
      if (values.length === 0) return negated ? matchesEverything : matchesNothing;
      const text =
        values.length === 1
          ? `${expression.label} ${negated ? '!=' : '=='} ${quote(values[0]!)}`
          : `${expression.label} ${negated ? 'not in' : 'in'} {${values.map(quote).join(', ')}}`;
      return leaf({ ...expression, values }, negated, text);
    }
    case 'contains':
    case 'starts with':
    case 'ends with':
      return leaf(expression, negated, `${negated ? '!' : ''}${expression.label} ${expression.kind} ${quote(expression.text)}`);
    default:
      return expression satisfies never;
  }
}

const leaf = (expression: Expression, negated: boolean, text: string): Draft => ({ expression: negated ? not(expression) : expression, text });

function combine(kind: 'and' | 'or', given: readonly Draft[]): Draft {
  const [neutral, absorbing] = kind === 'and' ? [matchesEverything, matchesNothing] : [matchesNothing, matchesEverything];
  const distinct = new Map<string, Draft>();
  for (const operand of given.flatMap((draft) => (draft.expression.kind === kind ? draft.operands! : [draft]))) {
    if (operand.text === absorbing.text) return absorbing;
    if (operand.text !== neutral.text) distinct.set(operand.text, operand);
  }
  const operands = [...distinct.values()].sort((first, second) => (first.text < second.text ? -1 : 1));
  if (operands.length === 0) return neutral;
  if (operands.length === 1) return operands[0]!;
  return {
    expression: { kind, operands: operands.map((operand) => operand.expression) },
    text: `(${operands.map((operand) => operand.text).join(kind === 'and' ? ' && ' : ' || ')})`,
    operands,
  };
}

/** No string of the language holds both quotes; a namespace or a service account's name, read from elsewhere, may, and must not pass for other text. */
function quote(value: string): string {
  if (!value.includes('"')) return `"${value}"`;
  return value.includes("'") ? `json:${JSON.stringify(value)}` : `'${value}'`;
}
