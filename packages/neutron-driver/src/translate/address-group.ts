// Translates an address group to its NetworkSet. Rules refer to it by its label.
import { parseCidr } from '@calico-openstack/addresses';
import { groupNameMax, sanitiseLabel } from '@calico-openstack/datamodel';
import type { AddressGroupRow } from '../rows.ts';
import type { ResourceContent } from '../sync/content.ts';
import { addressGroupLabel } from './policy.ts';

/** The name of an address group's NetworkSet. */
export const networkSetName = (groupId: string): string => `osag.${groupId}`;

/** The NetworkSet's content: the prefixes sorted, each once. Texts that are not prefixes are skipped. */
export function networkSetContent(group: AddressGroupRow, namespace: string): ResourceContent {
  const nets = new Set(group.addresses.map(parseCidr).filter((cidr) => cidr !== undefined));
  return {
    kind: 'NetworkSet',
    name: networkSetName(group.id),
    namespace,
    labels: { [addressGroupLabel(group.id)]: sanitiseLabel(group.name, groupNameMax) },
    spec: { nets: [...nets].toSorted() },
  };
}
