// Computes the changes that make etcd's users and roles as desired. Pure.
import type { KeyRange, Permission } from '@calico-openstack/etcd/users';
import { rangeName, type WantedUser } from './wanted.ts';

/** Those of the desired users and roles that exist in etcd. */
export type Present = {
  /** The roles of each user. */
  readonly users: ReadonlyMap<string, readonly string[]>;
  readonly roles: ReadonlyMap<string, readonly Permission[]>;
};

/** An etcd without any of the desired users and roles. */
export const nothingPresent: Present = { users: new Map(), roles: new Map() };

/** A change of etcd's users and roles. Names are those of etcdctl's commands. */
export type Change =
  | { readonly kind: 'add role'; readonly role: string }
  | { readonly kind: 'grant'; readonly role: string; readonly permission: Permission }
  | { readonly kind: 'revoke'; readonly role: string; readonly range: KeyRange }
  | { readonly kind: 'add user'; readonly user: string }
  | { readonly kind: 'set password'; readonly user: string }
  | { readonly kind: 'grant role'; readonly user: string; readonly role: string };

/**
 * The changes, in an order in which no user loses a right that it needs: missing rights are granted before excess ones are revoked, and a user is added when its role is complete.
 * Afterwards a role has exactly the desired rights. Further roles that an operator gave a user stay.
 * @param isPasswordNew whether the password of an existing user has to be set
 */
export function planChanges(wanted: readonly WantedUser[], present: Present, isPasswordNew: (user: string) => boolean): readonly Change[] {
  return wanted.flatMap(({ name, permissions }): Change[] => {
    const have = new Map((present.roles.get(name) ?? []).map((permission) => [rangeName(permission), permission]));
    const want = new Set(permissions.map(rangeName));
    const roles = present.users.get(name);
    return [
      ...(present.roles.has(name) ? [] : [{ kind: 'add role', role: name } as const]),
      ...permissions
        .filter((permission) => have.get(rangeName(permission))?.access !== permission.access)
        .map((permission): Change => ({ kind: 'grant', role: name, permission })),
      ...[...have.values()]
        .filter((permission) => !want.has(rangeName(permission)))
        .map(({ from, to }): Change => ({ kind: 'revoke', role: name, range: { from, to } })),
      ...(roles === undefined ? [{ kind: 'add user', user: name } as const] : isPasswordNew(name) ? [{ kind: 'set password', user: name } as const] : []),
      ...(roles?.includes(name) ? [] : [{ kind: 'grant role', user: name, role: name } as const]),
    ];
  });
}

/** A sentence about an applied change, without any password. */
export function sentenceOf(change: Change): string {
  switch (change.kind) {
    case 'add role':
      return `role ${change.role}: made`;
    case 'grant':
      return `role ${change.role}: may ${change.permission.access === 'readwrite' ? 'read and write' : change.permission.access} ${shownRange(change.permission)}`;
    case 'revoke':
      return `role ${change.role}: may nothing any more with ${shownRange(change.range)}`;
    case 'add user':
      return `user ${change.user}: made`;
    case 'set password':
      return `user ${change.user}: has the password of its file`;
    case 'grant role':
      return `user ${change.user}: has the role ${change.role}`;
    default:
      return change satisfies never;
  }
}

const shownRange = ({ from, to }: KeyRange): string => (to === '' ? from : `${from}…`);
