// Limits how much garbage V8 lets pile up in a large heap before it collects it. By default V8 lets a heap double between two collections, which is more than a hundred megabytes in a large
// cloud. A small heap is left to V8, because more collections would make the start slower. The garbage of the start is collected once, when the start is over.
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

const largeBytes = 100 * 1024 * 1024;
const growthPercent = 50;

/** The functions of V8 that this file uses. Tests pass their own. */
type Heap = { readonly usedBytes: () => number; readonly setFlag: (flag: string) => void };

const heapOfV8: Heap = { usedBytes: () => getHeapStatistics().used_heap_size, setFlag: setFlagsFromString };

/** Returns a function to be called whenever the heap may have grown. It sets the limit once the heap is large. Until then a call costs some microseconds. */
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
