// Converts verdicts to the kernel's form in rules and in elements of maps, and back.
import type { VerdictData } from './expressions.ts';
import type { Verdict } from './objects.ts';

const verdictCodes = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 } as const;

/** The kernel's form of a verdict. */
export function verdictData(verdict: Verdict): VerdictData {
  return 'chain' in verdict ? { code: verdictCodes[verdict.verdict], chain: verdict.chain } : { code: verdictCodes[verdict.verdict] };
}

/** The verdict that the kernel reports; undefined for one that this program never uses (such as queue). */
export function readVerdictData({ code, chain }: VerdictData): Verdict | undefined {
  for (const verdict of ['drop', 'accept', 'continue', 'return'] as const) if (verdictCodes[verdict] === code) return { verdict };
  for (const verdict of ['jump', 'goto'] as const) if (verdictCodes[verdict] === code && chain !== undefined) return { verdict, chain };
  return undefined;
}
