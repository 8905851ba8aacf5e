// The errors of etcd's client: codes for programs, sentences for people.
import { CodedError } from '@calico-openstack/agent/errors';

/** The kinds of failure. */
export type EtcdErrorCode =
  /** No endpoint could be reached, or the endpoint that answered has no leader. */
  | 'ETCD_UNAVAILABLE'
  /** The request was sent, and no answer arrived in time. */
  | 'ETCD_TIMEOUT'
  /** etcd lacks resources: too many requests, or its space quota is used up. */
  | 'ETCD_OVERLOADED'
  /** The requested revision has been compacted, or does not exist yet. */
  | 'ETCD_COMPACTED'
  /** etcd's history is not the one seen before: it was restored from a backup, or is a new cluster. */
  | 'ETCD_REPLACED'
  /** The password is wrong, or the user lacks a role. */
  | 'ETCD_DENIED'
  /** The lease has expired or was revoked. */
  | 'ETCD_LEASE_GONE'
  /** etcd's answer contradicts its own rules, so nothing may be concluded from it. */
  | 'ETCD_PROTOCOL'
  /** etcd understood the request and does not accept it. */
  | 'ETCD_REFUSED'
  /** The options cannot lead to a connection: a bad URL, an unreadable file. */
  | 'ETCD_MISCONFIGURED'
  /** The client was closed. */
  | 'ETCD_CLOSED';

/** The error with which every call of this room rejects. */
export class EtcdError extends CodedError {
  declare readonly code: EtcdErrorCode;

  constructor(code: EtcdErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** Whether the same call may succeed later by itself, once etcd recovers. Any other error needs a person, or a new decision of the caller. */
export function isTransient(error: unknown): boolean {
  return error instanceof EtcdError && (error.code === 'ETCD_UNAVAILABLE' || error.code === 'ETCD_TIMEOUT' || error.code === 'ETCD_OVERLOADED');
}

/** The message of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
