// In which pages a range is read: everything under some prefixes at one revision, and how much of it at a time.
import { EtcdError } from './errors.ts';
import { compareKeys, shownKey } from './keys.ts';
import type { Header, RangePage } from './messages.ts';
import type { KeyValue } from './types.ts';

/** Keys with the prefix, from `from` on if given, at `revision` or the newest, from a majority of the cluster. All its failures are EtcdErrors. */
export type ReadPage = (
  prefix: string,
  options: { readonly from?: string | undefined; readonly limit: number; readonly revision?: number | undefined },
) => Promise<Page>;

/** With the time that the answer took from its first byte to its last, where there is a network in between. */
export type Page = RangePage & { readonly transferMilliseconds?: number };

/** How many keys the next page may have. Learns from the pages before. */
export interface PageSize {
  readonly keys: number;
  onRead(page: Page): void;
  onFailed(): void;
}

/** etcd holds what it sends until it is sent, twice and more: a page of a megabyte for each of a thousand readers is what it can bear. Smaller ones cost it more time, for 3.4 counts the rest of the range for each. */
const mostBytes = 1_000_000;
const leastBytes = 64_000;
const firstBytes = 250_000;
const mostKeys = 10_000;
/** A page that was longer than that on its way was too large for its share of the link, one that was shorter may have been larger. */
const slowMilliseconds = 2_000;
const quickMilliseconds = 500;

export function adaptingPageSize(): PageSize {
  let bytes = firstBytes;
  let keys = 250;
  return {
    get keys() {
      return keys;
    },
    onRead({ found, transferMilliseconds = 0 }) {
      if (found.length === 0) return;
      if (transferMilliseconds > slowMilliseconds) bytes = Math.max(leastBytes, bytes / 2);
      else if (transferMilliseconds < quickMilliseconds) bytes = Math.min(mostBytes, bytes * 2);
      const total = found.reduce((sum, { key, value }) => sum + key.length + value.length + 32, 1);
      // No leaps: what comes next may have longer values than what came.
      keys = Math.max(1, Math.min(mostKeys, keys * 4, Math.floor((bytes / total) * found.length)));
    },
    onFailed() {
      bytes = Math.max(leastBytes, bytes / 4);
      keys = Math.max(1, Math.floor(keys / 4));
    },
  };
}

export const fixedPageSize = (keys: number): PageSize => ({ keys, onRead() {}, onFailed() {} });

export interface Snapshot {
  /**
   * The next page, with the header of the first; undefined after the last one.
   * After a failure it may be called again and goes on where it was, unless that was ETCD_COMPACTED or ETCD_REPLACED (what was read has no continuation) or ETCD_PROTOCOL.
   */
  next(): Promise<RangePage | undefined>;
}

/** Everything under the prefixes at one revision: the newest, or the one asked for. */
export function readSnapshot(readPage: ReadPage, prefixes: readonly string[], size: PageSize, askedRevision?: number): Snapshot {
  let at = 0;
  let from: string | undefined;
  let first: Header | undefined;
  let latest: Header | undefined;
  /** The latest change of what was read, which tells one history from another. */
  let newest: { readonly prefix: string; readonly key: string; readonly modRevision: number } | undefined;
  let interrupted = false;

  const revision = (): number | undefined => askedRevision ?? first?.revision;
  const replaced = (): EtcdError => new EtcdError('ETCD_REPLACED', 'etcd was replaced by another while it was read');

  async function read(prefix: string, start: string | undefined, limit: number): Promise<Page> {
    const page = await readPage(prefix, { from: start, limit, revision: revision() });
    const { header } = page;
    if (latest && (header.clusterId !== latest.clusterId || header.term < latest.term || header.revision < latest.revision)) throw replaced();
    latest = header;
    return page;
  }

  /** After an interruption, whatever answers now may have been restored from a backup meanwhile, and have gone on from there. */
  async function confirm(): Promise<void> {
    if (newest) {
      const { prefix, key, modRevision } = newest;
      const { found } = await read(prefix, key, 1);
      if (found[0]?.key !== key || found[0].modRevision !== modRevision) throw replaced();
    }
    interrupted = false;
  }

  async function next(): Promise<RangePage | undefined> {
    const prefix = prefixes[at];
    if (prefix === undefined) return undefined;
    try {
      if (interrupted) await confirm();
      const page = await read(prefix, from, size.keys);
      const following = page.more ? nextPage(prefix, from, page.found) : undefined;
      size.onRead(page);
      first ??= page.header;
      for (const { key, modRevision } of page.found) if (modRevision > (newest?.modRevision ?? 0)) newest = { prefix, key, modRevision };
      from = following;
      if (!page.more) at += 1;
      return { header: first, found: page.found, more: page.more };
    } catch (error) {
      interrupted = true;
      size.onFailed();
      throw error;
    }
  }

  return { next };
}

/**
 * Where the page after one that began at `from` begins: behind its last key, byte by byte.
 * @throws ETCD_PROTOCOL for a page that leads no further: whoever went on would never end
 */
function nextPage(prefix: string, from: string | undefined, found: readonly KeyValue[]): string {
  const last = found.at(-1)?.key;
  if (last === undefined || (from !== undefined && compareKeys(last, from) < 0))
    throw new EtcdError('ETCD_PROTOCOL', `cannot read ${prefix}: etcd says that there is more, and its page leads no further than ${shownKey(from ?? prefix)}`);
  return `${last}\0`;
}
