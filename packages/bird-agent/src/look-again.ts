// Decides when the agent computes and applies everything again although nothing has changed. Pure.
import { refusedRetryMs } from './apply.ts';
import { lookMs, registerRetryMs } from './node/registrar.ts';

/** How often the agent tries to reach a BIRD that is not running. */
export const birdRetryMs = 1000;
/** How often BIRD's refused routes are read, because BIRD does not report them. */
export const auditMs = 10_000;

/** The result of the last run, which decides when the next one is due. */
export type LastLook = {
  /** What happened to BIRD: `kept` and `doubted` leave its configuration as it is. */
  readonly bird: 'right' | 'configured' | 'refused' | 'kept' | 'doubted' | 'away';
  /** Whether this host's Node may differ from the desired one. */
  readonly isNodeInDoubt: boolean;
  /** Whether etcd can be written. */
  readonly isFollowing: boolean;
};

/** The longest time until the next look, in milliseconds. */
export function lookAgainMs({ bird, isNodeInDoubt, isFollowing }: LastLook): number {
  if (bird === 'away') return birdRetryMs;
  if (bird === 'doubted' || (isNodeInDoubt && isFollowing)) return registerRetryMs;
  return bird === 'refused' ? Math.min(refusedRetryMs, lookMs) : auditMs;
}
