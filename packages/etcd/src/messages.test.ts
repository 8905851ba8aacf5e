import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { compareKeys } from './keys.ts';
import {
  addUserRequest,
  authenticateRequest,
  compactRequest,
  grantLeaseRequest,
  grantPermissionRequest,
  leaseRequest,
  methods,
  prefixRange,
  rangeRequest,
  revokePermissionRequest,
  transactionRequest,
  watchRequest,
} from './messages.ts';

// The parts of etcd's api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto that this room uses, as published.
const { root } = protobuf.parse(
  `
  syntax = "proto3";
  message KeyValue { bytes key = 1; int64 create_revision = 2; int64 mod_revision = 3; int64 version = 4; bytes value = 5; int64 lease = 6; }
  message Event { enum EventType { PUT = 0; DELETE = 1; } EventType type = 1; KeyValue kv = 2; KeyValue prev_kv = 3; }
  message ResponseHeader { uint64 cluster_id = 1; uint64 member_id = 2; int64 revision = 3; uint64 raft_term = 4; }
  message RangeRequest { bytes key = 1; bytes range_end = 2; int64 limit = 3; int64 revision = 4; bool serializable = 7; bool keys_only = 8; bool count_only = 9; }
  message RangeResponse { ResponseHeader header = 1; repeated KeyValue kvs = 2; bool more = 3; int64 count = 4; }
  message PutRequest { bytes key = 1; bytes value = 2; int64 lease = 3; bool prev_kv = 4; }
  message PutResponse { ResponseHeader header = 1; KeyValue prev_kv = 2; }
  message DeleteRangeRequest { bytes key = 1; bytes range_end = 2; bool prev_kv = 3; }
  message DeleteRangeResponse { ResponseHeader header = 1; int64 deleted = 2; }
  message RequestOp { oneof request { RangeRequest request_range = 1; PutRequest request_put = 2; DeleteRangeRequest request_delete_range = 3; } }
  message ResponseOp { oneof response { RangeResponse response_range = 1; PutResponse response_put = 2; DeleteRangeResponse response_delete_range = 3; } }
  message Compare {
    enum CompareResult { EQUAL = 0; GREATER = 1; LESS = 2; NOT_EQUAL = 3; }
    enum CompareTarget { VERSION = 0; CREATE = 1; MOD = 2; VALUE = 3; LEASE = 4; }
    CompareResult result = 1; CompareTarget target = 2; bytes key = 3;
    oneof target_union { int64 version = 4; int64 create_revision = 5; int64 mod_revision = 6; bytes value = 7; int64 lease = 8; }
  }
  message TxnRequest { repeated Compare compare = 1; repeated RequestOp success = 2; repeated RequestOp failure = 3; }
  message TxnResponse { ResponseHeader header = 1; bool succeeded = 2; repeated ResponseOp responses = 3; }
  message CompactionRequest { int64 revision = 1; bool physical = 2; }
  message WatchRequest { oneof request_union { WatchCreateRequest create_request = 1; } }
  message WatchCreateRequest { bytes key = 1; bytes range_end = 2; int64 start_revision = 3; bool progress_notify = 4; bool prev_kv = 6; int64 watch_id = 7; bool fragment = 8; }
  message WatchResponse {
    ResponseHeader header = 1; int64 watch_id = 2; bool created = 3; bool canceled = 4; int64 compact_revision = 5; string cancel_reason = 6; bool fragment = 7; repeated Event events = 11;
  }
  message LeaseGrantRequest { int64 TTL = 1; int64 ID = 2; }
  message LeaseGrantResponse { ResponseHeader header = 1; int64 ID = 2; int64 TTL = 3; string error = 4; }
  message LeaseKeepAliveRequest { int64 ID = 1; }
  message AuthenticateRequest { string name = 1; string password = 2; }
  message AuthenticateResponse { ResponseHeader header = 1; string token = 2; }
  message UserAddOptions { bool no_password = 1; }
  message AuthUserAddRequest { string name = 1; string password = 2; UserAddOptions options = 3; }
  message AuthUserListResponse { ResponseHeader header = 1; repeated string users = 2; }
  message Permission { enum Type { READ = 0; WRITE = 1; READWRITE = 2; } Type permType = 1; bytes key = 2; bytes range_end = 3; }
  message AuthRoleGrantPermissionRequest { string name = 1; Permission perm = 2; }
  message AuthRoleRevokePermissionRequest { string role = 1; bytes key = 2; bytes range_end = 3; }
  message AuthRoleGetResponse { ResponseHeader header = 1; repeated Permission perm = 2; }
  message Member { uint64 ID = 1; string name = 2; repeated string peerURLs = 3; repeated string clientURLs = 4; }
  message MemberListResponse { ResponseHeader header = 1; repeated Member members = 2; }
  message StatusResponse { ResponseHeader header = 1; string version = 2; int64 dbSize = 3; uint64 leader = 4; }
`,
  { keepCase: true },
);
const sent = (type: string, bytes: Buffer): unknown =>
  root.lookupType(type).toObject(root.lookupType(type).decode(bytes), { longs: String, enums: String, bytes: String });
const answered = (type: string, value: Record<string, unknown>): Buffer =>
  Buffer.from(root.lookupType(type).encode(root.lookupType(type).fromObject(value)).finish());
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const bytes = (text: string): Buffer => Buffer.from(text);
const header = { cluster_id: '18446744073709551615', member_id: '7', revision: '9007199254740991', raft_term: '3' };
const headerRead = { clusterId: '18446744073709551615', revision: 9007199254740991, term: 3 };

describe('requests are encoded as etcd defines them', () => {
  test.each<[string, string, Buffer, Record<string, unknown>]>([
    ['one key', 'RangeRequest', rangeRequest({ from: 'a', to: '' }), { key: base64('a') }],
    [
      'a page of keys at a revision',
      'RangeRequest',
      rangeRequest({ from: 'a', to: 'b' }, { limit: 10, revision: 5, keysOnly: true }),
      { key: base64('a'), range_end: base64('b'), limit: '10', revision: '5', keys_only: true },
    ],
    ['a compaction', 'CompactionRequest', compactRequest(2 ** 40), { revision: String(2 ** 40) }],
    ['a lease wanted', 'LeaseGrantRequest', grantLeaseRequest(60), { TTL: '60' }],
    ['a lease meant', 'LeaseKeepAliveRequest', leaseRequest('7587899127710828298'), { ID: '7587899127710828298' }],
    ['a login', 'AuthenticateRequest', authenticateRequest('root', 'pässword'), { name: 'root', password: 'pässword' }],
    ['a user with a password', 'AuthUserAddRequest', addUserRequest('u', 'secret'), { name: 'u', password: 'secret' }],
    ['a user without', 'AuthUserAddRequest', addUserRequest('u', undefined), { name: 'u', options: { no_password: true } }],
    [
      'a permission for a range',
      'AuthRoleGrantPermissionRequest',
      grantPermissionRequest('r', { access: 'readwrite', from: '/a/', to: '/a0' }),
      { name: 'r', perm: { permType: 'READWRITE', key: base64('/a/'), range_end: base64('/a0') } },
    ],
    [
      'a permission for one key',
      'AuthRoleGrantPermissionRequest',
      grantPermissionRequest('r', { access: 'write', from: '/a', to: '' }),
      { name: 'r', perm: { permType: 'WRITE', key: base64('/a') } },
    ],
    [
      'a permission that is taken away',
      'AuthRoleRevokePermissionRequest',
      revokePermissionRequest('r', { from: '/a/', to: '/a0' }),
      { role: 'r', key: base64('/a/'), range_end: base64('/a0') },
    ],
    [
      'a watch with progress and without fragments',
      'WatchRequest',
      watchRequest({ from: '/a/', to: '/a0' }, 7),
      { create_request: { key: base64('/a/'), range_end: base64('/a0'), start_revision: '7', progress_notify: true } },
    ],
  ])('%s', (_, type, request, meaning) => {
    expect(sent(type, request)).toEqual(meaning);
  });

  test('a transaction: its comparisons and both its branches, in order', () => {
    const request = transactionRequest(
      [
        { key: 'a', modRevision: 0 },
        { key: 'a', modRevision: 7 },
        { key: 'a', exists: true },
        { key: 'a', exists: false },
        { key: 'a', value: 'v' },
      ],
      [{ put: 'a', value: Buffer.from([255]), lease: '5' }, { put: 'b', value: '', lease: '0' }, { get: 'a' }],
      [{ delete: 'a' }, { deletePrefix: '/a/' }, { deletePrefix: '' }],
    );
    const key = base64('a');
    expect(sent('TxnRequest', request)).toEqual({
      compare: [
        { target: 'MOD', key, mod_revision: '0' },
        { target: 'MOD', key, mod_revision: '7' },
        { result: 'GREATER', key, version: '0' }, // the target VERSION and the result EQUAL are defaults
        { key, version: '0' },
        { target: 'VALUE', key, value: base64('v') },
      ],
      success: [{ request_put: { key, value: '/w==', lease: '5' } }, { request_put: { key: base64('b') } }, { request_range: { key } }],
      failure: [
        { request_delete_range: { key } },
        { request_delete_range: { key: base64('/a/'), range_end: base64('/a0') } },
        { request_delete_range: { key: base64('\0'), range_end: base64('\0') } },
      ],
    });
  });
});

describe('answers are decoded as etcd defines them', () => {
  const kv = { key: bytes('/a/1'), create_revision: 2, mod_revision: 3, version: 4, value: bytes('v'), lease: '7587899127710828298' };
  const keyValue = { key: '/a/1', createRevision: 2, modRevision: 3, version: 4, value: bytes('v'), lease: '7587899127710828298' };

  test('a range', () => {
    const answer = answered('RangeResponse', { header, kvs: [kv, { key: bytes('/a/2'), mod_revision: 1 }], more: true, count: 12 });
    expect(methods.range.decode(answer)).toEqual({
      header: headerRead,
      found: [keyValue, { key: '/a/2', createRevision: 0, modRevision: 1, version: 0, value: bytes(''), lease: '0' }],
      more: true,
    });
  });

  test('names and permissions', () => {
    expect(methods.listUsers.decode(answered('AuthUserListResponse', { header, users: ['a', 'b'] }))).toEqual(['a', 'b']);
    const perm = [{ key: bytes('/a') }, { permType: 'READWRITE', key: bytes('/b/'), range_end: bytes('/b0') }];
    expect(methods.permissionsOfRole.decode(answered('AuthRoleGetResponse', { header, perm }))).toEqual([
      { access: 'read', from: '/a', to: '' },
      { access: 'readwrite', from: '/b/', to: '/b0' },
    ]);
  });

  test('a transaction: the results of its reads, absent keys included', () => {
    const responses = [
      { response_put: { header } },
      { response_range: { kvs: [kv] } },
      { response_delete_range: { deleted: 1 } },
      { response_range: { header } },
    ];
    expect(methods.transact.decode(answered('TxnResponse', { header, succeeded: true, responses }))).toEqual({
      header: headerRead,
      succeeded: true,
      found: [keyValue, undefined],
    });
  });

  test('a watch: its changes and its end', () => {
    const events = [
      { kv, prev_kv: kv },
      { type: 'DELETE', kv: { key: bytes('/a/2'), mod_revision: 4 } },
    ];
    const nothing = { watchId: 0, created: false, canceled: false, compactRevision: 0, cancelReason: '', changes: [] };
    expect(methods.watch.decode(answered('WatchResponse', { header, watch_id: 1, events }))).toEqual({
      ...nothing,
      header: headerRead,
      watchId: 1,
      changes: [
        { key: '/a/1', value: bytes('v'), modRevision: 3 },
        { key: '/a/2', value: undefined, modRevision: 4 },
      ],
    });
    expect(methods.watch.decode(answered('WatchResponse', { watch_id: -1, created: true, canceled: true, compact_revision: 8, cancel_reason: 'why' }))).toEqual(
      {
        ...nothing,
        header: { clusterId: '0', revision: 0, term: 0 },
        watchId: -1,
        created: true,
        canceled: true,
        compactRevision: 8,
        cancelReason: 'why',
      },
    );
    expect(() => methods.watch.decode(answered('WatchResponse', { events: [{ type: 'DELETE' }] }))).toThrow(RangeError);
  });

  test('the members, each with all of its client URLs', () => {
    const members = [
      { ID: '1', name: 'a', peerURLs: ['http://10.0.0.1:2380'], clientURLs: ['http://10.0.0.1:2379', 'http://a:2379'] },
      { ID: '2', peerURLs: ['http://10.0.0.2:2380'] }, // a member that was added and has not started yet
    ];
    expect(methods.members.decode(answered('MemberListResponse', { header, members }))).toEqual([
      { name: 'a', clientUrls: ['http://10.0.0.1:2379', 'http://a:2379'] },
      { name: '', clientUrls: [] },
    ]);
  });

  test('a lease, a token, a status', () => {
    expect(methods.grantLease.decode(answered('LeaseGrantResponse', { header, ID: '7587899127710828298', TTL: 60 }))).toEqual({
      id: '7587899127710828298',
      ttlSeconds: 60,
    });
    expect(methods.authenticate.decode(answered('AuthenticateResponse', { header, token: 'abc.1' }))).toBe('abc.1');
    expect(methods.status.decode(answered('StatusResponse', { header, version: '3.4.23', dbSize: 5, leader: '9' }))).toEqual({
      header: headerRead,
      version: '3.4.23',
    });
  });
});

describe('the range of a prefix', () => {
  test.each([
    ['/a/', '/a/', '/a0'],
    ['', '\0', '\0'],
    ['/ü', '/ü', '/ý'],
    ['/\ud7ff', '/\ud7ff', '/\ue000'],
    ['/a\u{10ffff}', '/a\u{10ffff}', '/b'],
    ['\u{10ffff}', '\u{10ffff}', '\0'],
  ])('of %j is from %j to %j', (prefix, from, to) => {
    expect(prefixRange(prefix)).toEqual({ from, to });
  });

  test('holds the keys that start with it and no others', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '/', '\u{7f}', '\u{7ff}', '\ud7ff', '\ue000', '\u{ffff}', '\u{10000}', '\u{10ffff}'), maxLength: 4 });
    fc.assert(
      fc.property(text, text, (prefix, key) => {
        fc.pre(key !== '');
        const { from, to } = prefixRange(prefix);
        expect(compareKeys(key, from) >= 0 && (to === '\0' || compareKeys(key, to) < 0)).toBe(key.startsWith(prefix));
      }),
      { numRuns: 2000 },
    );
  });
});
