import { expect, test, vi } from 'vitest';
import { boundLargeHeap, collectAfterStart } from './large-heap.ts';

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

test('what the start has left is collected once when it is over, unless the heap is large or the agent has ended before', async () => {
  const [ended, collect, pauses] = [new AbortController(), vi.fn(), [] as number[]];
  const pause = async (ms: number): Promise<void> => void pauses.push(ms);
  const after = (usedBytes: number): Promise<void> => collectAfterStart(pause, ended.signal, { usedBytes: () => usedBytes }, collect);
  await after(60_000_000);
  expect([pauses, collect.mock.calls.length]).toEqual([[10_000], 1]);
  await after(200_000_000);
  ended.abort();
  await after(60_000_000);
  expect(collect).toHaveBeenCalledTimes(1);
});
