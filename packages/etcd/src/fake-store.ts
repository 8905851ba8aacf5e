// A datastore with etcd's semantics in memory: revisions, transactions, leases, history, compaction. It has no clock: callers pass the time, and nothing waits.
import { EtcdError } from './errors.ts';
import { compareKeys } from './keys.ts';
import { type KeyRange, prefixRange } from './messages.ts';

import type { Change, Compare, KeyValue, Operation, TransactionResult } from './types.ts';

type LeaseRecord = { readonly ttlMs: number; expiresAtMs: number; readonly keys: Set<string> };

/** An empty datastore. Its refusals are EtcdErrors, as those of a real etcd. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: keys, history and leases are one state, which each commit changes together
export function createMemoryStore() {
  let revision = 1;
  let compacted = 0;
  let leaseCount = 0;
  /** Every version of each key that is not compacted, oldest first. A deletion is a version without a value. */
  const versions = new Map<string, (Change & { readonly keyValue: KeyValue | undefined })[]>();
  const log: Change[] = [];
  const leases = new Map<string, LeaseRecord>();
  const onCommit = new Set<() => void>();

  function at(key: string, when: number): KeyValue | undefined {
    return versions.get(key)?.findLast(({ modRevision }) => modRevision <= when)?.keyValue;
  }

  function set(key: string, keyValue: KeyValue | undefined): void {
    const previous = at(key, revision);
    if (previous && previous.lease !== '0') leases.get(previous.lease)?.keys.delete(key);
    if (keyValue && keyValue.lease !== '0') leases.get(keyValue.lease)?.keys.add(key);
    const change = { key, value: keyValue?.value, modRevision: revision };
    log.push(change);
    versions.set(key, [...(versions.get(key) ?? []), { ...change, keyValue }]);
  }

  function keysIn({ from, to }: KeyRange, when: number): string[] {
    const end = to === '\0' ? undefined : to;
    const inside = (key: string): boolean => (to === '' ? key === from : compareKeys(key, from) >= 0 && (end === undefined || compareKeys(key, end) < 0));
    return [...versions.keys()].filter((key) => inside(key) && at(key, when)).sort(compareKeys);
  }

  function holds(compare: Compare): boolean {
    const found = at(compare.key, revision);
    if ('modRevision' in compare) return (found?.modRevision ?? 0) === compare.modRevision;
    if ('exists' in compare) return (found !== undefined) === compare.exists;
    return found !== undefined && Buffer.from(found.value).equals(Buffer.from(compare.value));
  }

  /** Refuses what etcd refuses: two changes of one key in one branch, and puts under a lease that does not exist. */
  function check(operations: readonly Operation[]): void {
    const puts = operations.flatMap((operation) => ('put' in operation ? [operation] : []));
    for (const { put, lease } of puts) {
      if (puts.filter((other) => other.put === put).length > 1 || operations.some((other) => deletes(other, put))) {
        throw new EtcdError('ETCD_REFUSED', `two operations of one transaction change ${put}`);
      }
      if (lease !== undefined && lease !== '0' && !leases.has(lease)) throw new EtcdError('ETCD_LEASE_GONE', `put of ${put}: there is no lease ${lease}`);
    }
  }

  const store = {
    get revision() {
      return revision;
    },
    get compacted() {
      return compacted;
    },
    /** Callbacks that are called after each new revision. */
    onCommit,

    /** One page of a range at a revision (0: the newest): at most `limit` keys, starting with `from`. */
    range(range: KeyRange, when = 0, from?: string, limit = Number.POSITIVE_INFINITY): { readonly found: KeyValue[]; readonly more: boolean } {
      if (when > revision || (when !== 0 && when < compacted))
        throw new EtcdError('ETCD_COMPACTED', `revision ${when} is not within ${compacted} to ${revision}`);
      const keys = keysIn(range, when || revision).filter((key) => from === undefined || compareKeys(key, from) >= 0);
      return { found: keys.slice(0, limit).map((key) => at(key, when || revision)!), more: keys.length > limit };
    },

    transact(when: readonly Compare[], then: readonly Operation[], otherwise: readonly Operation[]): TransactionResult {
      const succeeded = when.every(holds);
      const operations = succeeded ? then : otherwise;
      check(then);
      check(otherwise);
      const found: (KeyValue | undefined)[] = [];
      const before = log.length;
      revision += 1; // undone below when nothing changes
      for (const operation of operations) {
        if ('get' in operation) found.push(at(operation.get, revision));
        else if ('put' in operation) {
          const { put: key, value, lease = '0' } = operation;
          const previous = at(key, revision);
          const [createRevision, version] = [previous?.createRevision ?? revision, (previous?.version ?? 0) + 1];
          set(key, { key, value: Buffer.from(value), createRevision, modRevision: revision, version, lease });
        } else {
          const range = 'delete' in operation ? { from: operation.delete, to: '' } : prefixRange(operation.deletePrefix);
          for (const key of keysIn(range, revision)) set(key, undefined);
        }
      }
      if (log.length === before) revision -= 1;
      else for (const told of onCommit) told();
      return { succeeded, revision, found };
    },

    /** All changes from a revision on, in order. As in etcd, history may start with the compacted revision itself, although the changes of that revision are gone. */
    history(range: KeyRange, from: number): Change[] {
      if (from < compacted) throw new EtcdError('ETCD_COMPACTED', `revision ${from} is compacted: history starts with ${compacted}`);
      const end = range.to === '\0' ? undefined : range.to;
      return log.filter(({ key, modRevision }) => modRevision >= from && compareKeys(key, range.from) >= 0 && (end === undefined || compareKeys(key, end) < 0));
    },

    compact(upTo: number): void {
      if (upTo <= compacted || upTo > revision)
        throw new EtcdError('ETCD_COMPACTED', `cannot compact revision ${upTo}: history is ${compacted} to ${revision}`);
      compacted = upTo;
      log.splice(0, log.length, ...log.filter(({ modRevision }) => modRevision > upTo));
      for (const [key, all] of versions) {
        const last = all.findLastIndex(({ modRevision }) => modRevision <= upTo);
        const kept = all.slice(all[last]?.keyValue ? last : last + 1);
        if (kept.length > 0) versions.set(key, kept);
        else versions.delete(key);
      }
    },

    grantLease(ttlSeconds: number, nowMs: number): string {
      leaseCount += 1;
      const id = String(leaseCount);
      leases.set(id, { ttlMs: ttlSeconds * 1000, expiresAtMs: nowMs + ttlSeconds * 1000, keys: new Set() });
      return id;
    },

    keepAlive(id: string, nowMs: number): boolean {
      const lease = leases.get(id);
      if (lease) lease.expiresAtMs = nowMs + lease.ttlMs;
      return lease !== undefined;
    },

    /** Ends a lease and deletes its keys, in one revision. */
    endLease(id: string): void {
      const keys = [...(leases.get(id)?.keys ?? [])].sort(compareKeys);
      leases.delete(id);
      store.transact(
        [],
        keys.map((key) => ({ delete: key })),
        [],
      );
    },

    /** Grants every lease its whole time anew, as a new leader of etcd does: it cannot know when each was last kept alive. */
    renewLeases(nowMs: number): void {
      for (const lease of leases.values()) lease.expiresAtMs = nowMs + lease.ttlMs;
    },
    expireLeases(nowMs: number): void {
      for (const [id, { expiresAtMs }] of leases) if (expiresAtMs <= nowMs) store.endLease(id);
    },
    /** When the next lease expires. */
    get nextExpiryMs() {
      return Math.min(...Array.from(leases.values(), ({ expiresAtMs }) => expiresAtMs));
    },
  };
  return store;
}

/** A store in memory. */
export type MemoryStore = ReturnType<typeof createMemoryStore>;

function deletes(operation: Operation, key: string): boolean {
  if ('delete' in operation) return operation.delete === key;
  return 'deletePrefix' in operation && key.startsWith(operation.deletePrefix);
}
