// The interface of the kernel for a programmer. netlink.ts implements it, and so does the fake.ts of each kind of object.
import type { Operation } from './diff.ts';

/**
 * Why the kernel refused an operation. DEVICE_GONE, DEVICE_DOWN: the link is gone or down. EXISTS: an object is where one was to be created. ABSENT: the object to delete does not
 * exist. REFUSED: anything else, see `errno`.
 */
export type RefusalCode = 'DEVICE_GONE' | 'DEVICE_DOWN' | 'EXISTS' | 'ABSENT' | 'REFUSED';

/** A refused operation. `errno` is the kernel's name of the error; `detail` is its message, empty when it has none. */
export type Refusal<Held> = { readonly operation: Operation<Held>; readonly code: RefusalCode; readonly errno: string; readonly detail?: string };

/** A change that another program, or the kernel itself, made. */
export type Change<Held> = { readonly is: 'present' | 'absent'; readonly object: Held };

/** One kind of object in the kernel. */
export interface KernelTable<Held> {
  /** Reads all objects, ours or not, in the kernel's order. */
  read(): readonly Held[];
  /** Reads all objects in slices, between which the rest of the program runs. What changes meanwhile may be seen or not. */
  readInSlices(visit: (object: Held) => void): Promise<void>;
  /** Executes the operations in order. Refusals are returned and do not stop the rest. Throws when it is unknown what the kernel did. */
  commit(operations: readonly Operation<Held>[]): readonly Refusal<Held>[];
  /** Calls back with changes that were not made through this table, in order; calls `onLost` when some are missing. */
  watch(onChanges: (changes: readonly Change<Held>[]) => void, onLost: () => void): { close(): void };
  close(): void;
}
