// Writes very many changes into an etcd, in batches, and runs a check after each batch.
import { randomInt } from 'node:crypto';
import type { Etcd, Operation } from '../types.ts';

/** The size of a storm, and the seed that makes the same one again. */
export type Storm = {
  readonly values: number;
  /** How many values are written between two checks. */
  readonly batchValues: number;
  readonly seed: number;
};

/** What to write, and what to check. */
export type StormOptions = Pick<Storm, 'values' | 'batchValues'> & {
  readonly next: () => { readonly key: string; readonly value: Uint8Array | undefined };
  /** The check after each batch, called with the batch's number; rejects when an agent has died or does not follow any more. */
  readonly look: (batch: number) => Promise<void>;
};

const operationsMax = 100;
const bytesMax = 1_000_000;

/** Writes the values. When `look` rejects, the error names the batch and the last keys: with the seed, enough to reproduce it. */
export async function storm(etcd: Etcd, { next, values, batchValues, look }: StormOptions): Promise<void> {
  let [written, batch] = [0, 0];
  let write = next();
  while (written < values) {
    const keys: string[] = [];
    const until = Math.min(values, written + batchValues);
    while (written < until) {
      const operations = new Map<string, Operation>();
      let bytes = 0;
      for (; operations.size < operationsMax && bytes < bytesMax && written < until; written += 1) {
        const { key, value } = write;
        if (operations.has(key)) break; // etcd refuses two changes of one key in a transaction, and every change shall be seen
        operations.set(key, value === undefined ? { delete: key } : { put: key, value });
        bytes += key.length + (value?.length ?? 0);
        keys.push(key);
        write = next();
      }
      const { revision } = await etcd.transact([], [...operations.values()]);
      if (written === until) await Promise.all([compactSometimes(etcd, revision), look(batch).catch((error: unknown) => fail(error, batch, written, keys))]);
    }
    batch += 1;
  }
}

/** Discards old revisions now and then, so that etcd does not run full; followers that lag behind must read a new snapshot. */
async function compactSometimes(etcd: Etcd, revision: number): Promise<void> {
  if (randomInt(4) === 0) await etcd.compact(revision);
}

function fail(error: unknown, batch: number, written: number, keys: readonly string[]): never {
  throw new Error(`batch ${batch}, up to value ${written}: ${(error as Error).message}\nkeys: ${JSON.stringify(keys.slice(-20))}`, { cause: error });
}

/** The number of values of a storm: `HOSTILE_VALUES`, or this share of a million. The seed: `HOSTILE_SEED`, or a random one. */
export function stormSize(share: number): Pick<Storm, 'values' | 'seed'> {
  const values = Math.ceil(Number(process.env['HOSTILE_VALUES'] ?? 1_000_000) * share);
  return { values, seed: Number(process.env['HOSTILE_SEED'] ?? randomInt(2 ** 31)) };
}
