// Derives values from long lists with work in proportion to the change: of thousands of Nodes, all but the changed one are the same objects as at the last call.

/**
 * Derives a list from a list: `make` derives a value from each element, and `gather` combines the values of a run of elements.
 * @param context all else that `make` and `gather` depend on, as text
 */
export type KeptRuns<T, E, R> = (
  list: readonly T[],
  context: string,
  make: (element: T) => E,
  gather: (made: readonly E[], elements: readonly T[]) => R,
) => readonly R[];

type Run<T, E, R> = {
  readonly elements: readonly T[];
  readonly made: readonly E[];
  readonly gathered: R;
  /** The last call whose list had this run. */
  call: number;
};

/** The average number of elements in a run. A list of some thousand elements has about as many runs as a run has elements. */
const meanRunLength = 64;

/**
 * Cuts lists into runs, and remembers the values of the last list. Only the name of an element decides whether a run begins with it, so the same list is always cut in the same places,
 * and an added or removed element changes its own run only. A call costs one comparison per element, `make` for new elements, and `gather` for changed runs.
 * Both must be pure, and an element object must never change.
 */
export function keptRuns<T, E, R>(nameOf: (element: T) => string): KeptRuns<T, E, R> {
  /** The last list's runs, by their first elements. */
  const known = new Map<T, Run<T, E, R>>();
  let call = 0;
  let knownContext: string | undefined;
  const begins = (element: T): boolean => beginsRun(nameOf(element));

  /** The list's runs: the known ones, and the elements of new ones. */
  function cut(list: readonly T[]): readonly (Run<T, E, R> | readonly T[])[] {
    const pieces: (Run<T, E, R> | readonly T[])[] = [];
    for (let at = 0; at < list.length; ) {
      const run = known.get(list[at]!);
      if (run && isAt(run.elements, list, at, begins)) {
        run.call = call;
        pieces.push(run);
        at += run.elements.length;
        continue;
      }
      let end = at + 1;
      while (end < list.length && !begins(list[end]!)) end += 1;
      pieces.push(list.slice(at, end));
      at = end;
    }
    return pieces;
  }

  return (list, context, make, gather) => {
    if (context !== knownContext) known.clear();
    knownContext = context;
    call += 1;
    const pieces = cut(list);
    const former = new Map<T, E>();
    for (const run of known.values()) {
      if (run.call === call) continue;
      known.delete(run.elements[0]!);
      for (let index = 0; index < run.elements.length; index += 1) former.set(run.elements[index]!, run.made[index]!);
    }
    return pieces.map((piece) => {
      if (!('length' in piece)) return piece.gathered;
      const made = piece.map((element) => (former.has(element) ? former.get(element)! : make(element)));
      const gathered = gather(made, piece);
      known.set(piece[0]!, { elements: piece, made, gathered, call });
      return gathered;
    });
  };
}

/** Whether the list has exactly this run at a place. */
function isAt<T>(elements: readonly T[], list: readonly T[], at: number, begins: (element: T) => boolean): boolean {
  const end = at + elements.length;
  if (end > list.length) return false;
  for (let index = 0; index < elements.length; index += 1) if (elements[index] !== list[at + index]) return false;
  return end === list.length || begins(list[end]!);
}

/** Whether an element of this name begins a run: one of `meanRunLength` names does (FNV-1a, folded). */
function beginsRun(name: string): boolean {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  return ((hash ^ (hash >>> 16)) & (meanRunLength - 1)) === 0;
}

/** Derives any number of results from each element, in the order of the elements. It remembers like `keptRuns`. */
export type KeptFlatMap<T, U> = (list: readonly T[], context: string, make: (element: T) => U | readonly U[]) => readonly U[];

/** Returns a function like `flatMap` that computes only the results of new elements. */
export function keptFlatMap<T, U>(nameOf: (element: T) => string): KeptFlatMap<T, U> {
  const runs = keptRuns<T, U | readonly U[], readonly U[]>(nameOf);
  return (list, context, make) => ([] as U[]).concat(...runs(list, context, make, (made) => ([] as U[]).concat(...made)));
}
