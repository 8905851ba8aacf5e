import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeDirectory } from './make-directory.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'make-directory-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const modeOf = (...parts: readonly string[]): string => (statSync(join(root, ...parts)).mode & 0o777).toString(8);

test('missing directories are made with the mode, and one that exists keeps its own', () => {
  makeDirectory(join(root, 'a', 'b', 'c'), 0o750);
  expect([modeOf('a'), modeOf('a', 'b'), modeOf('a', 'b', 'c')]).toEqual(['750', '750', '750']);
  makeDirectory(join(root, 'a', 'b'), 0o700);
  expect(modeOf('a', 'b')).toBe('750');
});

test('a file in the way is an error, whether it is the directory itself or one above', () => {
  writeFileSync(join(root, 'file'), '');
  expect(() => makeDirectory(join(root, 'file'))).toThrow(/EEXIST/);
  expect(() => makeDirectory(join(root, 'file', 'below'))).toThrow(/ENOTDIR/);
});

test('where the kernel makes no directories the call fails instead of hanging', () => {
  expect(() => makeDirectory('/proc/none/such/directory')).toThrow(/ENOENT/);
});
