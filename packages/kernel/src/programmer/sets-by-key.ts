// Sets of texts by a key, without empty ones.

/** Without a key nothing is noted. */
export function addTo<Key>(map: Map<Key, Set<string>>, at: Key | undefined, value: string): void {
  if (at === undefined) return;
  const set = map.get(at);
  if (set) set.add(value);
  else map.set(at, new Set([value]));
}

export function dropFrom<Key>(map: Map<Key, Set<string>>, at: Key | undefined, value: string): void {
  if (at === undefined) return;
  const set = map.get(at);
  set?.delete(value);
  if (set?.size === 0) map.delete(at);
}
