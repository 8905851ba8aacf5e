// Computes which users etcd should have for the hosts of a cloud, and their rights, from datamodel's table of rights.
import { StartError } from '@calico-openstack/agent/errors';
import {
  birdAgentRights,
  dhcpAgentRights,
  type EtcdPart,
  etcdParts,
  etcdUserName,
  felixRights,
  hostRemovalRights,
  isRegion,
  neutronDriverRights,
  type Right,
} from '@calico-openstack/datamodel';
import { type Permission, prefixRange } from '@calico-openstack/etcd/users';

/** The cloud for which users are computed. */
export type Cloud = {
  readonly hosts: readonly string[];
  /** The option `openstack_region` of the parts; undefined when it is not set. */
  readonly region: string | undefined;
  readonly parts: readonly EtcdPart[];
  /** Whether the BIRD agents need the rights to remove the Nodes of hosts that are gone (`RemoveHostsGoneDays`). */
  readonly removeHostsGone: boolean;
};

/** A user, and the permissions of its role, which has the same name. */
export type WantedUser = { readonly name: string; readonly permissions: readonly Permission[] };

/** The greatest length of a certificate's common name (RFC 5280, ub-common-name). */
const commonNameMax = 64;

/**
 * The users of this cloud, each once.
 * @throws StartError HOST_INVALID or REGION_INVALID for a name that cannot be part of a key or of a certificate's common name
 */
export function wantedUsers({ hosts, region, parts, removeHostsGone }: Cloud): readonly WantedUser[] {
  if (region !== undefined && !isRegion(region))
    throw new StartError('REGION_INVALID', `${JSON.stringify(region)} is no region: a lower-case DNS label of at most 46 characters is one`);
  const rightsOf = (part: Exclude<EtcdPart, 'calico-neutron-driver'>, host: string): readonly Right[] => {
    switch (part) {
      case 'calico-felix':
        return felixRights(region, host);
      case 'calico-dhcp-agent':
        return dhcpAgentRights(region, host);
      case 'calico-bird-agent':
        return [...birdAgentRights(region, host), ...(removeHostsGone ? hostRemovalRights(region) : [])];
      default:
        return part satisfies never;
    }
  };
  const user = (name: string, rights: readonly Right[]): WantedUser => {
    if (name.length > commonNameMax)
      throw new StartError(
        'HOST_INVALID',
        `the user ${name} would be longer than the ${commonNameMax} characters of a certificate's common name; use a shorter host name`,
      );
    return { name, permissions: permissionsOf(rights) };
  };
  return etcdParts
    .filter((part) => parts.includes(part))
    .flatMap((part) =>
      part === 'calico-neutron-driver'
        ? [user(etcdUserName(part, region), neutronDriverRights(region))]
        : [...new Set(hosts)].map((host) => user(etcdUserName(part, checked(host)), rightsOf(part, host))),
    );
}

/** The rights as etcd's roles hold them: sorted, one permission for each range of keys. */
export function permissionsOf(rights: readonly Right[]): readonly Permission[] {
  const byRange = new Map<string, Permission>();
  for (const right of rights) {
    const range = 'key' in right ? { from: right.key, to: '' } : prefixRange(right.prefix);
    const name = rangeName(range);
    const before = byRange.get(name);
    byRange.set(name, { ...range, access: before === undefined || before.access === right.access ? right.access : 'readwrite' });
  }
  return [...byRange.values()].sort((one, other) => (rangeName(one) < rangeName(other) ? -1 : 1));
}

/** A text that identifies a range of keys. */
export const rangeName = ({ from, to }: Pick<Permission, 'from' | 'to'>): string => `${from}\0${to}`;

function checked(host: string): string {
  if (/^[A-Za-z0-9](?:[-_.A-Za-z0-9]*[A-Za-z0-9])?$/.test(host)) return host;
  throw new StartError('HOST_INVALID', `${JSON.stringify(host)} is no host name: letters, digits, dots, dashes and underscores make one`);
}
