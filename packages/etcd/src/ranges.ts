// Which ranges of keys a follower of several prefixes watches.
import { compareKeys } from './keys.ts';
import { type KeyRange, prefixRange } from './messages.ts';

export type WatchedRange = KeyRange & {
  /** What is wanted of the range; the rest of it is only passed through by etcd. Sorted, none inside another. */
  readonly prefixes: readonly string[];
};

/**
 * One range for all prefixes that share their parent (`/a/b/` and `/a/c/` both lie in `/a/`), from the first to the last of them: within one watch etcd keeps order and
 * transactions whole. Between watches it does not: a progress request, which could tell when all of them have caught up, lies before etcd 3.4.25 and 3.5.8
 * (https://github.com/etcd-io/etcd/issues/15220) and is not understood by the grpc-proxy at all. A common ancestor of distant prefixes would bring
 * traffic that nobody asked for, and needs a role that nobody has.
 * `apart`: one for each prefix.
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
