// The core of every programmer of objects that belong to devices (routes, neighbours): computes the operations that turn what the kernel holds under one key into the desired. Pure.

/** `create` fails where an object exists, `replace` replaces it, `delete` deletes exactly this object. */
export type Operation<Held> = { readonly verb: 'create' | 'replace' | 'delete'; readonly object: Held };

/** What the kernel is known to hold under one key. */
export type Known<Held> = {
  /** Our own objects, in the kernel's order: hardly ever more than one. */
  readonly ours: readonly Held[];
  /** Whether another program's object is there too. */
  readonly foreign: boolean;
  /** Whether this may be stale. */
  readonly doubtful: boolean;
};

/** What the programmer must know of a kind of object. `Held` is the object as the kernel holds it, with devices by index. */
export interface Kind<Held> {
  /** The kernel's own key: the kernel holds at most one of several objects with the same key, or confuses them. */
  key(object: Held): string;
  same(a: Held, b: Held): boolean;
  deviceIndex(object: Held): number | undefined;
  /** Whether deleting this object without knowing that it is there may delete another one. */
  deleteMayMiss(object: Held): boolean;
}

/** The operations for one key, and what has to follow them. */
export type Step<Held> = {
  readonly puts: readonly Operation<Held>[];
  readonly deletions: readonly Operation<Held>[];
  /** `again`: compare once more after these operations. `read`: the kernel has to be read first. */
  readonly next?: 'again' | 'read';
};

/**
 * Computes the operations for one key. It covers devices that come and go, restarts and other programs alike: when in doubt, the desired object is created, which the kernel refuses
 * if something is there, and only then is the kernel read. Creation is tried even where another program's object is known to be: that may have been deleted unseen.
 */
export function diff<Held>(kind: Kind<Held>, known: Known<Held> | undefined, want: Held | undefined): Step<Held> {
  const ours = known?.ours ?? [];
  const deletions = (objects: readonly Held[]): Operation<Held>[] => objects.map((object) => ({ verb: 'delete', object }));
  if (want === undefined) {
    if (known?.doubtful && ours.some((object) => kind.deleteMayMiss(object))) return { puts: [], deletions: [], next: 'read' };
    return { puts: [], deletions: deletions(ours) };
  }
  if (known === undefined || known.doubtful) return { puts: [{ verb: 'create', object: want }], deletions: [] };
  const others = ours.filter((object) => !kind.same(object, want));
  if (others.length < ours.length) return { puts: [], deletions: deletions(others) };
  if (ours.length === 0) return { puts: [{ verb: 'create', object: want }], deletions: [] };
  // The kernel chooses which of several objects a replacement replaces.
  if (ours.length > 1 || known.foreign) return { puts: [], deletions: deletions(ours), next: 'again' };
  return { puts: [{ verb: 'replace', object: want }], deletions: [] };
}
