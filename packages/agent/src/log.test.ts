import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatLine, openLog } from './log.ts';

test('a line has time, severity, process, name, message and fields, and cannot be broken in two by what it quotes', () => {
  const line = formatLine({
    level: 40,
    time: 0,
    pid: 7,
    name: 'felix',
    msg: 'value\nignored',
    key: 'a b\n',
    endpoint: 'tap1',
    count: 3,
    err: { code: 'X', message: 'no "way"' },
  });
  expect(line).toMatch(
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[WARNING\]\[7\] felix: value ignored key="a b\\n" endpoint=tap1 count=3 code=X error="no \\"way\\""$/,
  );
});

test('a file gets what is at least as severe as asked, and follows a rotation by rename', () => {
  const directory = mkdtempSync(join(tmpdir(), 'log-'));
  try {
    const path = join(directory, 'deep', 'felix.log');
    const { log, reopen, flush } = openLog({ name: 'felix', file: { path, severity: 'WARNING' } });
    log.info('quiet');
    log.warn('loud');
    flush();
    expect(readFileSync(path, 'utf8')).toMatch(/loud\n$/);
    expect(readFileSync(path, 'utf8')).not.toContain('quiet');
    renameSync(path, `${path}.1`);
    reopen();
    log.error('after');
    flush();
    expect(readFileSync(path, 'utf8')).toMatch(/after\n$/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
