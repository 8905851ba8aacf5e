// Reports the status of each endpoint of this host in etcd. The desired statuses are compared with those in etcd, and differences are written in batches.
// It is level-triggered: a flap between two writes causes no write, a key that somebody deleted is written again, and keys of endpoints that are gone are deleted.
// Whenever the watch starts or starts again, all keys are read and compared, because etcd may have been restored or replaced.
import { decodeEndpointStatus, type EndpointStatus, encodeEndpointStatus } from '@calico-openstack/datamodel';
import type { Change, Etcd, Follower, KeyValue, Operation } from '@calico-openstack/etcd/types';

/** How many keys one transaction writes. By default etcd accepts at most 128 operations in a transaction. */
const batchSize = 100;

/** The value of a key in etcd. */
type Known = {
  /** Undefined when the value is not understood. */
  readonly status: EndpointStatus | undefined;
  readonly modRevision: number;
};

/** Keeps the statuses in etcd as desired. */
export interface EndpointStatusReporter {
  /** Sets the desired status for a key of `endpointStatusKey` or `hostEndpointStatusKey`; undefined when the endpoint is gone. */
  want(key: string, status: EndpointStatus | undefined): void;
  /** How many keys differ from what is desired. */
  readonly pending: number;
  /**
   * Reads the keys in etcd if they are not known, and writes one batch of what differs. Must not be called while another call is in progress.
   * @returns whether there is more to do at once
   * @throws EtcdError when etcd cannot be read or written
   */
  write(): Promise<boolean>;
  close(): void;
}

/**
 * Follows this host's keys from now on, and writes nothing before it has read them.
 * Longer than 80 lines, because desired statuses, known statuses and changes in between only make sense together.
 * @param prefixes what the keys of this host begin with
 * @param onDifference called when `write` has something to do
 */
export function createEndpointStatusReporter(etcd: Etcd, prefixes: readonly string[], onDifference: () => void): EndpointStatusReporter {
  const wanted = new Map<string, EndpointStatus>();
  let known = new Map<string, Known>();
  const dirty = new Set<string>();
  /** The revision at which all keys were last read, which includes all changes up to there. Undefined when the keys have to be read. */
  let readRevision: number | undefined;
  /** The last change of each key that arrived while the keys were not read. */
  let held = new Map<string, Change>();
  /** The revision of each change that arrived during the current write. A change may be later than the write and yet arrive before etcd's answer to it. */
  let meanwhile = new Map<string, number>();

  function compare(key: string): void {
    if (known.get(key)?.status !== wanted.get(key) || (known.has(key) && !wanted.has(key))) {
      dirty.add(key);
      onDifference();
    } else dirty.delete(key);
  }

  const knownOf = ({ value, modRevision }: Pick<KeyValue, 'value' | 'modRevision'>): Known => {
    const decoded = decodeEndpointStatus(value);
    return { status: decoded.ok ? decoded.value : undefined, modRevision };
  };

  async function read(): Promise<void> {
    const holding = held;
    const readings = await Promise.all(prefixes.map((prefix) => etcd.range(prefix)));
    if (holding !== held) return; // the watch has started again meanwhile, so the answer may be that of another etcd
    known = new Map(readings.flatMap(({ found }) => found.map((each) => [each.key, knownOf(each)])));
    readRevision = Math.min(...readings.map(({ revision }) => revision));
    for (const key of new Set([...dirty, ...known.keys(), ...wanted.keys()])) compare(key);
    for (const change of held.values()) note(change);
  }

  function note(change: Change): void {
    const { key, value, modRevision } = change;
    if (readRevision === undefined) {
      held.set(key, change);
      return;
    }
    if (modRevision <= readRevision) return;
    if ((known.get(key)?.modRevision ?? 0) > modRevision) return; // the event is older than our own last write
    meanwhile.set(key, modRevision);
    if (value === undefined) known.delete(key);
    else known.set(key, knownOf({ value, modRevision }));
    compare(key);
  }

  const follower: Follower = etcd.follow(prefixes, {
    onChanges: (changes) => changes.forEach(note),
    onState(state) {
      if (state !== 'following') return;
      // After a lost watch the known values count for nothing: etcd may have been restored or replaced, which undoes our writes.
      readRevision = undefined;
      held = new Map();
      onDifference();
    },
  });

  return {
    want(key, status) {
      if (status === undefined) wanted.delete(key);
      else wanted.set(key, status);
      compare(key);
    },
    get pending() {
      return dirty.size;
    },
    async write() {
      if (readRevision === undefined) await read();
      if (readRevision === undefined) return true;
      const written = new Map([...dirty].slice(0, batchSize).map((key) => [key, wanted.get(key)]));
      if (written.size === 0) return false;
      // The transaction has no condition: only this host writes these keys, and the desired value is right whatever the key has.
      const operations = [...written].map(
        ([key, status]): Operation => (status === undefined ? { delete: key } : { put: key, value: encodeEndpointStatus(status) }),
      );
      meanwhile = new Map();
      const { revision } = await etcd.transact([], operations);
      for (const [key, status] of written) {
        if ((meanwhile.get(key) ?? 0) > revision) continue;
        if (status === undefined) known.delete(key);
        else known.set(key, { status, modRevision: revision });
        compare(key);
      }
      return dirty.size > 0;
    },
    close: () => follower.close(),
  };
}
