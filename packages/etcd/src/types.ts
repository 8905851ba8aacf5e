// The public types of the etcd room. Keys are text (keys.ts describes how keys that are not UTF-8 are handled), values are bytes, revisions are numbers.
import type { Origin } from './origin.ts';
// client.ts implements them over gRPC, fake.ts in memory; one contract suite holds both to the promises that are written here.

/** A key as etcd holds it at one revision (etcd's `mvccpb.KeyValue`). */
export type KeyValue = {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** The lease's id in decimal, `0` for none. */
  readonly lease: string;
};

/** A condition of a transaction. A comparison with a value never holds for a key that does not exist. */
export type Compare =
  /** The key was last changed at this revision; 0: the key does not exist. */
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly exists: boolean }
  | { readonly key: string; readonly value: Uint8Array | string };

/** An operation of a transaction. `lease` is a lease's id: etcd deletes the key when that lease ends. */
export type Operation =
  | { readonly put: string; readonly value: Uint8Array | string; readonly lease?: string }
  | { readonly delete: string }
  | { readonly deletePrefix: string }
  | { readonly get: string };

/** The result of a transaction. `succeeded` is true when all comparisons held, so that the first branch was taken. */
export type TransactionResult = {
  readonly succeeded: boolean;
  /** The datastore's revision after the transaction. If the transaction changed anything, this is the revision of those changes. */
  readonly revision: number;
  /** The results of the `get`s of the branch that was taken, in order; undefined where the key does not exist. */
  readonly found: readonly (KeyValue | undefined)[];
};

/** A key that was written or deleted. */
export type Change = {
  readonly key: string;
  /** The new value; undefined when the key was deleted. */
  readonly value: Uint8Array | undefined;
  /** The revision of the change. A deletion that is only known because a fresh snapshot lacks the key has the snapshot's revision. */
  readonly modRevision: number;
};

/** `connecting`: the first snapshot has not started. `reading`: a snapshot is being read. `following`: the watch stands. `lost`: etcd does not answer or refuses; the follower retries for ever. */
export type FollowState = 'connecting' | 'reading' | 'following' | 'lost';

/** A subscription to the changes of some prefixes, made by `Etcd.follow`. */
export interface Follower {
  readonly state: FollowState;
  /** Every change of the prefixes up to this revision was delivered. It lags behind etcd's own revision while nothing under the prefixes changes. */
  readonly revision: number;
  /** Nothing is delivered after this returns. May be called from inside the listener. */
  close(): void;
}

/** The callbacks of a follower. They are called synchronously: no further change is read until a callback returns. They must not throw. */
export type FollowListener = {
  /**
   * Changes in order of revision. A transaction's changes to sibling prefixes (those that share their parent) come in one call.
   * Before onInSync, the first snapshot comes in several calls, in no particular order. A later snapshot comes as one call that holds only the differences.
   * No change is delivered to the listener twice.
   * @param isHistory whether these are whole transactions of etcd, one after the other. Otherwise they are a difference: no state that etcd has had lies between two of its changes
   */
  onChanges(changes: readonly Change[], revision: number, isHistory: boolean): void;
  /** Called once, when the whole first snapshot was delivered. */
  onInSync?(revision: number): void;
  /**
   * Reports keys under the prefixes that are not UTF-8, which are left out of everything else: how many there are, whenever that number changes, and one of them as an example for a message.
   * No key of Calico's or ours is like that, so somebody else has written them.
   */
  onUnreadable?(keys: number, example: string): void;
  /** Called each time that the state changes, or the reason why it is `lost`. A reason starts with an EtcdError's code. */
  onState?(state: FollowState, reason?: string): void;
};

/** A lease of etcd's: keys that are put under it are deleted when it expires or is revoked. */
export interface Lease {
  readonly id: string;
  /** The time to live that etcd granted, which may be more than was requested. */
  readonly ttlSeconds: number;
  /** Renews the lease once. Resolves to false when the lease has expired. */
  keepAlive(): Promise<boolean>;
  /** Ends the lease and deletes the keys that are attached to it. A lease that has expired counts as revoked. */
  revoke(): Promise<void>;
}

/** How to reach a cluster. */
export type EtcdOptions = {
  /** `http://host:port` or `https://…`, all of one cluster. They are tried in turn, starting with a random one. */
  readonly endpoints: readonly string[];
  /** PEM file of the authorities to trust; an intermediate authority alone suffices. Left out: what the system trusts, and NODE_EXTRA_CA_CERTS. All files are read again for every new connection, so they may be renewed; a set that does not fit together is not used. */
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly username?: string;
  readonly password?: string;
  /**
   * How long a call waits, failover and retries included, before it rejects with ETCD_UNAVAILABLE or ETCD_TIMEOUT.
   * The time starts anew with each piece of an answer that arrives. Default: 10 000.
   */
  readonly timeoutMs?: number;
  /** Receives a sentence for the log when renewed certificates cannot be used and the former ones stay in use. */
  readonly onWarning?: (sentence: string) => void;
};

/** A client of an etcd cluster. Every call rejects with an EtcdError; `isTransient(error)` is true when a later retry makes sense. */
export interface Etcd {
  /** One key at the newest revision. */
  get(key: string): Promise<{ readonly revision: number; readonly origin: Origin; readonly found: KeyValue | undefined }>;
  /** All keys with the prefix at one revision (the newest, or the requested one), read in pages, sorted by key. An empty prefix means all keys. Keys that are not UTF-8 are left out. */
  range(
    prefix: string,
    options?: { readonly revision?: number; readonly pageSize?: number; readonly keysOnly?: boolean },
  ): Promise<{ readonly revision: number; readonly found: readonly KeyValue[] }>;
  /**
   * Carries out `then` if every comparison holds, `otherwise` if not; all of the branch or nothing. A transaction is never sent twice: after ETCD_UNAVAILABLE or ETCD_TIMEOUT it may or may not have taken place.
   * Rejects with ETCD_LEASE_GONE when a put names a lease that has expired, and with ETCD_REFUSED when etcd does not accept the transaction (too big, two operations on one key).
   */
  transact(when: readonly Compare[], then: readonly Operation[], otherwise?: readonly Operation[]): Promise<TransactionResult>;
  /** Grants a new lease. etcd may grant a longer time than was requested. */
  grantLease(ttlSeconds: number): Promise<Lease>;
  /**
   * Delivers a snapshot of the prefixes at one revision, then watches from there for ever. An interrupted snapshot continues behind its last key. A lost watch is resumed from the last revision.
   * After a compaction a fresh snapshot is compared with what was delivered, so that keys which vanished meanwhile are reported as deletions. The listener never sees a state in which everything is gone.
   * Changes keep their order, and transactions stay whole, across prefixes that share their parent (`/a/b/`, `/a/c/`). etcd promises neither across trees that lie further apart.
   * `apart`: each prefix has its own watch. Then keys that lie between the prefixes are not sent and no right to read them is needed, but order and transactions hold only within each prefix.
   */
  follow(prefixes: readonly string[], listener: FollowListener, options?: { readonly apart?: boolean }): Follower;
  /** Makes etcd discard the history before `revision`. */
  compact(revision: number): Promise<void>;
  /** The state of the endpoint in use, for status pages and start-up checks. */
  status(): Promise<{ readonly revision: number; readonly version: string; readonly endpoint: string }>;
  /** The remote IP address of the connection in use; undefined while there is none. */
  remoteAddress(): string | undefined;
  /** The cluster's members and the URLs that each advertises to clients. A grpc-proxy reports its own instead, and may leave out the scheme. */
  members(): Promise<readonly { readonly name: string; readonly clientUrls: readonly string[] }[]>;
  /** Closes the connection: calls under way reject with ETCD_CLOSED, followers report nothing more, and nothing of the client keeps the process alive. */
  close(): void;
}
