// The shell of DevStack's plugin, as shellcheck reads it.
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

test.each(['plugin.sh', 'settings'])('shellcheck has nothing to say of %s', (file) => {
  let said = '';
  try {
    execFileSync('shellcheck', ['--shell=bash', file], { cwd: import.meta.dirname, encoding: 'utf8' });
  } catch (error) {
    said = (error as { stdout?: string }).stdout || String(error);
  }
  expect(said).toBe('');
});
