// What `npm ci` and `npm run build` say on a Node that is too old for them.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Runs the check as on a Node of this version. */
const checked = (version: string) =>
  spawnSync(
    process.execPath,
    ['-e', `Object.defineProperty(process.versions, 'node', { value: '${version}' }); require(${JSON.stringify(join(import.meta.dirname, 'check-node.cjs'))})`],
    { encoding: 'utf8' },
  );

test('Debian’s Node 18 is told the way, before npm leaves out what it needs', () => {
  const { status, stderr } = checked('18.20.4');
  expect(status).toBe(1);
  expect(stderr).toContain('cannot be installed or built on Node 18.20.4');
  expect(stderr).toContain('./tools/install test');
});

test('Node 20 and newer are let through', () => {
  for (const version of ['20.0.0', '24.21.0']) expect(checked(version)).toMatchObject({ status: 0, stderr: '' });
});
