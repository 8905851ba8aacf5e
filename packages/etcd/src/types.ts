// The etcd room's public face. Keys are text (keys.ts says how those are told that are not), values bytes, revisions numbers. client.ts implements it over gRPC, fake.ts in memory; one contract suite holds for both.

export type KeyValue = {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** The lease's id in decimal, `0` for none. */
  readonly lease: string;
};

/** What a transaction may ask before it acts. A value never equals that of a key which does not exist. */
export type Compare =
  | { readonly key: string; readonly modRevision: number } // 0: the key does not exist
  | { readonly key: string; readonly exists: boolean }
  | { readonly key: string; readonly value: Uint8Array | string };

export type Operation =
  | { readonly put: string; readonly value: Uint8Array | string; readonly lease?: string }
  | { readonly delete: string }
  | { readonly deletePrefix: string }
  | { readonly get: string };

export type TransactionResult = {
  readonly succeeded: boolean;
  /** Of the datastore after the transaction: the changes' own revision if it changed anything. */
  readonly revision: number;
  /** What the `get`s of the branch taken found, in order. */
  readonly found: readonly (KeyValue | undefined)[];
};

export type Change = {
  readonly key: string;
  /** undefined: deleted. */
  readonly value: Uint8Array | undefined;
  /** Of the change; for a deletion that only a fresh snapshot showed, that snapshot's. */
  readonly modRevision: number;
};

/** `connecting` until the first snapshot starts; `lost`: etcd does not answer or refuses, and is tried again for ever. */
export type FollowState = 'connecting' | 'reading' | 'following' | 'lost';

export interface Follower {
  readonly state: FollowState;
  /** Every change of the prefixes up to this revision was delivered. Lags behind etcd's own while the prefixes are quiet. */
  readonly revision: number;
  /** Nothing is delivered after this returns. May be called from inside the listener. */
  close(): void;
}

/** Is called synchronously and must not throw: etcd waits meanwhile. */
export type FollowListener = {
  /**
   * Changes in order of revision; a transaction's changes to sibling prefixes (which share their parent) are in one call. Only before onInSync does a snapshot come in
   * pieces, in no particular order; a later one comes as one call that holds the differences. What the listener was told already is not told again.
   */
  onChanges(changes: readonly Change[], revision: number): void;
  /** Once: the first whole snapshot was delivered. */
  onInSync?(revision: number): void;
  /**
   * Keys under the prefixes that are no UTF-8, which are left out of everything else: how many there are now, whenever that has changed, and one of them for a message.
   * None of ours is like that, so somebody else has written them.
   */
  onUnreadable?(keys: number, example: string): void;
  /** Each time that the state, or the reason why it is `lost`, changes. A reason starts with an EtcdError's code. */
  onState?(state: FollowState, reason?: string): void;
};

export interface Lease {
  readonly id: string;
  /** As granted, which may be more than was asked for. */
  readonly ttlSeconds: number;
  /** Keeps it alive once; false when it has expired. */
  keepAlive(): Promise<boolean>;
  /** Deletes the keys that are attached to it. A lease that has expired counts as revoked. */
  revoke(): Promise<void>;
}

export type EtcdOptions = {
  /** `http://host:port` or `https://…`, all of one cluster. Tried in turn, from a random one on. */
  readonly endpoints: readonly string[];
  /** PEM: who is trusted, an intermediate authority alone too. Left out: whom the system trusts, and NODE_EXTRA_CA_CERTS. Files are read again for every new connection, so that they may be renewed. */
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly username?: string;
  readonly password?: string;
  /** For one request, with failover and with waiting for an etcd that is away: so long it takes until a call rejects with ETCD_UNAVAILABLE. Begins again with each piece of an answer that comes in. [10] */
  readonly timeoutSeconds?: number;
};

/** Every call rejects with EtcdError; `isTransient(error)` tells whether trying again later makes sense. */
export interface Etcd {
  get(key: string): Promise<{ readonly revision: number; readonly found: KeyValue | undefined }>;
  /** The whole prefix at one revision (the newest, or the one asked for), read in pages, sorted by key. An empty prefix is everything. Keys that are no UTF-8 are left out. */
  range(
    prefix: string,
    options?: { readonly revision?: number; readonly pageSize?: number; readonly keysOnly?: boolean },
  ): Promise<{ readonly revision: number; readonly found: readonly KeyValue[] }>;
  /**
   * All or nothing. Never sent twice: when ETCD_UNAVAILABLE or ETCD_TIMEOUT comes back, it may or may not have taken place.
   * ETCD_LEASE_GONE: a put names a lease that has expired. ETCD_REFUSED: etcd does not take it (too big, two operations on one key).
   */
  transact(when: readonly Compare[], then: readonly Operation[], otherwise?: readonly Operation[]): Promise<TransactionResult>;
  grantLease(ttlSeconds: number): Promise<Lease>;
  /**
   * Snapshot of the prefixes at one revision, then a watch from there, for ever: a snapshot that is interrupted goes on behind its last key, a lost watch is resumed from the last revision, a compacted one by a fresh snapshot
   * that is compared with what was delivered, so that what vanished meanwhile comes as a deletion. The reader never passes through "everything is gone".
   * Order and transactions hold across prefixes that share their parent (`/a/b/`, `/a/c/`); etcd promises neither across trees that lie further apart.
   * `apart`: each prefix has a watch of its own, so that what lies between them is neither sent nor needs a right to be read; order and transactions hold within each alone.
   */
  follow(prefixes: readonly string[], listener: FollowListener, options?: { readonly apart?: boolean }): Follower;
  /** Forgets the history before `revision`. */
  compact(revision: number): Promise<void>;
  /** Of the endpoint in use: for status pages and start-up checks. */
  status(): Promise<{ readonly revision: number; readonly version: string; readonly endpoint: string }>;
  /** The address at the other end of the connection in use, while there is one. */
  remoteAddress(): string | undefined;
  /** Whom the cluster consists of, and the URLs at which each tells clients to find it. A grpc-proxy tells its own instead, and may leave out the scheme. */
  members(): Promise<readonly { readonly name: string; readonly clientUrls: readonly string[] }[]>;
  /** Calls under way reject with ETCD_CLOSED, followers fall silent, nothing of it keeps the process alive. */
  close(): void;
}
