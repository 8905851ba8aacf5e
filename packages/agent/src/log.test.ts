import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { openLog, recordingLog } from './log.ts';

test('destinations and severities can be changed while it is written, and a file that cannot be opened leaves those of before', () => {
  const directory = mkdtempSync(join(tmpdir(), 'log-'));
  try {
    const [first, second] = [join(directory, 'first.log'), join(directory, 'second.log')];
    const { log, configure } = openLog({ name: 'felix', file: { path: first, severity: 'WARNING' } });
    log.info('unsaid');
    configure({ file: { path: first, severity: 'DEBUG' } });
    log.debug('one');
    configure({ file: { path: second, severity: 'INFO' } });
    log.info('two');
    expect(() => configure({ file: { path: join(first, 'below-a-file.log'), severity: 'INFO' } })).toThrow();
    log.info('three');
    const child = log.child({ dhcp: 'v4' });
    configure({ screen: undefined });
    log.fatal('to nobody');
    configure({ file: { path: second, severity: 'ERROR' } });
    child.warn('unsaid by the child');
    child.error({ more: 1 }, 'four');
    const said = (path: string): string[] => [...readFileSync(path, 'utf8').matchAll(/felix: (.*)/g)].map(([, text]) => text!);
    expect(said(first)).toEqual(['one']);
    expect(said(second)).toEqual(['two', 'three', 'four dhcp=v4 more=1']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a file that cannot be written, as on a full disk, ends nothing, and is told once', () => {
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    const { log } = openLog({ name: 'felix', file: { path: '/dev/full', severity: 'INFO' } });
    for (let line = 0; line < 1000; line++) log.info({ line }, 'x'.repeat(2000));
    expect(told.mock.calls.map(([text]) => text)).toEqual([expect.stringMatching(/^cannot write the log file \/dev\/full: ENOSPC/)]);
  } finally {
    told.mockRestore();
  }
});

test.each(['| true', '> /dev/full'])('standard output that cannot be written (%s) ends nothing', (where) => {
  const script = `const { openLog } = await import(${JSON.stringify(new URL('log.ts', import.meta.url).href)});
    const { log } = openLog({ name: 'felix', screen: 'INFO' });
    for (let line = 0; line < 20; line++) { log.info('x'.repeat(9000)); await new Promise((resolve) => setTimeout(resolve, 5)); }
    process.stderr.write('alive');`;
  const { stderr } = spawnSync('sh', ['-c', `"$0" --input-type=module -e "$1" ${where}`, process.execPath, script], { encoding: 'utf8' });
  expect(stderr).toBe('alive');
});

test('a file gets what is at least as severe as asked, and follows a rotation by rename', () => {
  const directory = mkdtempSync(join(tmpdir(), 'log-'));
  try {
    const path = join(directory, 'deep', 'felix.log');
    const { log, reopen } = openLog({ name: 'felix', file: { path, severity: 'WARNING' } });
    log.info('quiet');
    log.warn('loud');
    expect(readFileSync(path, 'utf8')).toMatch(/loud\n$/);
    expect(readFileSync(path, 'utf8')).not.toContain('quiet');
    renameSync(path, `${path}.1`);
    reopen();
    log.error('after');
    expect(readFileSync(path, 'utf8')).toMatch(/after\n$/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('each destination gets what is at least as severe as it asks for', () => {
  const directory = mkdtempSync(join(tmpdir(), 'log-'));
  const screen = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    const path = join(directory, 'felix.log');
    const { log } = openLog({ name: 'felix', screen: 'INFO', file: { path, severity: 'ERROR' } });
    log.debug('unsaid');
    log.info('quiet');
    log.error('loud');
    expect(screen.mock.calls.map(([line]) => String(line).split('felix: ')[1])).toEqual(['quiet\n', 'loud\n']);
    expect(readFileSync(path, 'utf8')).toMatch(/^[^\n]* loud\n$/);
  } finally {
    screen.mockRestore();
    rmSync(directory, { recursive: true });
  }
});

test('a recording log keeps every entry with the fields of all its parents', () => {
  const { log, entries } = recordingLog();
  log.child({ a: 1, b: 1 }).child({ b: 2 }).debug({ c: 3 }, 'said');
  log.trace('plain');
  expect(entries).toEqual([
    { severity: 'DEBUG', message: 'said', fields: { a: 1, b: 2, c: 3 } },
    { severity: 'TRACE', message: 'plain', fields: {} },
  ]);
});
