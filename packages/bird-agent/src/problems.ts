// Logs a problem when it starts and when it ends, not each time that it is found.
import type { Logger } from '@calico-openstack/agent';
import type { Problem } from './plan/facts.ts';

/**
 * Returns a function that logs the difference to the problems of the last call, and returns their number.
 * @param isAll whether the list is complete; if not, earlier problems that it does not mention still exist
 */
export function createProblemTeller(log: Logger): (problems: readonly Problem[], isAll?: boolean) => number {
  let told = new Map<string, Problem>();
  return (problems, isAll = true) => {
    const now = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
    for (const [id, { key, reason, effect }] of now)
      if (!told.has(id)) log.warn({ resource: key, reason, effect }, 'a resource or setting is not applied as written');
    if (!isAll) for (const [id, problem] of told) now.set(id, problem);
    for (const [id, { key, reason }] of told) if (!now.has(id)) log.info({ resource: key, reason }, 'a problem with a resource or setting is over');
    told = now;
    return now.size;
  };
}
