// The canonical form of a selector. Selectors that mean the same by the rules below share one text, one evaluation and one IP set.
// In canonical form negation stands only before a comparison; operands are flat, sorted and distinct; `all()` and what never matches are absorbed.
import { type Expression, all as everything, none, not } from './expression.ts';

/** A selector in canonical form. Two selectors with the same `text` are the same selector. */
export type Selector = { readonly expression: Expression; readonly text: string };

/** Brings an expression into canonical form. `global()` matches everything: where it means "in no namespace", the namespace selector has been rewritten before. */
export function canonical(expression: Expression): Selector {
  const { expression: normal, text } = normalise(expression, false);
  return { expression: normal, text };
}

/** The selector `all()`. */
export const matchesEverything: Selector = { expression: everything, text: 'all()' };
const matchesNothing: Selector = { expression: none, text: '!all()' };

/** A selector in the making. An AND or OR keeps its operands with their texts, because it may be flattened into an enclosing one. */
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
      return leaf(expression, negated, [negated ? '!has(' : 'has(', expression.label, ')']);
    case 'in': {
      const values = [...new Set(expression.values)].sort();
      if (values.length === 0) return negated ? matchesEverything : matchesNothing;
      const text =
        values.length === 1
          ? [expression.label, negated ? ' != ' : ' == ', quote(values[0]!)]
          : [expression.label, negated ? ' not in {' : ' in {', values.map(quote).join(', '), '}'];
      return leaf({ ...expression, values }, negated, text);
    }
    case 'contains':
    case 'starts with':
    case 'ends with':
      return leaf(expression, negated, [negated ? '!' : '', expression.label, ' ', expression.kind, ' ', quote(expression.text)]);
    default:
      return expression satisfies never;
  }
}

/** Texts are joined from their parts: a template makes a tree of pieces, of which a large cloud keeps tens of thousands. */
const leaf = (expression: Expression, negated: boolean, parts: readonly string[]): Draft => ({
  expression: negated ? not(expression) : expression,
  text: parts.join(''),
});

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
    text: ['(', operands.map((operand) => operand.text).join(kind === 'and' ? ' && ' : ' || '), ')'].join(''),
    operands,
  };
}

/**
 * A string in the selector language holds at most one kind of quote. The name of a namespace or service account comes from elsewhere and may hold both; it is written as JSON,
 * so that it cannot be mistaken for other text.
 */
function quote(value: string): string {
  if (!value.includes('"')) return `"${value}"`;
  return value.includes("'") ? `json:${JSON.stringify(value)}` : `'${value}'`;
}
