import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type LogFile, openLogFile } from './log-file.ts';

let directory: string;
let file: LogFile;
let room: number;
let written: string;

/** A disk with room for this many bytes, which writes three bytes at a time. */
function write(_: number, bytes: Uint8Array): number {
  if (room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  const taken = Math.min(room, bytes.length, 3);
  room -= taken;
  written += Buffer.from(bytes.subarray(0, taken)).toString();
  return taken;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'log-file-'));
  [room, written] = [Number.POSITIVE_INFINITY, ''];
  file = openLogFile(join(directory, 'a.log'), write);
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
});
afterEach(() => {
  file.close();
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true });
});

test('a line that a full disk took half of is completed when there is room again, and so are the lines after it', () => {
  room = 5;
  file.write('first\n');
  file.write('second\n');
  expect(written).toBe('first');
  room = Number.POSITIVE_INFINITY;
  file.write('third\n');
  expect(written).toBe('first\nsecond\nthird\n');
});

test('while the disk is full, lines beyond a megabyte are lost, and the agent’s memory is not', () => {
  const line = `${'x'.repeat(99_999)}\n`;
  room = 0;
  for (let count = 0; count < 50; count += 1) file.write(line);
  room = Number.POSITIVE_INFINITY;
  file.write('after\n');
  expect(written.length).toBeLessThanOrEqual(1024 * 1024);
  expect(written).toBe(`${line.repeat(10)}after\n`);
});
