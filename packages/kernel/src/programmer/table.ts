// What a programmer needs of the kernel, and no more. Implemented by netlink.ts and fake.ts of each kind of object.
import type { Operation } from './diff.ts';

/**
 * DEVICE_GONE, DEVICE_DOWN: as it says. EXISTS: something is in the place of what was to be created. ABSENT: what was to be deleted is not there. REFUSED: anything else,
 * see `errno`.
 */
export type RefusalCode = 'DEVICE_GONE' | 'DEVICE_DOWN' | 'EXISTS' | 'ABSENT' | 'REFUSED';

/** `errno`: the kernel's name for it; `detail`: its words, where it has any. */
export type Refusal<Held> = { readonly operation: Operation<Held>; readonly code: RefusalCode; readonly errno: string; readonly detail?: string };

/** Something that another program, or the kernel itself, did. */
export type Change<Held> = { readonly is: 'present' | 'absent'; readonly object: Held };

export interface KernelTable<Held> {
  /** All that is there now, ours or not, in the kernel's order. */
  read(): readonly Held[];
  /** The same piece by piece, the rest of the program having its turn in between: what changes meanwhile may be seen or not. */
  readInSlices(visit: (object: Held) => void): Promise<void>;
  /** In order. What the kernel refuses comes back as a value and does not stop the rest. Throws when it is not known what the kernel did. */
  commit(operations: readonly Operation<Held>[]): readonly Refusal<Held>[];
  /** Changes that were not made through this table, in order; `onLost` after some are missing. */
  watch(onChanges: (changes: readonly Change<Held>[]) => void, onLost: () => void): { close(): void };
  close(): void;
}
