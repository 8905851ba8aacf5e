// What is made of each element of a long list, made anew only where the list is another than last time: thousands of Nodes stay the same objects while one changes.

/**
 * A function that maps a list as `make` says, and remembers the last list, its `context` (all else that `make` depends on, as text) and the result. Elements of the common beginning and end
 * are not made again; the same list gives the same result, as an object. `make` has to be pure.
 */
export function keptMap<T extends object, U>(): (list: readonly T[], context: string, make: (element: T) => U) => readonly U[] {
  let before: readonly T[] = [];
  let result: readonly U[] = [];
  let known: string | undefined;
  return (list, context, make) => {
    if (context !== known) result = list.map(make);
    else {
      const { first, last } = commonEnds(before, list);
      if (first < list.length || list.length !== before.length)
        result = [...result.slice(0, first), ...list.slice(first, list.length - last).map(make), ...result.slice(result.length - last)];
    }
    before = list;
    known = context;
    return result;
  };
}

/** How many elements at the beginning, and of the others at the end, are the same objects in both lists. */
export function commonEnds(before: readonly object[], after: readonly object[]): { readonly first: number; readonly last: number } {
  const most = Math.min(before.length, after.length);
  let first = 0;
  while (first < most && before[first] === after[first]) first += 1;
  let last = 0;
  while (last < most - first && before[before.length - 1 - last] === after[after.length - 1 - last]) last += 1;
  return { first, last };
}
