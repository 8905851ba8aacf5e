// How much the kernel takes in one rule. More is refused when the rule is wanted: in a transaction it would stop everything else too.
import type { Expression } from './expressions.ts';

/** NFT_RULE_MAXEXPRS. */
const mostExpressions = 128;
/** The size of a rule's expressions has 12 bits. */
const bytesBeyond = 1 << 12;

/**
 * At most so many bytes an expression has inside the kernel: a word more than in Linux 6.18, where they are the largest forms of NFT_EXPR_SIZE (it has shorter ones for
 * small values), because kernels differ in them.
 */
const expressionBytes: { readonly [name: string]: number } = {
  bitwise: 72,
  lookup: 64,
  limit: 64,
  cmp: 56,
  range: 56,
  immediate: 40,
  log: 40,
  payload: 24,
  meta: 24,
  ct: 24,
  fib: 24,
  counter: 24,
  notrack: 16,
};
const otherBytes = 32;

/** What is wrong with a rule of these expressions, in a sentence's second half. undefined: the kernel takes it. */
export function sizeProblem(expressions: readonly Expression[]): string | undefined {
  if (expressions.length > mostExpressions) return `takes ${expressions.length} of the kernel's expressions, where a rule may have ${mostExpressions}`;
  const bytes = expressions.reduce((sum, { name }) => sum + (expressionBytes[name] ?? otherBytes), 0);
  return bytes < bytesBeyond ? undefined : `takes ${bytes} bytes of the kernel's expressions, where a rule may have fewer than ${bytesBeyond}`;
}
