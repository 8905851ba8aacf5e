// Tells of what is wrong when it starts and when it ends, not every time that it is still so.
import type { Logger } from '@calico-openstack/agent';
import type { Problem } from './plan/facts.ts';

/**
 * A voice that remembers what it has told. Called with what is wrong now; says how many that is.
 * @param isAll whether that is everything: else what was told before, and was not looked at, is as it was
 */
export function createProblemTeller(log: Logger): (problems: readonly Problem[], isAll?: boolean) => number {
  let told = new Map<string, Problem>();
  return (problems, isAll = true) => {
    const now = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
    for (const [id, { key, reason, effect }] of now) if (!told.has(id)) log.warn({ resource: key, reason, effect }, 'not followed as it is written');
    if (!isAll) for (const [id, problem] of told) now.set(id, problem);
    for (const [id, { key, reason }] of told) if (!now.has(id)) log.info({ resource: key, reason }, 'no longer so');
    told = now;
    return now.size;
  };
}
