// How each endpoint of this host is, in etcd: what is wanted is compared with what stands there, and the difference is written in batches. Level-triggered: a flap between two writes is no write,
// a key that somebody deleted comes back, and what is left of an endpoint that is gone goes.
import { decodeEndpointStatus, type EndpointStatus, encodeEndpointStatus, endpointStatusPrefix } from '@calico-openstack/datamodel';
import type { Change, Compare, Etcd, Follower, Operation } from '@calico-openstack/etcd/types';

/** etcd takes at most 128 operations a transaction by default. */
const batchSize = 100;

type Known = { readonly status: EndpointStatus | undefined /** not understood */; readonly modRevision: number };

export interface EndpointStatusReporter {
  /** undefined: the endpoint is gone. Keys are those of `endpointStatusKey`. */
  want(key: string, status: EndpointStatus | undefined): void;
  /** How many keys differ from what is wanted. */
  readonly pending: number;
  /** Writes what differs. Resolves to whether there is more to do at once. Rejects when etcd cannot be written. */
  write(): Promise<boolean>;
  close(): void;
}

/**
 * Follows this host's keys from the start; writes nothing before their snapshot is whole.
 * @param onDifference something differs: `write` has something to do
 */
export function createEndpointStatusReporter(etcd: Etcd, region: string | undefined, host: string, onDifference: () => void): EndpointStatusReporter {
  const wanted = new Map<string, EndpointStatus>();
  const known = new Map<string, Known>();
  const dirty = new Set<string>();
  let inSync = false;

  const differs = (key: string): boolean => known.get(key)?.status !== wanted.get(key) || (known.has(key) && !wanted.has(key));

  function look(key: string): void {
    if (differs(key)) {
      dirty.add(key);
      if (inSync) onDifference();
    } else dirty.delete(key);
  }

  function note({ key, value, modRevision }: Change): void {
    const had = known.get(key);
    if (had && had.modRevision > modRevision) return; // an echo that our own later write has overtaken
    if (value === undefined) known.delete(key);
    else {
      const decoded = decodeEndpointStatus(value);
      known.set(key, { status: decoded.ok ? decoded.value : undefined, modRevision });
    }
    look(key);
  }

  const follower: Follower = etcd.follow([endpointStatusPrefix(region, host)], {
    onChanges: (changes) => changes.forEach(note),
    onInSync: () => {
      inSync = true;
      if (dirty.size > 0) onDifference();
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
      if (!inSync || dirty.size === 0) return false;
      const keys = [...dirty].slice(0, batchSize);
      const compares: Compare[] = [];
      const operations: Operation[] = [];
      const written = new Map<string, EndpointStatus | undefined>();
      for (const key of keys) {
        const status = wanted.get(key);
        compares.push({ key, modRevision: known.get(key)?.modRevision ?? 0 });
        operations.push(status === undefined ? { delete: key } : { put: key, value: encodeEndpointStatus(status) });
        written.set(key, status);
      }
      const { succeeded, revision } = await etcd.transact(compares, operations);
      // Where somebody else wrote in between, the follower tells what, and the key is looked at again.
      if (!succeeded) return false;
      for (const [key, status] of written) {
        if (status === undefined) known.delete(key);
        else known.set(key, { status, modRevision: revision });
        look(key);
      }
      return dirty.size > 0;
    },
    close: () => follower.close(),
  };
}
