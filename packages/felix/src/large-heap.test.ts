import { expect, test } from 'vitest';
import { boundLargeHeap } from './large-heap.ts';

test('a heap grows as V8 likes until it is large, and is bounded once', () => {
  const flags: string[] = [];
  let usedBytes = 30_000_000;
  const look = boundLargeHeap({ usedBytes: () => usedBytes, setFlag: (flag) => void flags.push(flag) });
  look();
  expect(flags).toEqual([]);
  usedBytes = 200_000_000;
  look();
  look();
  expect(flags).toEqual(['--heap-growing-percent=50']);
});
