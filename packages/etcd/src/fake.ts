// An etcd in memory for the tests of other rooms. It is as strict as the real one; tests drive its time and its failures.

import type { Clock } from '@calico-openstack/agent/clock';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { EtcdError } from './errors.ts';
import { createMemoryStore, type MemoryStore } from './fake-store.ts';
import { followPrefixes, type StartedRange, type WatchEvents } from './follow.ts';
import { isReadable } from './keys.ts';
import { type Header, prefixRange } from './messages.ts';
import type { Origin } from './origin.ts';
import { fixedPageSize } from './pages.ts';
import type { Etcd, Lease } from './types.ts';

/** A client of the fake. */
export type FakeConnection = Etcd & {
  /** Cuts this client off from etcd, or reconnects it. While it is cut off, its calls reject with ETCD_UNAVAILABLE and its followers are lost; they recover by themselves. */
  cut(away: boolean): void;
};

/** A fake etcd and its controls. */
export type FakeEtcd = {
  /** A client, for tests that need only one. */
  readonly etcd: FakeConnection;
  /** Makes another client of the same etcd. */
  connect(): FakeConnection;
  /** Makes etcd unreachable for all clients, or reachable again with its data. */
  setDown(down: boolean): void;
  /** Puts an empty etcd in its place, as after the loss of the data directory. */
  replace(): void;
  /** Lets time pass: leases expire, waits on `clock` end. Time passes in no other way. */
  advanceSeconds(seconds: number): Promise<void>;
  readonly clock: Clock;
  /** All keys with the prefix, with their values as text. */
  contents(prefix?: string): Record<string, string>;
};

/** An empty etcd. `pageKeys`: how many keys followers read per page. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its clients share one store, and each of its failures meets all of them
export function fakeEtcd({ pageKeys = 10_000 } = {}): FakeEtcd {
  let store = createMemoryStore();
  let incarnation = 1;
  let down = false;
  const clock = fakeClock();
  /** One callback per client, which makes it compare its streams with the present state. */
  const connections = new Set<() => void>();
  const tellAll = (): void => queueMicrotask(() => connections.forEach((look) => void look()));
  store.onCommit.add(tellAll);

  const origin = (): Origin => ({ clusterId: String(incarnation), term: incarnation });
  const header = (): Header => ({ ...origin(), revision: store.revision });

  function connect(): FakeConnection {
    let away = false;
    let closed = false;
    const streams = new Set<FakeStream>();
    let pauses: (() => void)[] = [];

    const trouble = (): EtcdError | undefined => {
      if (closed) return new EtcdError('ETCD_CLOSED', 'the connection to etcd was closed');
      return down || away ? new EtcdError('ETCD_UNAVAILABLE', 'no etcd endpoint can be reached') : undefined;
    };

    /** Asks etcd in a later turn, as over a network: never before the call has returned. */
    async function ask<Answer>(answer: () => Answer): Promise<Answer> {
      await Promise.resolve();
      const error = trouble();
      if (error) throw error;
      return answer();
    }

    /** Delivers new changes to the followers, or reports to them that etcd was lost. */
    function look(): void {
      const error = trouble();
      for (const stream of [...streams]) {
        if (error) stream.lose(error);
        else if (stream.store !== store) stream.lose(new EtcdError('ETCD_UNAVAILABLE', 'etcd was replaced'));
        else stream.send();
      }
      if (error && !closed) return;
      for (const resume of pauses) resume();
      pauses = [];
    }
    connections.add(look);

    function watch(ranges: readonly StartedRange[], events: WatchEvents): { close(): void } {
      const stream = fakeStream(ranges, events, store, header, () => streams.delete(stream));
      streams.add(stream);
      queueMicrotask(look);
      return { close: () => stream.close() };
    }

    /** Waits until etcd can be reached, in place of a follower's pause, so that tests need not know how long it is. */
    async function pause(): Promise<void> {
      if (trouble()) await new Promise<void>((resolve) => pauses.push(resolve));
      else await new Promise((resolve) => setImmediate(resolve));
    }

    const lease = (id: string, ttlSeconds: number): Lease => ({
      id,
      ttlSeconds,
      keepAlive: () => ask(() => store.keepAlive(id, clock.steadyMs())),
      revoke: () => ask(() => store.endLease(id)),
    });

    return {
      get: (key) => ask(() => ({ revision: store.revision, origin: origin(), found: store.range({ from: key, to: '' }).found[0] })),
      range: (prefix, { revision, keysOnly } = {}) =>
        ask(() => {
          const found = store.range(prefixRange(prefix), revision).found.filter(({ key }) => isReadable(key));
          return { revision: revision ?? store.revision, found: keysOnly ? found.map((each) => ({ ...each, value: Buffer.alloc(0) })) : found };
        }),
      transact: (when, then, otherwise = []) => ask(() => store.transact(when, then, otherwise)),
      grantLease: (ttlSeconds) => ask(() => lease(store.grantLease(ttlSeconds, clock.steadyMs()), ttlSeconds)),
      follow: (prefixes, listener, options) =>
        followPrefixes(
          {
            clock: { ...clock, pause },
            random: () => 0,
            readPage: (prefix, { from, limit, revision }) => ask(() => ({ ...store.range(prefixRange(prefix), revision, from, limit), header: header() })),
            readHeader: () => ask(header),
            watch,
          },
          prefixes,
          listener,
          { ...options, pageSize: fixedPageSize(pageKeys) },
        ),
      compact: (revision) => ask(() => store.compact(revision)),
      remoteAddress: () => undefined,
      status: () => ask(() => ({ revision: store.revision, version: 'fake', endpoint: 'http://fake:2379' })),
      members: () => ask(() => [{ name: 'fake', clientUrls: ['http://127.0.0.1:2379'] }]),
      close() {
        closed = true;
        look();
        connections.delete(look);
      },
      cut(isAway) {
        away = isAway;
        queueMicrotask(look);
      },
    };
  }

  function setDown(isDown: boolean): void {
    if (down && !isDown) store.renewLeases(clock.steadyMs());
    down = isDown;
    tellAll();
  }

  return {
    etcd: connect(),
    connect,
    setDown,
    replace() {
      store = createMemoryStore();
      store.onCommit.add(tellAll);
      incarnation += 1;
      tellAll();
    },
    async advanceSeconds(seconds) {
      const untilMs = clock.steadyMs() + seconds * 1000;
      await clock.pass(0);
      while (clock.steadyMs() < untilMs) {
        const [restMs = Number.POSITIVE_INFINITY] = clock.restsMs;
        const nextMs = Math.min(clock.steadyMs() + restMs, down ? untilMs : store.nextExpiryMs, untilMs);
        await clock.pass(Math.max(0, nextMs - clock.steadyMs()));
        if (!down) store.expireLeases(clock.steadyMs());
        await clock.pass(0);
      }
    },
    clock,
    contents: (prefix = '') => Object.fromEntries(store.range(prefixRange(prefix)).found.map(({ key, value }) => [key, Buffer.from(value).toString()])),
  };
}

type FakeStream = { readonly store: MemoryStore; send(): void; lose(error: EtcdError): void; close(): void };

/** One follower's watches. As with etcd, each delivers whole revisions, and they are independent of each other. */
function fakeStream(ranges: readonly StartedRange[], events: WatchEvents, store: MemoryStore, header: () => Header, onClose: () => void): FakeStream {
  const next = ranges.map(({ fromRevision }) => fromRevision);
  let created = false;
  let open = true;
  const stream: FakeStream = {
    store,
    send() {
      if (!created) for (const range of ranges.keys()) if (open) events.onCreated(range, header());
      created = true;
      try {
        for (const [index, range] of ranges.entries()) {
          const news = store.history(range, next[index]!);
          next[index] = store.revision + 1;
          for (const changes of Map.groupBy(news, ({ modRevision }) => modRevision).values()) if (open) events.onChanges(index, header(), changes);
        }
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        stream.lose(error);
      }
    },
    lose(error) {
      if (!open) return;
      stream.close();
      events.onLost(error);
    },
    close() {
      open = false;
      onClose();
    },
  };
  return stream;
}
