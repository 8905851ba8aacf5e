// etcd's users and roles: who may read and write what. For administrators' tools; it needs the rights of etcd's role `root` where users are enforced.
import { openConnection } from './connection.ts';
import { EtcdError } from './errors.ts';
import {
  addUserRequest,
  authenticateRequest,
  emptyRequest,
  grantPermissionRequest,
  grantRoleRequest,
  type KeyRange,
  type Method,
  methods,
  nameRequest,
  type Permission,
  revokePermissionRequest,
} from './messages.ts';
import { statusOf } from './status.ts';
import { GrpcError, grpcStatus } from './transport.ts';
import type { EtcdOptions } from './types.ts';

export { type KeyRange, type Permission, prefixRange } from './messages.ts';

/** Every call rejects with an EtcdError: ETCD_DENIED without the rights of `root`, ETCD_REFUSED for what is there already, or is not there. */
export interface EtcdUsers {
  /** Whether authentication is switched on in etcd. While it is off, every client may do everything. */
  enforced(): Promise<boolean>;
  users(): Promise<readonly string[]>;
  rolesOf(user: string): Promise<readonly string[]>;
  roles(): Promise<readonly string[]>;
  permissionsOf(role: string): Promise<readonly Permission[]>;
  /** @param password undefined when the user has no password, and is known by the common name of a certificate */
  addUser(user: string, password: string | undefined): Promise<void>;
  /** Whoever is logged in as that user has to do so again. */
  setPassword(user: string, password: string): Promise<void>;
  grantRole(user: string, role: string): Promise<void>;
  addRole(role: string): Promise<void>;
  /** Takes the place of the role's permission for the same range. */
  grant(role: string, permission: Permission): Promise<void>;
  revoke(role: string, range: KeyRange): Promise<void>;
  close(): void;
}

/** Opens the administration of an etcd cluster's users. Connects with the first call. Throws ETCD_MISCONFIGURED when the options cannot lead to a connection. */
export function connectEtcdUsers(options: EtcdOptions): EtcdUsers {
  const connection = openConnection(options);
  const read = <Answer>(method: Method<Answer>, request: Buffer, what: string): Promise<Answer> => connection.call(method, request, { what, repeatable: true });
  const write = async (method: Method<void>, request: Buffer, what: string): Promise<void> => connection.call(method, request, { what, repeatable: false });
  return {
    async enforced() {
      // etcd 3.4 has no call for this question. It refuses a login in one way or the other.
      try {
        await read(methods.authenticate, authenticateRequest('nobody', ''), 'ask whether users are enforced');
        return true;
      } catch (error) {
        const status = error instanceof EtcdError && error.cause instanceof GrpcError ? statusOf(error.cause) : undefined;
        if (status === grpcStatus.FAILED_PRECONDITION) return false;
        if (status === grpcStatus.INVALID_ARGUMENT) return true;
        throw error;
      }
    },
    users: () => read(methods.listUsers, emptyRequest, 'list the users'),
    rolesOf: (user) => read(methods.rolesOfUser, nameRequest(user), `read the roles of user ${user}`),
    roles: () => read(methods.listRoles, emptyRequest, 'list the roles'),
    permissionsOf: (role) => read(methods.permissionsOfRole, nameRequest(role), `read the permissions of role ${role}`),
    addUser: (user, password) => write(methods.addUser, addUserRequest(user, password), `add user ${user}`),
    setPassword: (user, password) => write(methods.setPassword, authenticateRequest(user, password), `set the password of user ${user}`),
    grantRole: (user, role) => write(methods.grantRole, grantRoleRequest(user, role), `grant role ${role} to user ${user}`),
    addRole: (role) => write(methods.addRole, nameRequest(role), `add role ${role}`),
    grant: (role, permission) => write(methods.grantPermission, grantPermissionRequest(role, permission), `grant ${permission.from} to role ${role}`),
    revoke: (role, range) => write(methods.revokePermission, revokePermissionRequest(role, range), `revoke ${range.from} from role ${role}`),
    close: () => connection.close(),
  };
}
