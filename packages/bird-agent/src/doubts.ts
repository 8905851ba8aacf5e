// Finds the sessions that stay although the datastore does not want them any more, because it may have lost its content. `plan/doubt.ts` decides.

import type { Clock } from '@calico-openstack/agent';
import type { ConfigurationFile, Content } from './bird/file.ts';
import { textOf } from './bird/print.ts';
import { isOlder, returnMs, sessionsInDoubt } from './plan/doubt.ts';
import type { Problem, Resources } from './plan/facts.ts';

/** The present configuration, and the resources to judge it by. */
export type DoubtOptions = {
  readonly file: Pick<ConfigurationFile, 'read' | 'writtenMs' | 'confirmWritten'>;
  readonly ownName: string;
  readonly resources: Pick<Resources, 'nodes' | 'configurations' | 'peers' | 'filters'>;
  readonly clock: Pick<Clock, 'nowMs'>;
};

/**
 * @returns the function that takes the desired configuration, and returns the sessions for which the present one stays; none when it may be replaced. Once the time for doubts is over, the file counts as
 * confirmed, so that later changes of this datastore are not doubted.
 */
export function sessionDoubts({ file, ownName, resources, clock }: DoubtOptions): (wanted: Content) => Promise<readonly string[]> {
  return async (wanted) => {
    const [fileMs, own] = [await file.writtenMs(), resources.nodes.get(ownName)];
    if (fileMs === undefined || !own?.ok || own.value.madeMs === undefined || !isOlder(fileMs, own.value.madeMs)) return [];
    const current = await file.read();
    if (!current) return [];
    const { configurations, peers, filters } = resources;
    const hasOperatorsWord = configurations.size + peers.size + filters.size > 0;
    const [nodeMadeMs, nowMs] = [own.value.madeMs, clock.nowMs()];
    const doubted = sessionsInDoubt({ current: textOf(current), writtenMs: fileMs, wanted: textOf(wanted), nodeMadeMs, hasOperatorsWord, nowMs });
    const isOver = nowMs >= nodeMadeMs + returnMs;
    if (isOver && doubted.length === 0) await file.confirmWritten(nowMs);
    return doubted;
  };
}

/** The problem to report when sessions are in doubt. `doubted` is not empty. */
export const doubtProblem = (ownName: string, doubted: readonly string[]): Problem => ({
  key: `Node ${ownName}`,
  reason: `is newer than BIRD's configuration, which has sessions that nobody asks for any more (${doubted.slice(0, 3).join(', ')}${doubted.length > 3 ? ', …' : ''}): was the datastore emptied?`,
  effect: `BIRD's configuration stays as it is: ${returnMs / 1000} s for hosts that have to register again, and for peers and passwords until there is any BGPConfiguration, BGPPeer or BGPFilter`,
});
