import { expect, test } from 'vitest';
import { backoffMs } from './backoff.ts';

test.each([
  [1, 100],
  [2, 200],
  [5, 1_600],
  [6, 2_000],
  [10_000, 2_000],
])('the pause after %i failures is at most %i ms and at least half of it', (failures, mostMs) => {
  const pauses = { firstMs: 100, maxMs: 2_000 };
  expect([backoffMs(pauses, failures, () => 0), backoffMs(pauses, failures, () => 1)]).toEqual([mostMs / 2, mostMs]);
});
