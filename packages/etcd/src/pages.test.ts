import { expect, test } from 'vitest';
import { adaptingPageSize, type Page, type PageSize } from './pages.ts';

/** A page with as many keys as it may have, each with a value of this many bytes. */
function full(size: PageSize, valueBytes: number, transferMs: number): Page {
  const value = Buffer.alloc(valueBytes);
  const found = Array.from({ length: size.keys }, (_, index) => ({ key: `${index}`, value, createRevision: 1, modRevision: 1, version: 1, lease: '0' }));
  return { header: { clusterId: '1', revision: 1, term: 1 }, found, more: true, transferMs };
}
function after(pages: number, size: PageSize, valueBytes: number, transferMs: number): number {
  for (let page = 0; page < pages; page += 1) size.onRead(full(size, valueBytes, transferMs));
  return size.keys;
}

test('pages that arrive quickly grow to about a megabyte, however long the values are', () => {
  for (const bytes of [100, 1_000, 100_000]) {
    const megabytes = (after(10, adaptingPageSize(), bytes, 10) * bytes) / 1e6;
    expect(megabytes).toBeGreaterThan(0.6);
    expect(megabytes).toBeLessThanOrEqual(1);
  }
});

test('pages that arrive slowly shrink, and grow again later', () => {
  const size = adaptingPageSize();
  const grown = after(10, size, 1_000, 10);
  const slow = after(10, size, 1_000, 5_000);
  expect(slow).toBeLessThan(grown / 10);
  expect(slow).toBeGreaterThan(10);
  expect(after(10, size, 1_000, 10)).toBe(grown);
});

test('a page that failed is followed by smaller ones, down to a single key', () => {
  const size = adaptingPageSize();
  after(10, size, 1_000, 10);
  const sizes = Array.from({ length: 10 }, () => {
    size.onFailed();
    return size.keys;
  });
  expect(sizes).toEqual(sizes.toSorted((one, other) => other - one));
  expect(sizes.at(-1)).toBe(1);
});

test('after short values the next page grows only gradually, because longer values may follow', () => {
  const size = adaptingPageSize();
  const before = size.keys;
  after(1, size, 10, 10);
  expect(size.keys).toBeLessThanOrEqual(before * 4);
});
