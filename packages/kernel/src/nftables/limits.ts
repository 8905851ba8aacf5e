// The kernel's limits on the size of a rule. A rule beyond them is refused when it is set, because in a transaction it would make the kernel refuse everything else too.
import type { Expression } from './expressions.ts';

/** The greatest number of expressions in a rule (NFT_RULE_MAXEXPRS). */
const mostExpressions = 128;
/** A rule's expressions must be smaller than this: the kernel stores their size in 12 bits. */
const bytesBeyond = 1 << 12;

/**
 * An upper bound on the size in bytes of each expression inside the kernel: one word more than in Linux 6.18, because kernels differ. Where the kernel has shorter forms for
 * small values, this is the largest form (NFT_EXPR_SIZE).
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

/** Why the kernel would refuse a rule of these expressions for its size, as the second half of a sentence; undefined when it accepts it. */
export function sizeProblem(expressions: readonly Expression[]): string | undefined {
  if (expressions.length > mostExpressions) return `needs ${expressions.length} of the kernel's expressions, and a rule may have at most ${mostExpressions}`;
  const bytes = expressions.reduce((sum, { name }) => sum + (expressionBytes[name] ?? otherBytes), 0);
  return bytes < bytesBeyond ? undefined : `needs ${bytes} bytes of the kernel's expressions, and a rule must have fewer than ${bytesBeyond}`;
}
