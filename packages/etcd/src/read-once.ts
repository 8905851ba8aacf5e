// One look into a datastore, for programs that report on it and end.
import { connectEtcd } from './client.ts';
import type { Etcd, EtcdOptions } from './types.ts';

/** The calls of `Etcd` that read and nothing else. */
export type EtcdReads = Pick<Etcd, 'get' | 'range' | 'status'>;

/** How long a call waits for etcd, in milliseconds. Somebody is waiting at a terminal. */
const patienceMs = 3_000;

/**
 * Connects, hands `read` the calls that change nothing, and closes the connection whatever comes of it.
 * @throws EtcdError when the options cannot lead to a connection; otherwise what `read` throws
 */
export async function readOnce<T>(options: EtcdOptions, read: (etcd: EtcdReads) => Promise<T>): Promise<T> {
  const etcd = connectEtcd({ ...options, timeoutMs: Math.min(options.timeoutMs ?? patienceMs, patienceMs) });
  try {
    return await read(etcd);
  } finally {
    etcd.close();
  }
}
