import { expect, test } from 'vitest';
import { compareKernelWithOracle } from './kernel.ts';

test('a real kernel under the whole agent does with real packets what the oracle says', async () => {
  const { pairs, allowed, difference } = await compareKernelWithOracle({ clusters: 8, packets: 40, seed: Date.now() % 1_000_000_000 });
  expect(difference).toBeUndefined();
  expect(pairs).toBeGreaterThanOrEqual(200);
  expect(allowed).toBeGreaterThan(0);
});
