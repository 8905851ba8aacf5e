import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Change } from './change.ts';
import { openJournal } from './journal.ts';

/** While `full`, the disk accepts half of a write, and then no more. */
const disk = vi.hoisted(() => ({ full: false }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const appendFileSync: typeof fs.appendFileSync = (path, text) => {
    if (!disk.full) return fs.appendFileSync(path, text);
    fs.appendFileSync(path, String(text).slice(0, 20));
    throw new Error('ENOSPC: no space left on device');
  };
  return { ...fs, appendFileSync };
});

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'journal-'));
});
afterEach(() => {
  disk.full = false;
  rmSync(directory, { recursive: true });
});

let nowMs = 0;
const open = () => openJournal({ file: join(directory, 'sub', 'journal'), nowMs: () => nowMs });
const port = (id: string, ...hosts: string[]): Change => ({ kind: 'port', id, slots: hosts.map((host) => ({ host, device: 'vm' })) });
const ids = (looks: readonly { change: Change }[]): string[] => looks.map(({ change }) => change.id);

test('what was announced and never completed is looked at when its time is over, or when its caller is gone', () => {
  nowMs = 0;
  const journal = open();
  journal.before([port('a', 'h1'), port('b', 'h1')], ['m1']);
  journal.before([port('c')], ['m2']);
  expect(journal.take(10)).toEqual([]);
  journal.abandon(['m2']);
  expect(ids(journal.take(10))).toEqual(['c']);
  nowMs = 60_000;
  expect(journal.restMs).toBe(0);
  expect(ids(journal.take(10))).toEqual(['a', 'b']);
});

test('what was written is looked at once more, and then forgotten; what took no write is forgotten at once', () => {
  nowMs = 0;
  const journal = open();
  journal.before([port('a', 'h1'), port('b', 'h1')], ['m']);
  const looks = journal.after([port('a', 'h1'), port('b', 'h1')], ['m']);
  journal.done(looks, [port('a')]);
  expect(journal.size).toBe(1);
  expect(journal.restMs).toBe(1000);
  nowMs = 1000;
  const again = journal.take(10);
  expect(again.map(({ change }) => change)).toEqual([port('a', 'h1')]);
  journal.done(again, []);
  expect(journal.size).toBe(0);
  expect(journal.restMs).toBeUndefined();
});

test('what was written within a second is looked at once more at one time, after half a second at least and one and a half at most', () => {
  const journal = open();
  for (const [atMs, id] of [
    [10_000, 'a'],
    [10_500, 'b'],
    [10_501, 'c'],
    [11_499, 'd'],
  ] as const) {
    nowMs = atMs;
    journal.done(journal.after([port(id, 'h1')], []), [port(id)]);
  }
  nowMs = 10_999;
  expect(journal.take(10)).toEqual([]);
  nowMs = 11_000;
  expect(ids(journal.take(10))).toEqual(['a', 'b']);
  nowMs = 11_999;
  expect(journal.take(10)).toEqual([]);
  nowMs = 12_000;
  expect(ids(journal.take(10))).toEqual(['c', 'd']);
});

test('a change that comes while its object is looked at is looked at after that', () => {
  nowMs = 0;
  const journal = open();
  const first = journal.after([port('a', 'h1')], []);
  journal.add([port('a', 'h2')]);
  expect(journal.take(10)).toEqual([]); // an object is not checked twice at a time
  journal.done(first, []);
  expect(journal.take(10).map(({ change }) => change)).toEqual([port('a', 'h1', 'h2')]);
});

test('of two calls for one object, the end of the first does not take away the second', () => {
  nowMs = 0;
  const journal = open();
  const first = journal.after([port('a', 'h1')], []);
  const second = journal.after([port('a', 'h2')], []);
  journal.done(first, []);
  expect(journal.size).toBe(1);
  journal.failed(second);
  nowMs = 500;
  expect(journal.take(10)[0]?.change).toEqual(port('a', 'h1', 'h2'));
});

test('an announcement that is still open keeps the object noted after another call for it has ended', () => {
  nowMs = 0;
  const journal = open();
  journal.before([port('a', 'h1')], ['open']);
  journal.done(journal.after([port('a', 'h1')], ['other']), []);
  expect(journal.size).toBe(1);
  journal.complete(['open']);
  expect(journal.size).toBe(0);
});

test('failures are tried again, each time later', () => {
  nowMs = 0;
  const journal = open();
  journal.add([port('a')]);
  const rests: unknown[] = [];
  for (let attempt = 0; attempt < 8; attempt += 1) {
    journal.failed(journal.take(1));
    rests.push(journal.restMs);
    nowMs += journal.restMs ?? 0;
  }
  expect(rests).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  expect(journal.failing).toBe(1);
});

test('what stood open when the process was killed is due at the next start, wherever the last line ends', () => {
  nowMs = 0;
  const journal = open();
  journal.before([port('a', 'h1')], ['m']);
  journal.before([port('a', 'h2')], ['m']);
  journal.add([
    { kind: 'security_group', id: 'g' },
    { kind: 'ports_of', of: 'network', id: 'n' },
  ]);
  journal.done(journal.after([port('b')], []), []);
  const file = join(directory, 'sub', 'journal');
  appendFileSync(file, '{"open":{"kind":"port","id":"torn');
  const next = open();
  expect(next.take(10).map(({ change }) => change)).toEqual([
    port('a', 'h1', 'h2'),
    { kind: 'security_group', id: 'g' },
    { kind: 'ports_of', of: 'network', id: 'n' },
  ]);
  expect(next.unreadable).toBe(1);
  expect(readFileSync(file, 'utf8')).not.toContain('torn');
  expect(open().unreadable).toBe(0);
});

test('the file does not grow for ever', () => {
  nowMs = 0;
  const journal = open();
  for (let round = 0; round < 11_000; round += 1) journal.done(journal.after([port(`p${round}`)], []), []);
  expect(readFileSync(join(directory, 'sub', 'journal'), 'utf8').split('\n').length).toBeLessThan(20_010);
});

test('with a full disk no commit is let through; what is committed already is looked at all the same, and written down as soon as there is room', () => {
  nowMs = 0;
  const [trouble, recovered] = [vi.fn(), vi.fn()];
  const journal = openJournal({ file: join(directory, 'journal'), nowMs: () => nowMs, onUnwritable: trouble, onRecovered: recovered });
  journal.before([port('a', 'h1')], ['m1']);
  disk.full = true;
  expect(() => journal.before([port('b')], ['m2'])).toThrow('ENOSPC');
  // An address group is not announced before its commit. This one lost addresses.
  const looks = journal.after([{ kind: 'address_group', id: 'ag' }], []);
  expect(ids(looks)).toEqual(['ag']);
  journal.failed(looks);
  journal.add([port('c')]);
  journal.done(journal.after([port('a', 'h1')], ['m1']), []);
  expect(trouble).toHaveBeenCalledTimes(1);
  disk.full = false;
  journal.before([port('d')], ['m3']);
  journal.add([port('e')]);
  expect(recovered).toHaveBeenCalledTimes(1);
  journal.close();
  expect(ids(openJournal({ file: join(directory, 'journal') }).take(10))).toEqual(['ag', 'c', 'd', 'e']);
});

test('a note of each kind reads back as it was written', () => {
  const changes: { readonly [Kind in Change['kind']]: Change & { readonly kind: Kind } } = {
    port: { kind: 'port', id: 'a', slots: [{ host: 'h1', device: 'vm' }] },
    subnet: { kind: 'subnet', id: 'b' },
    security_group: { kind: 'security_group', id: 'c' },
    address_group: { kind: 'address_group', id: 'd' },
    ports_of: { kind: 'ports_of', of: 'network', id: 'e' },
  };
  open().add(Object.values(changes));
  const again = open();
  expect(again.unreadable).toBe(0);
  expect(again.take(10).map(({ change }) => change)).toEqual(Object.values(changes));
});
