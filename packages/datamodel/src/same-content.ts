// The one deep equality: whether two plain values say the same.

/**
 * Whether two plain values (text, numbers, booleans, null, undefined, lists, objects without behaviour) have the same content. The order of an object's fields does not matter.
 * A field that is undefined differs from one that is missing. Maps, sets and bytes are not plain: ask about what they hold.
 */
export function sameContent(first: unknown, second: unknown): boolean {
  if (first === second) return true;
  if (typeof first !== 'object' || typeof second !== 'object' || first === null || second === null) return false;
  if (Array.isArray(first)) {
    return Array.isArray(second) && first.length === second.length && first.every((entry, index) => sameContent(entry, second[index]));
  }
  const [names, others] = [Object.keys(first), Object.keys(second)];
  if (Array.isArray(second) || names.length !== others.length) return false;
  return names.every((name) => Object.hasOwn(second, name) && sameContent(first[name as never], second[name as never]));
}
