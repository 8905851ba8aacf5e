// How each endpoint of this host is, in etcd: what is wanted is compared with what stands there, and the difference is written in batches. Level-triggered: a flap between two writes is no write,
// a key that somebody deleted comes back, and what is left of an endpoint that is gone goes. Each time that the watch begins (anew), all of it is read and compared: etcd may be another than before.
import { decodeEndpointStatus, type EndpointStatus, encodeEndpointStatus, endpointStatusPrefix } from '@calico-openstack/datamodel';
import type { Change, Etcd, Follower, KeyValue, Operation } from '@calico-openstack/etcd/types';

/** etcd takes at most 128 operations a transaction by default. */
const batchSize = 100;

type Known = { readonly status: EndpointStatus | undefined /** not understood */; readonly modRevision: number };

export interface EndpointStatusReporter {
  /** undefined: the endpoint is gone. Keys are those of `endpointStatusKey`. */
  want(key: string, status: EndpointStatus | undefined): void;
  /** How many keys differ from what is wanted. */
  readonly pending: number;
  /** One at a time. Reads what stands there, where that is not known, and writes what differs. Resolves to whether there is more to do at once. Rejects when etcd cannot be read or written. */
  write(): Promise<boolean>;
  close(): void;
}

/**
 * Follows this host's keys from the start; writes nothing before it has read them.
 * Longer than 80 lines: what is wanted, what is known and what comes meanwhile only make sense together.
 * @param onDifference something differs, or has to be read: `write` has something to do
 */
export function createEndpointStatusReporter(etcd: Etcd, region: string | undefined, host: string, onDifference: () => void): EndpointStatusReporter {
  const prefix = endpointStatusPrefix(region, host);
  const wanted = new Map<string, EndpointStatus>();
  let known = new Map<string, Known>();
  const dirty = new Set<string>();
  /** Of the last reading of all keys: what changes up to there did is in it. undefined: they are to be read (again). */
  let readRevision: number | undefined;
  /** What came while they were not read: by key, the last. */
  let held = new Map<string, Change>();
  /** Revisions of what came while a write was under way: it may be younger than the write, and yet come before its answer. */
  let meanwhile = new Map<string, number>();

  function look(key: string): void {
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
    const { revision, found } = await etcd.range(prefix);
    if (holding !== held) return; // the watch began anew meanwhile: that may have been another etcd
    known = new Map(found.map((each) => [each.key, knownOf(each)]));
    readRevision = revision;
    for (const key of new Set([...dirty, ...known.keys(), ...wanted.keys()])) look(key);
    for (const change of held.values()) note(change);
  }

  function note(change: Change): void {
    const { key, value, modRevision } = change;
    if (readRevision === undefined) {
      held.set(key, change);
      return;
    }
    if (modRevision <= readRevision) return;
    if ((known.get(key)?.modRevision ?? 0) > modRevision) return; // an echo that our own later write has overtaken
    meanwhile.set(key, modRevision);
    if (value === undefined) known.delete(key);
    else known.set(key, knownOf({ value, modRevision }));
    look(key);
  }

  const follower: Follower = etcd.follow([prefix], {
    onChanges: (changes) => changes.forEach(note),
    onState(state) {
      if (state !== 'following') return;
      // Where the watch was lost, what is known says nothing: etcd may have been restored, or be another, and what we had written is undone.
      readRevision = undefined;
      held = new Map();
      onDifference();
    },
  });

  return {
    want(key, status) {
      if (status === undefined) wanted.delete(key);
      else wanted.set(key, status);
      look(key);
    },
    get pending() {
      return dirty.size;
    },
    async write() {
      if (readRevision === undefined) await read();
      if (readRevision === undefined) return true;
      const written = new Map([...dirty].slice(0, batchSize).map((key) => [key, wanted.get(key)]));
      if (written.size === 0) return false;
      // Without comparing first: these keys are this host's alone, and what is wanted is right whatever stands there.
      const operations = [...written].map(
        ([key, status]): Operation => (status === undefined ? { delete: key } : { put: key, value: encodeEndpointStatus(status) }),
      );
      meanwhile = new Map();
      const { revision } = await etcd.transact([], operations);
      for (const [key, status] of written) {
        if ((meanwhile.get(key) ?? 0) > revision) continue;
        if (status === undefined) known.delete(key);
        else known.set(key, { status, modRevision: revision });
        look(key);
      }
      return dirty.size > 0;
    },
    close: () => follower.close(),
  };
}
