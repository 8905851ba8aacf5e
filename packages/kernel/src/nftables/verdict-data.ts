// Verdicts as the kernel has them, in rules and in the elements of maps.
import type { VerdictData } from './expressions.ts';
import type { Verdict } from './objects.ts';

const verdictCodes = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 } as const;

export function verdictData(verdict: Verdict): VerdictData {
  return 'chain' in verdict ? { code: verdictCodes[verdict.verdict], chain: verdict.chain } : { code: verdictCodes[verdict.verdict] };
}

/** The verdict that the kernel tells; undefined: none that this program gives (queue, for example). */
export function readVerdictData({ code, chain }: VerdictData): Verdict | undefined {
  for (const verdict of ['drop', 'accept', 'continue', 'return'] as const) if (verdictCodes[verdict] === code) return { verdict };
  for (const verdict of ['jump', 'goto'] as const) if (verdictCodes[verdict] === code && chain !== undefined) return { verdict, chain };
  return undefined;
}
