// The etcd room's public face. Keys are text, values bytes, revisions numbers. client.ts implements it over gRPC, fake.ts in memory; one contract suite holds for both.

export type KeyValue = {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** The lease's id in decimal, `0` for none. */
  readonly lease: string;
};

/** What a transaction may ask before it acts. */
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
  readonly revision: number /** What the `get`s of the branch taken found, in order. */;
  readonly found: readonly (KeyValue | undefined)[];
};

export type Change = { readonly key: string /** undefined: deleted */; readonly value: Uint8Array | undefined; readonly modRevision: number };

export type FollowState = 'connecting' | 'reading' | 'following' | 'lost';

export interface Follower {
  /** Called with a batch of changes in order of revision. The first snapshot comes in one or several batches before onInSync. Must not throw. */
  readonly state: FollowState;
  /** The revision up to which everything was delivered. */
  readonly revision: number;
  close(): void;
}

export type FollowListener = {
  onChanges(changes: readonly Change[], revision: number): void;
  /** Once: the first whole snapshot was delivered. */
  onInSync?(revision: number): void;
  onState?(state: FollowState, reason?: string): void;
};

export interface Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  /** Keeps it alive once; false when it has expired. */
  keepAlive(): Promise<boolean>;
  revoke(): Promise<void>;
}

export type EtcdOptions = {
  /** `http://host:port` or `https://…`, tried in turn. */
  readonly endpoints: readonly string[];
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly username?: string;
  readonly password?: string;
  /** For one request. [10] */
  readonly timeoutSeconds?: number;
};

/** Every call rejects with EtcdError; `isTransient(error)` tells whether trying again later makes sense. */
export interface Etcd {
  get(key: string): Promise<{ readonly revision: number; readonly found: KeyValue | undefined }>;
  /** The whole prefix at one revision, read in pages. */
  range(
    prefix: string,
    options?: { readonly revision?: number; readonly pageSize?: number; readonly keysOnly?: boolean },
  ): Promise<{ readonly revision: number; readonly found: readonly KeyValue[] }>;
  transact(when: readonly Compare[], then: readonly Operation[], otherwise?: readonly Operation[]): Promise<TransactionResult>;
  grantLease(ttlSeconds: number): Promise<Lease>;
  /**
   * Snapshot of the prefixes at one revision, then a watch from there, for ever: a lost watch is resumed from the last revision, a compacted one by a fresh snapshot
   * that is compared with what was delivered, so that what vanished meanwhile comes as a deletion. The reader never passes through "everything is gone".
   */
  follow(prefixes: readonly string[], listener: FollowListener): Follower;
  compact(revision: number): Promise<void>;
  /** Members, leader, revision: for status pages and start-up checks. */
  status(): Promise<{ readonly revision: number; readonly version: string; readonly endpoint: string }>;
  close(): void;
}
