// Bounds how much garbage V8 collects in a large heap before it clears it away. Left to itself it lets a heap double between two collections: in a large cloud more than a hundred megabytes.
// A small heap grows as V8 likes, because there each collection during the start would show. What the start has left behind is collected once, when it is over.
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

const largeBytes = 100 * 1024 * 1024;
const growthPercent = 50;

/** What V8 offers. A test hands in its own. */
type Heap = { readonly usedBytes: () => number; readonly setFlag: (flag: string) => void };

const heapOfV8: Heap = { usedBytes: () => getHeapStatistics().used_heap_size, setFlag: setFlagsFromString };

/** Returns a function to be called whenever the heap may have grown: it sets the bound once the heap is large, and costs some microseconds before. */
export function boundLargeHeap({ usedBytes, setFlag }: Heap = heapOfV8): () => void {
  let bounded = false;
  return () => {
    if (bounded || usedBytes() < largeBytes) return;
    bounded = true;
    setFlag(`--heap-growing-percent=${growthPercent}`);
  };
}

/**
 * After the start the agent mostly waits. V8 would then keep the garbage of the start for hours: a third of the memory of a host in a cloud of 20 000 endpoints. With 60 MB in use the
 * collection that also gives memory back to the system takes 80 to 160 ms. A heap that is larger than this is left alone, because the pause would be too long.
 */
const [afterStartMs, collectedBytes] = [10_000, 150 * 1024 * 1024];

/**
 * Collects the garbage of the start ten seconds after this call, in one pause. Does nothing when Node was started without --expose-gc.
 * @param pause a clock's `pause`
 */
export async function collectAfterStart(
  pause: (ms: number, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
  { usedBytes }: Pick<Heap, 'usedBytes'> = heapOfV8,
  collect = globalThis.gc,
): Promise<void> {
  await pause(afterStartMs, signal);
  if (!signal.aborted && usedBytes() < collectedBytes) void collect?.({ type: 'major', flavor: 'last-resort' });
}
