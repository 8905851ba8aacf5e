// etcd's messages (api/etcdserverpb/rpc.proto, api/mvccpb/kv.proto): only the fields that this room uses. Requests are encoded to bytes, answers decoded to values.
import { keyBytes } from './keys.ts';
import type { Origin } from './origin.ts';
import type { Change, Compare, KeyValue, Operation } from './types.ts';
import { WireReader, WireWriter } from './wire.ts';

/** The header of an answer: which cluster gave it, at which revision and Raft term. Some answers of etcd's grpc-proxy have zeros only. */
export type Header = Origin & { readonly revision: number };

/** A range of keys from `from` (included) to `to` (excluded), in etcd's notation: an empty `to` means the one key `from`, `\0` the end of all keys. */
export type KeyRange = { readonly from: string; readonly to: string };

/** In the order of etcd's numbers (api/authpb/auth.proto). */
const accesses = ['read', 'write', 'readwrite'] as const;

/** A permission of a role, for one key or for a range. */
export type Permission = KeyRange & { readonly access: (typeof accesses)[number] };

/** One page of a range. `more`: keys follow behind its last one. */
export type RangePage = { readonly header: Header; readonly found: KeyValue[]; readonly more: boolean };

/** A message of a watch stream (`WatchResponse`). `compactRevision` is not 0 when the watch was ended by a compaction. */
export type WatchAnswer = {
  readonly header: Header;
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly changes: Change[];
};

/**
 * A remote procedure: its path, and how its answer is decoded.
 * `held`: the request stream stays open until the one answer has come, because etcd's grpc-proxy does not answer on a stream whose requests have ended.
 */
export type Method<Answer> = { readonly path: string; readonly decode: (bytes: Buffer) => Answer; readonly held?: true };

/** The remote procedures that this room calls. */
export const methods = {
  range: { path: '/etcdserverpb.KV/Range', decode: rangeAnswer },
  transact: { path: '/etcdserverpb.KV/Txn', decode: transactionAnswer },
  compact: { path: '/etcdserverpb.KV/Compact', decode: ignored },
  grantLease: { path: '/etcdserverpb.Lease/LeaseGrant', decode: leaseAnswer },
  revokeLease: { path: '/etcdserverpb.Lease/LeaseRevoke', decode: ignored },
  keepLeaseAlive: { path: '/etcdserverpb.Lease/LeaseKeepAlive', decode: leaseAnswer, held: true },
  authenticate: { path: '/etcdserverpb.Auth/Authenticate', decode: tokenAnswer },
  listUsers: { path: '/etcdserverpb.Auth/UserList', decode: namesAnswer },
  rolesOfUser: { path: '/etcdserverpb.Auth/UserGet', decode: namesAnswer },
  addUser: { path: '/etcdserverpb.Auth/UserAdd', decode: ignored },
  setPassword: { path: '/etcdserverpb.Auth/UserChangePassword', decode: ignored },
  grantRole: { path: '/etcdserverpb.Auth/UserGrantRole', decode: ignored },
  listRoles: { path: '/etcdserverpb.Auth/RoleList', decode: namesAnswer },
  permissionsOfRole: { path: '/etcdserverpb.Auth/RoleGet', decode: permissionsAnswer },
  addRole: { path: '/etcdserverpb.Auth/RoleAdd', decode: ignored },
  grantPermission: { path: '/etcdserverpb.Auth/RoleGrantPermission', decode: ignored },
  revokePermission: { path: '/etcdserverpb.Auth/RoleRevokePermission', decode: ignored },
  status: { path: '/etcdserverpb.Maintenance/Status', decode: statusAnswer },
  members: { path: '/etcdserverpb.Cluster/MemberList', decode: membersAnswer },
  watch: { path: '/etcdserverpb.Watch/Watch', decode: watchAnswer },
  /** gRPC's health service, which etcd has and its grpc-proxy (3.4) lacks. */
  health: { path: '/grpc.health.v1.Health/Check', decode: ignored },
} as const satisfies Record<string, Method<unknown>>;

/** The body of a request without fields. */
export const emptyRequest = Buffer.alloc(0);

/** A `RangeRequest`. Revision 0 is the newest; limit 0 is none. */
export function rangeRequest(range: KeyRange, options: { readonly limit?: number; readonly revision?: number; readonly keysOnly?: boolean } = {}): Buffer {
  const request = new WireWriter().bytes(1, keyBytes(range.from));
  if (range.to !== '') request.bytes(2, keyBytes(range.to));
  if (options.limit) request.int(3, options.limit);
  if (options.revision) request.int(4, options.revision);
  return request.flag(8, options.keysOnly ?? false).finish();
}

/** A `TxnRequest`: the comparisons and both branches. */
export function transactionRequest(when: readonly Compare[], then: readonly Operation[], otherwise: readonly Operation[]): Buffer {
  const request = new WireWriter();
  for (const compare of when) request.message(1, comparison(compare));
  for (const operation of then) request.message(2, requestOf(operation));
  for (const operation of otherwise) request.message(3, requestOf(operation));
  return request.finish();
}

/** A `CompactionRequest`. */
export const compactRequest = (revision: number): Buffer => new WireWriter().int(1, revision).finish();
/** A `LeaseGrantRequest`; etcd chooses the id. */
export const grantLeaseRequest = (ttlSeconds: number): Buffer => new WireWriter().int(1, ttlSeconds).finish();
/** A `LeaseKeepAliveRequest` or `LeaseRevokeRequest`. `id` is in decimal. */
export const leaseRequest = (id: string): Buffer => new WireWriter().id(1, BigInt(id)).finish();
/** An `AuthenticateRequest`. */
export const authenticateRequest = (username: string, password: string): Buffer => new WireWriter().bytes(1, username).bytes(2, password).finish();

/** A user or a role, by its name alone. */
export const nameRequest = (name: string): Buffer => new WireWriter().bytes(1, name).finish();
/** Without a password the user is only known by a certificate's common name. */
export const addUserRequest = (name: string, password: string | undefined): Buffer =>
  password === undefined
    ? new WireWriter().bytes(1, name).message(3, new WireWriter().flag(1, true)).finish()
    : new WireWriter().bytes(1, name).bytes(2, password).finish();
/** An `AuthUserGrantRoleRequest`. */
export const grantRoleRequest = (user: string, role: string): Buffer => new WireWriter().bytes(1, user).bytes(2, role).finish();
/** An `AuthRoleGrantPermissionRequest`. */
export const grantPermissionRequest = (role: string, { access, from, to }: Permission): Buffer => {
  const permission = new WireWriter().int(1, accesses.indexOf(access)).bytes(2, keyBytes(from));
  if (to !== '') permission.bytes(3, keyBytes(to));
  return new WireWriter().bytes(1, role).message(2, permission).finish();
};
/** An `AuthRoleRevokePermissionRequest`. */
export const revokePermissionRequest = (role: string, { from, to }: KeyRange): Buffer => {
  const request = new WireWriter().bytes(1, role).bytes(2, keyBytes(from));
  return (to === '' ? request : request.bytes(3, keyBytes(to))).finish();
};

/** A `WatchRequest` to create a watch, with progress notifications. Fragments are not requested, so an answer holds whole revisions. */
export const watchRequest = (range: KeyRange, startRevision: number): Buffer =>
  new WireWriter().message(1, new WireWriter().bytes(1, range.from).bytes(2, range.to).int(3, startRevision).flag(4, true)).finish();

/** The range of all keys that start with the prefix; of all keys for an empty prefix. */
export function prefixRange(prefix: string): KeyRange {
  return prefix === '' ? { from: '\0', to: '\0' } : { from: prefix, to: afterPrefix(prefix) };
}

/** The first key, in byte order, behind all that start with the prefix; `\0` (etcd's end of all keys) if there is none. */
function afterPrefix(prefix: string): string {
  const points = Array.from(prefix);
  const last = points.pop()?.codePointAt(0) ?? 0x10ffff;
  if (last === 0x10ffff) return points.length > 0 ? afterPrefix(points.join('')) : '\0';
  return points.join('') + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1); // surrogates are no characters
}

function comparison(compare: Compare): WireWriter {
  // CompareResult EQUAL 0, GREATER 1; CompareTarget VERSION 0, CREATE 1, MOD 2, VALUE 3
  const message = new WireWriter();
  if ('modRevision' in compare) return message.int(2, 2).bytes(3, keyBytes(compare.key)).int(6, compare.modRevision);
  if ('exists' in compare)
    return message
      .int(1, compare.exists ? 1 : 0)
      .int(2, 0)
      .bytes(3, keyBytes(compare.key))
      .int(4, 0);
  return message.int(2, 3).bytes(3, keyBytes(compare.key)).bytes(7, compare.value);
}

function requestOf(operation: Operation): WireWriter {
  const message = new WireWriter();
  if ('get' in operation) return message.message(1, new WireWriter().bytes(1, keyBytes(operation.get)));
  if ('put' in operation) {
    const put = new WireWriter().bytes(1, keyBytes(operation.put)).bytes(2, operation.value);
    if (operation.lease !== undefined && operation.lease !== '0') put.id(3, BigInt(operation.lease));
    return message.message(2, put);
  }
  if ('delete' in operation) return message.message(3, new WireWriter().bytes(1, keyBytes(operation.delete)));
  const { from, to } = prefixRange(operation.deletePrefix);
  return message.message(3, new WireWriter().bytes(1, from).bytes(2, to));
}

function headerOf(reader: WireReader): Header {
  let [clusterId, revision, term] = ['0', 0, 0];
  reader.fields(reader.end(), (field) => {
    if (field === 1) clusterId = reader.id();
    else if (field === 3) revision = reader.int();
    else if (field === 4) term = reader.int();
    else return false;
    return true;
  });
  return { clusterId, revision, term };
}

const noHeader: Header = { clusterId: '0', revision: 0, term: 0 };
const noBytes = Buffer.alloc(0);

function keyValueOf(reader: WireReader): KeyValue {
  let [key, createRevision, modRevision, version, lease] = ['', 0, 0, 0, '0'];
  let value: Buffer = noBytes;
  reader.fields(reader.end(), (field) => {
    if (field === 1) key = reader.key();
    else if (field === 2) createRevision = reader.int();
    else if (field === 3) modRevision = reader.int();
    else if (field === 4) version = reader.int();
    else if (field === 5) value = reader.copy();
    else if (field === 6) lease = reader.id();
    else return false;
    return true;
  });
  return { key, value, createRevision, modRevision, version, lease };
}

function rangeAnswer(bytes: Buffer): RangePage {
  const reader = new WireReader(bytes);
  return rangeOf(reader, bytes.length);
}

function rangeOf(reader: WireReader, end: number): RangePage {
  let header = noHeader;
  let more = false;
  const found: KeyValue[] = [];
  reader.fields(end, (field) => {
    if (field === 1) header = headerOf(reader);
    else if (field === 2) found.push(keyValueOf(reader));
    else if (field === 3) more = reader.int() !== 0;
    else return false;
    return true;
  });
  return { header, found, more };
}

function transactionAnswer(bytes: Buffer): { header: Header; succeeded: boolean; found: (KeyValue | undefined)[] } {
  const reader = new WireReader(bytes);
  let header = noHeader;
  let succeeded = false;
  const found: (KeyValue | undefined)[] = [];
  const onResponse = (field: number): boolean => {
    if (field !== 1) return false;
    found.push(rangeOf(reader, reader.end()).found[0]);
    return true;
  };
  reader.fields(bytes.length, (field) => {
    if (field === 1) header = headerOf(reader);
    else if (field === 2) succeeded = reader.int() !== 0;
    else if (field === 3) reader.fields(reader.end(), onResponse);
    else return false;
    return true;
  });
  return { header, succeeded, found };
}

function leaseAnswer(bytes: Buffer): { id: string; ttlSeconds: number } {
  const reader = new WireReader(bytes);
  let [id, ttlSeconds] = ['0', 0];
  reader.fields(bytes.length, (field) => {
    if (field === 2) id = reader.id();
    else if (field === 3) ttlSeconds = reader.int();
    else return false;
    return true;
  });
  return { id, ttlSeconds };
}

function tokenAnswer(bytes: Buffer): string {
  const reader = new WireReader(bytes);
  let token = '';
  reader.fields(bytes.length, (field) => {
    if (field !== 2) return false;
    token = reader.text();
    return true;
  });
  return token;
}

function namesAnswer(bytes: Buffer): string[] {
  const reader = new WireReader(bytes);
  const names: string[] = [];
  reader.fields(bytes.length, (field) => {
    if (field !== 2) return false;
    names.push(reader.text());
    return true;
  });
  return names;
}

function permissionsAnswer(bytes: Buffer): Permission[] {
  const reader = new WireReader(bytes);
  const permissions: Permission[] = [];
  reader.fields(bytes.length, (field) => {
    if (field !== 2) return false;
    let [kind, from, to] = [0, '', ''];
    reader.fields(reader.end(), (inner) => {
      if (inner === 1) kind = reader.int();
      else if (inner === 2) from = reader.key();
      else if (inner === 3) to = reader.key();
      else return false;
      return true;
    });
    const access = accesses[kind];
    if (access === undefined) throw new RangeError(`permission of kind ${kind}`);
    permissions.push({ access, from, to });
    return true;
  });
  return permissions;
}

function statusAnswer(bytes: Buffer): { header: Header; version: string } {
  const reader = new WireReader(bytes);
  let header = noHeader;
  let version = '';
  reader.fields(bytes.length, (field) => {
    if (field === 1) header = headerOf(reader);
    else if (field === 2) version = reader.text();
    else return false;
    return true;
  });
  return { header, version };
}

function membersAnswer(bytes: Buffer): { name: string; clientUrls: string[] }[] {
  const reader = new WireReader(bytes);
  const members: { name: string; clientUrls: string[] }[] = [];
  reader.fields(bytes.length, (field) => {
    if (field !== 2) return false;
    const member: { name: string; clientUrls: string[] } = { name: '', clientUrls: [] };
    reader.fields(reader.end(), (inner) => {
      if (inner === 2) member.name = reader.text();
      else if (inner === 4) member.clientUrls.push(reader.text());
      else return false;
      return true;
    });
    members.push(member);
    return true;
  });
  return members;
}

function watchAnswer(bytes: Buffer): WatchAnswer {
  const reader = new WireReader(bytes);
  let header = noHeader;
  let [watchId, compactRevision, cancelReason] = [0, 0, ''];
  let [created, canceled] = [false, false];
  const changes: Change[] = [];
  reader.fields(bytes.length, (field) => {
    if (field === 1) header = headerOf(reader);
    else if (field === 2) watchId = reader.int();
    else if (field === 3) created = reader.int() !== 0;
    else if (field === 4) canceled = reader.int() !== 0;
    else if (field === 5) compactRevision = reader.int();
    else if (field === 6) cancelReason = reader.text();
    else if (field === 11) changes.push(changeOf(reader));
    else return false;
    return true;
  });
  return { header, watchId, created, canceled, compactRevision, cancelReason, changes };
}

function changeOf(reader: WireReader): Change {
  let deleted = false;
  let found: KeyValue | undefined;
  reader.fields(reader.end(), (field) => {
    if (field === 1) deleted = reader.int() === 1;
    else if (field === 2) found = keyValueOf(reader);
    else return false;
    return true;
  });
  if (!found) throw new RangeError('watch event without a key');
  return { key: found.key, value: deleted ? undefined : found.value, modRevision: found.modRevision };
}

function ignored(): void {}
