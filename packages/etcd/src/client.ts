// The `Etcd` interface over gRPC.
import { type Clock, systemClock } from '@calico-openstack/agent/clock';
import { openConnection } from './connection.ts';
import { EtcdError } from './errors.ts';
import { followPrefixes, type WatchSource } from './follow.ts';
import { isReadable } from './keys.ts';
import {
  compactRequest,
  emptyRequest,
  grantLeaseRequest,
  type Header,
  leaseRequest,
  methods,
  prefixRange,
  rangeRequest,
  transactionRequest,
} from './messages.ts';
import { adaptingPageSize, fixedPageSize, type ReadPage, readSnapshot } from './pages.ts';
import type { Etcd, EtcdOptions, KeyValue, Lease, Operation } from './types.ts';
import { openWatch } from './watch.ts';

/**
 * A client of the cluster with these endpoints. It connects when it is first used; later trouble with etcd or the network shows as rejected calls.
 * `checkMs`: how often a watch checks that etcd's history is still the same. `pageSize`: makes what decides the page size of a follower.
 * @throws ETCD_MISCONFIGURED when the options cannot lead to a connection
 */
export function connectEtcd(options: EtcdOptions, clock: Clock = systemClock, { checkMs = 30_000, pageSize = adaptingPageSize } = {}): Etcd {
  const connection = openConnection(options, clock);
  const call: typeof connection.call = (method, request, options) => connection.call(method, request, options);

  const readPage =
    ({ keysOnly = false } = {}): ReadPage =>
    async (prefix, { from, limit, revision = 0 }) => {
      const range = prefixRange(prefix);
      const request = rangeRequest({ ...range, ...(from !== undefined && { from }) }, { limit, revision, keysOnly });
      let begunMs: number | undefined;
      const onAnswering = (): void => {
        begunMs ??= clock.steadyMs();
      };
      const page = await call(methods.range, request, { what: `read ${prefix}`, repeatable: true, onAnswering });
      return { ...page, transferMs: clock.steadyMs() - (begunMs ?? clock.steadyMs()) };
    };

  async function readHeader(key: string): Promise<Header> {
    return (await call(methods.range, rangeRequest({ from: key, to: '' }), { what: `read ${key}`, repeatable: true })).header;
  }

  const source: WatchSource = {
    clock,
    random: Math.random,
    readPage: readPage(),
    readHeader,
    watch: (ranges, events) => openWatch(connection, ranges, events, { readHeader, checkMs }),
  };

  return {
    async get(key) {
      const { header, found } = await call(methods.range, rangeRequest({ from: key, to: '' }), { what: `read ${key}`, repeatable: true });
      const { revision, clusterId, term } = header;
      return { revision, origin: { clusterId, term }, found: found[0] };
    },

    async range(prefix, { revision: asked, pageSize: keys, keysOnly = false } = {}) {
      const size = keys === undefined ? adaptingPageSize() : fixedPageSize(keys);
      const snapshot = readSnapshot(readPage({ keysOnly }), [prefix], size, asked);
      const all: KeyValue[] = [];
      let revision = asked ?? 0;
      for (let page = await snapshot.next(); page; page = await snapshot.next()) {
        revision = asked ?? page.header.revision;
        for (const keyValue of page.found) if (isReadable(keyValue.key)) all.push(keyValue);
      }
      return { revision, found: all };
    },

    async transact(when, then, otherwise = []) {
      const what = `carry out a transaction on ${keysOf(then).join(', ') || 'no key'}`;
      const { header, succeeded, found } = await call(methods.transact, transactionRequest(when, then, otherwise), { what, repeatable: false });
      return { revision: header.revision, succeeded, found };
    },

    async grantLease(ttlSeconds) {
      const { id, ttlSeconds: granted } = await call(methods.grantLease, grantLeaseRequest(ttlSeconds), {
        what: `get a lease of ${ttlSeconds} s`,
        repeatable: true,
      });
      return lease(id, granted);
    },

    follow: (prefixes, listener, options) => followPrefixes(source, prefixes, listener, { ...options, pageSize: pageSize() }),

    async compact(revision) {
      await call(methods.compact, compactRequest(revision), { what: `compact revision ${revision}`, repeatable: false });
    },

    async status() {
      const { header, version } = await call(methods.status, emptyRequest, { what: 'ask for its status', repeatable: true });
      return { revision: header.revision, version, endpoint: connection.endpoint };
    },

    members: () => call(methods.members, emptyRequest, { what: 'ask for its members', repeatable: true }),

    remoteAddress: () => connection.remoteAddress,

    close: () => connection.close(),
  };

  function lease(id: string, ttlSeconds: number): Lease {
    return {
      id,
      ttlSeconds,
      async keepAlive() {
        const options = { what: `keep lease ${id} alive`, repeatable: true };
        const { ttlSeconds: left } = await call(methods.keepLeaseAlive, leaseRequest(id), options);
        return left > 0;
      },
      async revoke() {
        try {
          await call(methods.revokeLease, leaseRequest(id), { what: `revoke lease ${id}`, repeatable: true });
        } catch (error) {
          if (!(error instanceof EtcdError) || error.code !== 'ETCD_LEASE_GONE') throw error;
        }
      },
    };
  }
}

/** The first keys of a transaction, for an error message: enough to recognise it by. */
function keysOf(operations: readonly Operation[]): readonly string[] {
  const keys = operations.slice(0, 3).map((operation) => {
    if ('put' in operation) return operation.put;
    if ('get' in operation) return operation.get;
    return 'delete' in operation ? operation.delete : operation.deletePrefix;
  });
  return operations.length > 3 ? [...keys, `and ${operations.length - 3} more`] : keys;
}
