import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
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
  const follower = followFile(path, (text) => told.push(text), 5);
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

test('what cannot be read is told as not there, once', async () => {
  const told: (string | undefined)[] = [];
  let looks = 0;
  const follower = followFile(
    directory,
    (text) => {
      told.push(text);
      looks += 1;
    },
    1,
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  follower.close();
  expect(told).toEqual([undefined]);
  expect(looks).toBe(1);
});
