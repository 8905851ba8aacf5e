// Reads etcd's users and roles, and applies changes to them.
import type { EtcdUsers, Permission } from '@calico-openstack/etcd/users';
import type { Passwords } from './passwords.ts';
import type { Change, Present } from './plan.ts';
import type { WantedUser } from './wanted.ts';

/** Reads which of these users and roles exist in etcd, and what they may do. Rejects with an EtcdError. */
export async function readPresent(etcd: EtcdUsers, wanted: readonly WantedUser[]): Promise<Present> {
  const [users, roles] = [new Set(await etcd.users()), new Set(await etcd.roles())];
  const present = { users: new Map<string, readonly string[]>(), roles: new Map<string, readonly Permission[]>() };
  for (const { name } of wanted) {
    if (users.has(name)) present.users.set(name, await etcd.rolesOf(name));
    if (roles.has(name)) present.roles.set(name, await etcd.permissionsOf(name));
  }
  return present;
}

/**
 * Applies the changes one after the other. Rejects with an EtcdError at the first that etcd refuses; a further run continues from there.
 * @param passwords undefined when users have no passwords
 * @param onDone called with each change that was applied
 */
export async function applyChanges(
  etcd: EtcdUsers,
  changes: readonly Change[],
  passwords: Passwords | undefined,
  onDone: (change: Change) => void,
): Promise<void> {
  for (const change of changes) {
    switch (change.kind) {
      case 'add role':
        await etcd.addRole(change.role);
        break;
      case 'grant':
        await etcd.grant(change.role, change.permission);
        break;
      case 'revoke':
        await etcd.revoke(change.role, change.range);
        break;
      case 'add user':
        await etcd.addUser(change.user, passwords?.of(change.user));
        passwords?.told(change.user);
        break;
      case 'set password':
        if (passwords === undefined) break;
        await etcd.setPassword(change.user, passwords.of(change.user));
        passwords.told(change.user);
        break;
      case 'grant role':
        await etcd.grantRole(change.user, change.role);
        break;
      default:
        change satisfies never;
    }
    onDone(change);
  }
}
