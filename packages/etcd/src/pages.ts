// Reads a snapshot in pages: everything under some prefixes at one revision, and how many keys a page holds.

import { EtcdError } from './errors.ts';
import { compareKeys, shownKey } from './keys.ts';
import type { Header, RangePage } from './messages.ts';
import { isSameEtcd } from './origin.ts';
import type { KeyValue } from './types.ts';

/** Reads one page: at most `limit` keys with the prefix, starting with `from` if given, at `revision` or the newest, as a majority of the cluster has them. All its failures are EtcdErrors. */
export type ReadPage = (
  prefix: string,
  options: { readonly from?: string | undefined; readonly limit: number; readonly revision?: number | undefined },
) => Promise<Page>;

/** A page, and how long it took from the first byte of the answer to the last, where there is a network in between. */
export type Page = RangePage & { readonly transferMs?: number };

/** Decides how many keys the next page may have. It learns from earlier pages. */
export interface PageSize {
  readonly keys: number;
  onRead(page: Page): void;
  onFailed(): void;
}

/**
 * etcd keeps an answer in memory, at least twice, until it is sent: a page of a megabyte for each of a thousand readers is what it can bear.
 * Smaller pages cost etcd more time, because 3.4 counts the rest of the range for each page.
 */
const mostBytes = 1_000_000;
const leastBytes = 64_000;
const firstBytes = 250_000;
const mostKeys = 10_000;
/** A page that took longer than `slowMs` to arrive was too large for its share of the link; after one that took less than `quickMs` the next may be larger. */
const slowMs = 2_000;
const quickMs = 500;

/** A page size that follows the speed of the link and the length of the values: 64 kB to 1 MB a page. */
export function adaptingPageSize(): PageSize {
  let bytes = firstBytes;
  let keys = 250;
  return {
    get keys() {
      return keys;
    },
    onRead({ found, transferMs = 0 }) {
      if (found.length === 0) return;
      if (transferMs > slowMs) bytes = Math.max(leastBytes, bytes / 2);
      else if (transferMs < quickMs) bytes = Math.min(mostBytes, bytes * 2);
      const total = found.reduce((sum, { key, value }) => sum + key.length + value.length + 32, 1);
      // It grows at most fourfold: the next values may be longer than the last.
      keys = Math.max(1, Math.min(mostKeys, keys * 4, Math.floor((bytes / total) * found.length)));
    },
    onFailed() {
      bytes = Math.max(leastBytes, bytes / 4);
      keys = Math.max(1, Math.floor(keys / 4));
    },
  };
}

/** Always the same number of keys. */
export const fixedPageSize = (keys: number): PageSize => ({ keys, onRead() {}, onFailed() {} });

/** A snapshot that is read page by page. */
export interface Snapshot {
  /**
   * The next page, with the header of the first one; undefined after the last page.
   * After a failure a further call continues where the snapshot was. After ETCD_COMPACTED, ETCD_REPLACED or ETCD_PROTOCOL the snapshot cannot continue.
   */
  next(): Promise<RangePage | undefined>;
}

/** A snapshot of everything under the prefixes at one revision: the newest, or the requested one. */
export function readSnapshot(readPage: ReadPage, prefixes: readonly string[], size: PageSize, askedRevision?: number): Snapshot {
  let at = 0;
  let from: string | undefined;
  let first: Header | undefined;
  let latest: Header | undefined;
  /** The key with the highest revision among those that were read. It distinguishes one history of the datastore from another. */
  let newest: { readonly prefix: string; readonly key: string; readonly modRevision: number } | undefined;
  let interrupted = false;

  const revision = (): number | undefined => askedRevision ?? first?.revision;
  const replaced = (): EtcdError => new EtcdError('ETCD_REPLACED', 'etcd was replaced by another while it was read');

  async function read(prefix: string, start: string | undefined, limit: number): Promise<Page> {
    const page = await readPage(prefix, { from: start, limit, revision: revision() });
    const { header } = page;
    if (latest && (!isSameEtcd(header, latest) || header.revision < latest.revision)) throw replaced();
    latest = header;
    return page;
  }

  /** Called after an interruption: checks that etcd has not been restored from a backup meanwhile. */
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
 * The first key of the next page: the one behind the last key of this page, in byte order.
 * @throws ETCD_PROTOCOL when the page did not lead any further, because reading would never end
 */
function nextPage(prefix: string, from: string | undefined, found: readonly KeyValue[]): string {
  const last = found.at(-1)?.key;
  if (last === undefined || (from !== undefined && compareKeys(last, from) < 0))
    throw new EtcdError('ETCD_PROTOCOL', `cannot read ${prefix}: etcd says that there is more, and its page leads no further than ${shownKey(from ?? prefix)}`);
  return `${last}\0`;
}
