// Reports ports and subnets that are not served, or only in part: once when a problem starts, when it changes and when it ends.
import type { Logger } from '@calico-openstack/agent';

/**
 * @param onTold called with the etcd key of each problem that is logged
 * @returns the function to call with all current problems by etcd key; it logs only what changed since its last call
 */
export function createProblemTeller(log: Logger, onTold: (key: string) => void = () => undefined): (problems: ReadonlyMap<string, readonly string[]>) => void {
  const told = new Map<string, string>();
  return (problems) => {
    for (const [key, some] of problems) {
      const text = some.join('; ');
      if (told.get(key) === text) continue;
      told.set(key, text);
      onTold(key);
      log.warn({ key, problems: some }, 'a port or subnet is not served, or only in part; see problems for why and correct the port or subnet in Neutron');
    }
    for (const key of told.keys()) {
      if (problems.has(key)) continue;
      told.delete(key);
      log.info({ key }, 'the problems with a port or subnet are over: it is served in full, or was deleted');
    }
  };
}
