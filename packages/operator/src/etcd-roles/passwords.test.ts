import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { passwordsIn } from './passwords.ts';

let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'passwords-'));
  directory = join(parent, 'passwords');
});
afterEach(() => rmSync(parent, { recursive: true }));

test('a password is made once, for its owner alone, and is new until etcd has it', () => {
  const made = passwordsIn(directory).of('u');
  expect(made).toMatch(/^\S{32}$/);
  const again = passwordsIn(directory); // the first run was killed before it set the password in etcd
  expect([again.isNew('u'), again.of('u')]).toEqual([true, made]);
  again.told('u');
  expect([again.isNew('u'), again.of('u')]).toEqual([false, made]);
  expect([statSync(join(directory, 'u')).mode & 0o777, statSync(directory).mode & 0o777]).toEqual([0o600, 0o700]);
  expect(existsSync(join(directory, 'u.new'))).toBe(false);
});

test("an operator's own is taken, and stays as it is", () => {
  passwordsIn(directory).of('other');
  writeFileSync(join(directory, 'u'), 'chosen\n', { mode: 0o600 });
  const passwords = passwordsIn(directory);
  expect([passwords.of('u'), passwords.isNew('u')]).toEqual(['chosen', false]);
  passwords.told('u');
  expect(readFileSync(join(directory, 'u'), 'utf8')).toBe('chosen\n');
});

test.each<[string, string, number, RegExp]>([
  ['others may read', 'secret\n', 0o644, /others may read the password .*chmod 600/],
  ['is empty', '', 0o600, /must hold one word/],
  ['holds two words', 'sec ret', 0o600, /must hold one word/],
])('one that %s is refused, and not repeated', (_, content, mode, reason) => {
  passwordsIn(directory).of('other');
  writeFileSync(join(directory, 'u'), content);
  chmodSync(join(directory, 'u'), mode);
  let refusal: unknown;
  try {
    passwordsIn(directory).of('u');
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toMatchObject({ code: 'PASSWORDS_UNUSABLE', message: expect.stringMatching(reason) });
  expect(String(refusal)).not.toMatch(/\bsec/);
});
