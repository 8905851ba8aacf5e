// Translates etcd's refusals to codes: by gRPC's status, or by etcd's own text where the status was lost on the way.
import type { EtcdErrorCode } from './errors.ts';
import { type GrpcError, grpcStatus } from './transport.ts';

/** etcd's message to a client without a user, when etcd requires users. */
const noUser = 'etcdserver: user name is empty';

/**
 * The status codes of etcd's refusals (api/v3rpc/rpctypes/error.go) by their text. etcd's grpc-proxy passes on the text alone, with status UNKNOWN; etcd's own clients compare the text too.
 * Only those are listed on which a decision depends.
 */
const statusByText: Readonly<Record<string, number>> = {
  'etcdserver: mvcc: required revision has been compacted': grpcStatus.OUT_OF_RANGE,
  'etcdserver: mvcc: required revision is a future revision': grpcStatus.OUT_OF_RANGE,
  'etcdserver: mvcc: database space exceeded': grpcStatus.RESOURCE_EXHAUSTED,
  'etcdserver: too many requests': grpcStatus.RESOURCE_EXHAUSTED,
  'etcdserver: request is too large': grpcStatus.INVALID_ARGUMENT,
  'etcdserver: too many operations in txn request': grpcStatus.INVALID_ARGUMENT,
  'etcdserver: duplicate key given in txn request': grpcStatus.INVALID_ARGUMENT,
  'etcdserver: key is not provided': grpcStatus.INVALID_ARGUMENT,
  'etcdserver: requested lease not found': grpcStatus.NOT_FOUND,
  'etcdserver: lease already exists': grpcStatus.FAILED_PRECONDITION,
  'etcdserver: permission denied': grpcStatus.PERMISSION_DENIED,
  'etcdserver: invalid auth token': grpcStatus.UNAUTHENTICATED,
  'etcdserver: authentication is not enabled': grpcStatus.FAILED_PRECONDITION,
  'etcdserver: authentication failed, invalid user ID or password': grpcStatus.INVALID_ARGUMENT,
  'etcdserver: revision of auth store is old': grpcStatus.INVALID_ARGUMENT,
  [noUser]: grpcStatus.INVALID_ARGUMENT,
};

/** gRPC's status of an error, also where the grpc-proxy replaced it by UNKNOWN. */
export function statusOf({ status, message }: GrpcError): number {
  return status === grpcStatus.UNKNOWN ? (statusByText[message] ?? status) : status;
}

/** Our code for an error of gRPC's. */
export function codeOf(error: GrpcError): EtcdErrorCode {
  switch (statusOf(error)) {
    case grpcStatus.DEADLINE_EXCEEDED:
      return 'ETCD_TIMEOUT';
    case grpcStatus.RESOURCE_EXHAUSTED:
      return 'ETCD_OVERLOADED';
    case grpcStatus.OUT_OF_RANGE:
      return 'ETCD_COMPACTED';
    case grpcStatus.PERMISSION_DENIED:
    case grpcStatus.UNAUTHENTICATED:
      return 'ETCD_DENIED';
    case grpcStatus.NOT_FOUND:
      return 'ETCD_LEASE_GONE';
    case grpcStatus.INVALID_ARGUMENT:
      return error.message === noUser ? 'ETCD_DENIED' : 'ETCD_REFUSED'; // etcd has no other status for it
    case grpcStatus.FAILED_PRECONDITION:
    case grpcStatus.ALREADY_EXISTS:
    case grpcStatus.UNIMPLEMENTED:
    case grpcStatus.DATA_LOSS:
      return 'ETCD_REFUSED';
    default: // UNAVAILABLE; also UNKNOWN and INTERNAL, with which a dying member may answer
      return 'ETCD_UNAVAILABLE';
  }
}
