// What of the datastore is not served, or not wholly: told when it starts, changes and ends.
import type { Logger } from '@calico-openstack/agent';

/** @returns what is to be called with all problems that there are, by etcd key */
export function createProblemTeller(log: Logger): (problems: ReadonlyMap<string, readonly string[]>) => void {
  const told = new Map<string, string>();
  return (problems) => {
    for (const [key, some] of problems) {
      const text = some.join('; ');
      if (told.get(key) === text) continue;
      told.set(key, text);
      log.warn({ key, problems: some }, 'not served, or not wholly');
    }
    for (const key of told.keys()) {
      if (problems.has(key)) continue;
      told.delete(key);
      log.info({ key }, 'served again, or gone');
    }
  };
}
