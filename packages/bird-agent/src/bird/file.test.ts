import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { groupId } from '../groups.ts';
import { type ConfigurationFile, type Content, configurationFile, draft, isSameContent, readText } from './file.ts';
import { textOf } from './print.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bird-file-'));
  path = join(directory, 'bird.conf');
});
afterEach(() => rmSync(directory, { recursive: true }));

test('a draft that is published takes the file’s place, closed to others, and leaves nothing beside it', async () => {
  writeFileSync(path, 'old', { mode: 0o666 });
  const fresh = await draft(path, [Buffer.from('new')], process.getgid?.());
  expect([readFileSync(path, 'utf8'), readFileSync(fresh.path, 'utf8')]).toEqual(['old', 'new']);
  await fresh.publish();
  expect(await readText(path)).toBe('new');
  expect(statSync(path).mode & 0o777).toBe(0o640);
  expect(readdirSync(directory)).toEqual(['bird.conf']);
});

test('a draft that is discarded changes nothing', async () => {
  await (await draft(path, [Buffer.from('new')], undefined)).discard();
  expect(readdirSync(directory)).toEqual([]);
  expect(await readText(path)).toBeUndefined();
});

test('what a killed agent left, or somebody laid in its way, is not written through', async () => {
  const { path: temporary } = await draft(path, [Buffer.from('left')], undefined);
  rmSync(temporary);
  writeFileSync(join(directory, 'elsewhere'), 'precious');
  symlinkSync(join(directory, 'elsewhere'), temporary);
  await (await draft(path, [Buffer.from('new')], undefined)).publish();
  expect(readFileSync(join(directory, 'elsewhere'), 'utf8')).toBe('precious');
  expect(await readText(path)).toBe('new');
});

test('drafts of agents that were killed are removed, and nothing else', async () => {
  for (const name of ['.bird.conf.17.new', '.bird.conf.18.new', '.bird.conf.x.new', '.other.conf.17.new', 'bird.conf.17.new'])
    writeFileSync(join(directory, name), 'left');
  await (await draft(path, [Buffer.from('new')], undefined)).publish();
  expect(readdirSync(directory).sort()).toEqual(['.bird.conf.x.new', '.other.conf.17.new', 'bird.conf', 'bird.conf.17.new']);
});

test('a group is found by its name in the system’s file', () => {
  writeFileSync(path, 'root:x:0:\nbird:x:117:\nbroken\n');
  expect([groupId('bird', path), groupId('birds', path), groupId('broken', path)]).toEqual([117, undefined, undefined]);
});

const content = (...texts: readonly string[]): Content => ({ parts: texts.map((text) => Buffer.from(text)) });
async function textIn(file: ConfigurationFile): Promise<string | undefined> {
  const found = await file.read();
  return found && textOf(found);
}

test('contents are the same when their bytes are, however they are parted; of what was printed the revision says so', () => {
  expect(isSameContent(content('a', 'bc'), content('ab', 'c'))).toBe(true);
  expect(isSameContent(content('a', 'bc'), { ...content('ab', 'd'), revision: 'x' })).toBe(false);
  expect(isSameContent({ ...content('a'), revision: 'x' }, { ...content('a'), revision: 'y' })).toBe(false);
});

test('its text is what lies there, whoever wrote it', async () => {
  const file = configurationFile(path, () => undefined);
  expect(await textIn(file)).toBeUndefined();
  await (await file.draft(content('our', 's'))).publish();
  const { mtime } = statSync(path);
  expect(await textIn(file)).toBe('ours');
  writeFileSync(path, 'mine');
  utimesSync(path, mtime, mtime); // the new content has the length and the time of the former one
  expect(await textIn(file)).toBe('mine');
  writeFileSync(join(directory, 'copy'), 'copy');
  renameSync(join(directory, 'copy'), path);
  expect(await textIn(file)).toBe('copy');
  rmSync(path);
  expect(await textIn(file)).toBeUndefined();
});

test('a file that is confirmed counts as written then, and holds what it held', async () => {
  const file = configurationFile(path, () => undefined);
  await (await file.draft(content('our', 's'))).publish();
  const writtenMs = (await file.writtenMs())!;
  await file.confirmWritten(writtenMs + 5000);
  expect((await file.writtenMs())! - writtenMs).toBeCloseTo(5000, 0);
  expect(await textIn(file)).toBe('ours');
});
