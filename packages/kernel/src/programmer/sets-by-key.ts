// Maps from a key to a set of texts. Empty sets are removed.

/** Adds a text to the key's set. Does nothing without a key. */
export function addTo<Key>(map: Map<Key, Set<string>>, at: Key | undefined, value: string): void {
  if (at === undefined) return;
  const set = map.get(at);
  if (set) set.add(value);
  else map.set(at, new Set([value]));
}

/** Removes a text from the key's set. Does nothing without a key. */
export function dropFrom<Key>(map: Map<Key, Set<string>>, at: Key | undefined, value: string): void {
  if (at === undefined) return;
  const set = map.get(at);
  set?.delete(value);
  if (set?.size === 0) map.delete(at);
}
