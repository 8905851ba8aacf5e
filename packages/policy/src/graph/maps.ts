// A helper for maps of collections.

/** Returns the map's value for a key, after adding `make()` when there is none. */
export function getOrMake<Key, Value>(map: Pick<Map<Key, Value>, 'get'> & { set(key: Key, value: Value): unknown }, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
