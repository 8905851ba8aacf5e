import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '@calico-openstack/agent';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openPortTexts } from './port-texts.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'port-texts-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('what was written last is there for the next one, and what was removed is not', () => {
  const texts = openPortTexts(directory, silentLog());
  texts.write('tap1', 'one');
  texts.write('tap2', 'two');
  texts.write('tap1', 'one again');
  texts.write('tap3', 'three');
  texts.remove('tap2');
  texts.close();
  expect([...openPortTexts(directory, silentLog()).read()].sort()).toEqual([
    ['tap1', 'one again'],
    ['tap3', 'three'],
  ]);
  expect(readdirSync(directory).sort()).toEqual(['tap1', 'tap3']);
});

test('a directory that is gone is made again, and a file that cannot be written keeps nobody waiting', () => {
  const texts = openPortTexts(directory, silentLog());
  rmSync(directory, { recursive: true });
  texts.write('tap1', 'one');
  texts.close();
  expect(texts.read().get('tap1')).toBe('one');
  rmSync(directory, { recursive: true });
  writeFileSync(directory, 'a file in its place');
  texts.write('tap2', 'two');
  texts.close();
  rmSync(directory);
  mkdirSync(directory);
  chmodSync(directory, 0o755);
  texts.write('tap3', 'three');
  texts.close();
  expect([...texts.read().keys()].sort()).toEqual(['tap2', 'tap3']);
});
