// Decides which ranges of keys a follower of several prefixes watches.
import { compareKeys } from './keys.ts';
import { type KeyRange, prefixRange } from './messages.ts';

/** A range of keys to watch. */
export type WatchedRange = KeyRange & {
  /** The prefixes within the range whose changes are wanted; etcd sends the rest of the range too. Sorted, none inside another. */
  readonly prefixes: readonly string[];
};

/**
 * One range for all prefixes that share their parent (`/a/b/` and `/a/c/` both lie in `/a/`), from the first of them to the last: etcd keeps order and transactions whole only within one watch.
 * Several watches cannot be synchronised: the answer to a progress request, which could tell when all of them have caught up, is wrong before etcd 3.4.25 and 3.5.8
 * (https://github.com/etcd-io/etcd/issues/15220), and the grpc-proxy does not understand the request. Prefixes that lie further apart have watches of their own:
 * a watch on their common ancestor would bring traffic that nobody wants, and need a role that nobody has.
 * `apart`: one range for each prefix.
 */
export function watchedRanges(prefixes: readonly string[], apart = false): readonly WatchedRange[] {
  const sorted = [...new Set(prefixes)].sort(compareKeys);
  const siblings = new Map<string, string[]>();
  for (const prefix of sorted) {
    if (sorted.some((other) => other !== prefix && prefix.startsWith(other))) continue;
    const parent = apart ? prefix : prefix.slice(0, prefix.lastIndexOf('/', prefix.length - 2) + 1);
    siblings.set(parent, [...(siblings.get(parent) ?? []), prefix]);
  }
  return [...siblings.values()].map((wanted) => ({ from: prefixRange(wanted[0]!).from, to: prefixRange(wanted.at(-1)!).to, prefixes: wanted }));
}
