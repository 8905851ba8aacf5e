import { expect, test } from 'vitest';
import { compareWithOracle } from './calculated.ts';

test('the calculated, rendered verdict is the oracle’s, on a living host that becomes one random cluster after another', () => {
  const { pairs, allowed, difference } = compareWithOracle({ clusters: 100, packets: 30, seed: Date.now() % 1_000_000_000 });
  expect(difference).toBeUndefined();
  expect(pairs).toBeGreaterThanOrEqual(2000);
  expect(allowed).toBeGreaterThan(pairs / 20); // the comparison has allowed packets as well as denied ones
});
