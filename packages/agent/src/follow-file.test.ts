import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { followFile } from './follow-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'follow-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a file is told at once, when it is written, when another takes its name, and when it goes; what has not changed is not told', async () => {
  const path = join(directory, 'file');
  const told: (string | undefined)[] = [];
  const follower = followFile(path, { onText: (text) => told.push(text), onUnreadable: (error) => told.push(error.message) }, 5);
  expect(told).toEqual([undefined]);
  writeFileSync(path, 'one');
  await expect.poll(() => told).toEqual([undefined, 'one']);
  writeFileSync(`${path}.new`, 'two');
  renameSync(`${path}.new`, path);
  await expect.poll(() => told).toEqual([undefined, 'one', 'two']);
  rmSync(path);
  await expect.poll(() => told).toEqual([undefined, 'one', 'two', undefined]);
  follower.close();
});

test('a file that cannot be read is told once, and not as one that is gone', async () => {
  const path = join(directory, 'file');
  const told: unknown[] = [];
  writeFileSync(path, 'one');
  const follower = followFile(path, { onText: (text) => told.push(text), onUnreadable: (error) => told.push((error as NodeJS.ErrnoException).code) }, 1);
  rmSync(path);
  mkdirSync(path);
  await expect.poll(() => told.at(-1)).toBe('EISDIR');
  await new Promise((resolve) => setTimeout(resolve, 20));
  rmSync(path, { recursive: true });
  await expect.poll(() => told.at(-1)).toBeUndefined();
  follower.close();
  expect(told.filter((each) => each === 'EISDIR')).toHaveLength(1);
});
