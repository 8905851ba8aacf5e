// Refuses ports that would join a stateless security group. No such group can be created, because the API does not offer it, but those that are older than the driver still exist.
import { sameContent } from '@calico-openstack/datamodel';
import type { Background } from './sources.ts';
import type { Announcement } from './sync/announcement.ts';

/** The stateless groups in Neutron's database. */
export type StatelessGroups = {
  /** Reads the ids of these groups. None is ever added, so this is done when a rows process connects. */
  read(source: Pick<Background, 'notCarriedOut'>): Promise<void>;
  /** Why this announcement is refused; undefined when it is not. */
  refusal(announcement: Announcement): string | undefined;
};

/** Creates the check. No group is known until `read`. */
export function createStatelessGroups(): StatelessGroups {
  let known: ReadonlySet<string> = new Set();
  return {
    async read(source) {
      known = new Set((await source.notCarriedOut()).filter(({ kind }) => kind === 'security_group').map(({ id }) => id));
    },
    refusal({ kind, original, current }) {
      if (kind !== 'port' || known.size === 0 || !current || sameContent(original?.['security_groups'], current['security_groups'])) return undefined;
      const groups = current['security_groups'];
      const stateless = Array.isArray(groups) ? groups.find((id) => known.has(id)) : undefined;
      return stateless === undefined
        ? undefined
        : `security group ${stateless} is stateless, which is not supported: Calico tracks connections. Choose a stateful one`;
    },
  };
}
