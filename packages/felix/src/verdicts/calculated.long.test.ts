import { expect, test } from 'vitest';
import { compareWithOracle } from './calculated.ts';

test('the calculated, rendered verdict is the oracle’s in 120 000 cases', () => {
  const { pairs, difference } = compareWithOracle({ clusters: 4000, packets: 30, seed: Date.now() % 1_000_000_000 });
  expect(difference).toBeUndefined();
  expect(pairs).toBeGreaterThanOrEqual(100_000);
});
