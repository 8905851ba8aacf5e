import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StartError, shownError } from './errors.ts';
import { openLog } from './log.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'errors-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs an executable that has this code as its start. */
function runStart(code: string): { readonly exitCode: number | null; readonly said: string } {
  const script = `const { runExecutable, StartError, silentLog } = await import(${JSON.stringify(new URL('index.ts', import.meta.url).href)});
    await runExecutable({ name: 'calico-test', description: '', defaultConfigFiles: [], start: async () => { ${code} } });`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 20_000 });
  return { exitCode: status, said: stdout + stderr };
}

describe('a start that fails', () => {
  test.each([
    [
      'by what an operator can mend is its sentence',
      `throw new StartError('X', 'the file is missing; make it');`,
      'calico-test: the file is missing; make it\n',
    ],
    [
      'by a call of the operating system is its words',
      `(await import('node:fs')).readFileSync('/nonexistent');`,
      "calico-test: ENOENT: no such file or directory, open '/nonexistent'\n",
    ],
    [
      'by an event that comes meanwhile is no less a sentence',
      `setImmediate(() => { throw new StartError('X', 'it went; look'); }); await new Promise((resolve) => setTimeout(resolve, 5000));`,
      'calico-test: it went; look\n',
    ],
  ])('%s', (_, code, said) => {
    expect(runStart(code)).toEqual({ exitCode: 1, said });
  });

  test('by a fault of ours has a stack, though Node gives it a code', () => {
    expect(runStart('undefined.x;').said).toMatch(/^calico-test: TypeError: .*\n {4}at /);
    expect(runStart('Buffer.alloc(-1);').said).toMatch(/ERR_OUT_OF_RANGE[\s\S]*\n {4}at /);
  });
});

test('a sentence that nobody took while the agent runs is shown with its stack: not to take it is a fault of ours', () => {
  const said = runStart(`const { openLog } = await import(${JSON.stringify(new URL('log.ts', import.meta.url).href)});
    setTimeout(() => { throw new StartError('X', 'lost'); }, 50);
    return { log: openLog({ name: 'felix', screen: 'INFO' }).log, close: async () => {} };`);
  expect(said).toEqual({ exitCode: 1, said: expect.stringMatching(/ stack="StartError: lost\\n {4}at .* code=X error=lost\n$/) });
});

describe('a log file that cannot be written', () => {
  test.each([
    ['is a directory', () => directory, /^cannot write the log file \S+: it is a directory \(EISDIR\); name another file, or none/],
    ['is below a file', () => join(directory, 'file', 'felix.log'), /: a part of its path is no directory \((EEXIST|ENOTDIR)\)/],
    ['is deep below a file', () => join(directory, 'file', 'log', 'felix.log'), /: a part of its path is no directory \((EEXIST|ENOTDIR)\)/],
    ['is below a link to nowhere', () => join(directory, 'link', 'felix.log'), /: it does not exist \(ENOENT\)/],
  ])('%s', (_, path, sentence) => {
    writeFileSync(join(directory, 'file'), '');
    rmSync(join(directory, 'link'), { force: true });
    symlinkSync(join(directory, 'missing'), join(directory, 'link'));
    expect(() => openLog({ name: 'felix', file: { path: path(), severity: 'INFO' } })).toThrow(
      expect.objectContaining({ code: 'LOG_UNUSABLE', message: expect.stringMatching(sentence) }),
    );
  });
});

test('the log shows a stack for a fault of ours, and for nothing else', () => {
  const file = join(directory, 'stacks.log');
  const { log } = openLog({ name: 'felix', file: { path: file, severity: 'INFO' } });
  log.error({ err: new StartError('X', 'a sentence', { cause: new Error('why') }) }, 'one');
  log.error({ err: Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' }) }, 'two');
  log.error({ err: Object.assign(new TypeError('a fault'), { code: 'ERR_INVALID_ARG_TYPE' }) }, 'three');
  const [sentence, system, fault] = readFileSync(file, 'utf8').split('\n');
  expect([sentence, system]).toEqual([expect.stringMatching(/ code=X error="a sentence"$/), expect.stringMatching(/ code=ENOSPC error="no space"$/)]);
  expect(fault).toMatch(/ code=ERR_INVALID_ARG_TYPE error="a fault" stack="TypeError/);
});

test('what is thrown and is no error is shown as it is', () => {
  expect([shownError('text'), shownError(undefined), shownError({ code: 1 })]).toEqual(['text', 'undefined', '[object Object]']);
});
