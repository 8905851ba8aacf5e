// Bounds how much garbage V8 collects in a large heap before it clears it away. Left to itself it lets a heap double between two collections: in a large cloud more than a hundred megabytes.
// A small heap grows as V8 likes, because there each collection during the start would show.
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
