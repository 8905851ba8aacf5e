// When the agent looks at everything again though nothing has changed. Pure.
import { refusedRetryMs } from './apply.ts';
import { lookMs, registerRetryMs } from './node/registrar.ts';

/** A BIRD that is away is looked for this often. */
export const birdRetryMs = 1000;
/** Nobody tells of routes that BIRD refuses; it is asked this often. */
export const auditMs = 10_000;

/** The result of the last look, which decides when the next one is due. */
export type LastLook = {
  /** What happened to BIRD: `kept` and `doubted` leave its configuration as it is. */
  readonly bird: 'right' | 'configured' | 'refused' | 'kept' | 'doubted' | 'away';
  /** Whether this host's Node may not be what it should. */
  readonly isNodeInDoubt: boolean;
  /** Whether etcd can be written. */
  readonly isFollowing: boolean;
};

/** Milliseconds until the next look at the latest. */
export function lookAgainMs({ bird, isNodeInDoubt, isFollowing }: LastLook): number {
  if (bird === 'away') return birdRetryMs;
  if (bird === 'doubted' || (isNodeInDoubt && isFollowing)) return registerRetryMs;
  return bird === 'refused' ? Math.min(refusedRetryMs, lookMs) : auditMs;
}
