import { expect, test } from 'vitest';
import { compareKernelWithOracle } from './kernel.ts';

test('a real kernel under the whole agent does with real packets what the oracle says, in 8 000 cases', async () => {
  const { pairs, difference } = await compareKernelWithOracle({ clusters: 200, packets: 40, seed: Date.now() % 1_000_000_000 });
  expect(difference).toBeUndefined();
  expect(pairs).toBeGreaterThanOrEqual(5000);
});
