// Writes very many changes into an etcd, some hundred at a time, and has somebody look after each batch.
import { randomInt } from 'node:crypto';
import type { Etcd, Operation } from '../types.ts';

export type StormOptions = {
  readonly next: () => { readonly key: string; readonly value: Uint8Array | undefined };
  readonly values: number;
  /** Between two looks. */
  readonly batchValues: number;
  /** After each batch, whose number it is told: whether everybody lives, and follows. */
  readonly look: (batch: number) => Promise<void>;
};

const operationsMax = 100;
const bytesMax = 1_000_000;

/** Where `look` fails, the batch and the last keys are part of the error: with the seed, enough to see it again. */
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
        if (operations.has(key)) break; // etcd takes no two of one key in one transaction, and each is to be seen
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

/** What is overwritten is forgotten, or etcd fills up. Who is behind has to read anew, now and then. */
async function compactSometimes(etcd: Etcd, revision: number): Promise<void> {
  if (randomInt(4) === 0) await etcd.compact(revision);
}

function fail(error: unknown, batch: number, written: number, keys: readonly string[]): never {
  throw new Error(`batch ${batch}, up to value ${written}: ${(error as Error).message}\nkeys: ${JSON.stringify(keys.slice(-20))}`, { cause: error });
}

/** How many values a storm is to have: what `HOSTILE_VALUES` says, or a share of a million. And its seed: `HOSTILE_SEED`, or chance. */
export function stormSize(share: number): { readonly values: number; readonly seed: number } {
  const values = Math.ceil(Number(process.env['HOSTILE_VALUES'] ?? 1_000_000) * share);
  return { values, seed: Number(process.env['HOSTILE_SEED'] ?? randomInt(2 ** 31)) };
}
