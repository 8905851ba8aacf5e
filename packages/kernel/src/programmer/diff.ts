// The core of every programmer of objects that hang on devices (routes, neighbours): what turns what the kernel holds under one key into what is wanted there. Pure.

/** `create` takes no place of somebody else's, `replace` takes the place of what is there, `delete` means exactly this object. */
export type Operation<Held> = { readonly verb: 'create' | 'replace' | 'delete'; readonly object: Held };

/** What the kernel is known to hold under one key. */
export type Known<Held> = {
  /** Ours, in the kernel's order: hardly ever more than one. */
  readonly ours: readonly Held[];
  /** Somebody else's is there too. */
  readonly foreign: boolean;
  /** What is said here may no longer be so. */
  readonly doubtful: boolean;
};

/** What the programmer must know of a kind of object. `Held` is the object as the kernel holds it, devices by index. */
export interface Kind<Held> {
  /** The kernel's own key: two objects that have it in common are in each other's way. */
  key(object: Held): string;
  same(a: Held, b: Held): boolean;
  deviceIndex(object: Held): number | undefined;
  /** Whether deleting this object, not knowing that it is there, may hit another one. */
  deleteMayMiss(object: Held): boolean;
}

export type Step<Held> = {
  readonly puts: readonly Operation<Held>[];
  readonly deletions: readonly Operation<Held>[];
  /** again: look once more when this is done. read: only a reading of the kernel can tell. */
  readonly next?: 'again' | 'read';
};

/**
 * The operations for one key. A device that comes and goes, a restart and another program all end here: in doubt, what is wanted is created, which the kernel
 * refuses if something is there, and only then is the kernel read. Where somebody else's object is known to be, that is tried as well: it may have gone unseen.
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
  // Which of several a replacement would hit is the kernel's choice.
  if (ours.length > 1 || known.foreign) return { puts: [], deletions: deletions(ours), next: 'again' };
  return { puts: [{ verb: 'replace', object: want }], deletions: [] };
}
