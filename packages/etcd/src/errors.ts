// What can go wrong with etcd, as codes for programs and sentences for people.
import { CodedError } from '@calico-openstack/agent/errors';

export type EtcdErrorCode =
  /** No endpoint could be reached, or the one reached has no leader. */
  | 'ETCD_UNAVAILABLE'
  /** It was sent, and no answer came in time. */
  | 'ETCD_TIMEOUT'
  /** etcd is short of something: too many requests, or its space quota is used up. */
  | 'ETCD_OVERLOADED'
  /** The revision asked for is compacted, or not there yet. */
  | 'ETCD_COMPACTED'
  /** etcd's history is another one than before: a restored backup, or a new cluster. */
  | 'ETCD_REPLACED'
  /** Wrong password, missing role. */
  | 'ETCD_DENIED'
  | 'ETCD_LEASE_GONE'
  /** What etcd answers cannot be: nothing that follows from it may be acted on. */
  | 'ETCD_PROTOCOL'
  /** etcd understood, and does not take it. */
  | 'ETCD_REFUSED'
  /** The options do not make a connection: a bad URL, an unreadable file. */
  | 'ETCD_MISCONFIGURED'
  /** close() was called. */
  | 'ETCD_CLOSED';

export class EtcdError extends CodedError {
  declare readonly code: EtcdErrorCode;

  constructor(code: EtcdErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** Whether the same call may succeed later although nobody changes anything but etcd's health. Anything else is for a person, or for the caller to decide anew. */
export function isTransient(error: unknown): boolean {
  return error instanceof EtcdError && (error.code === 'ETCD_UNAVAILABLE' || error.code === 'ETCD_TIMEOUT' || error.code === 'ETCD_OVERLOADED');
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
