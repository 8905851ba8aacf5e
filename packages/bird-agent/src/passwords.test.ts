import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPasswords } from './passwords.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'bird-agent-passwords-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(text: string, mode = 0o600): string {
  const path = join(directory, 'passwords.cfg');
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}
const reasonOf = (path: string, name = 'bgp', key = 'tor'): string => {
  const result = openPasswords(path).password({ name, key });
  return result.ok ? '' : result.reason;
};

test('a password is found by the secret’s name and key, as BIRD’s string', () => {
  expect(openPasswords(file('[bgp]\ntor = s3cret; #1\n')).password({ name: 'bgp', key: 'tor' })).toEqual({ ok: true, value: '"s3cret; #1"' });
});

test('a password that is known holds while the file cannot be read; a file that can is what counts', () => {
  const path = file('[bgp]\ntor = first\n');
  const passwords = openPasswords(path);
  const tor = () => passwords.password({ name: 'bgp', key: 'tor' });
  expect(passwords.readAgain()).toBeUndefined();
  expect(tor()).toEqual({ ok: true, value: '"first"' });
  file('[bgp]\ntor = open\n', 0o644);
  expect(passwords.readAgain()).toContain('chmod 600');
  expect(tor()).toEqual({ ok: true, value: '"first"' });
  file('[bgp]\ntor = second\n');
  expect(tor()).toEqual({ ok: true, value: '"first"' });
  expect(passwords.readAgain()).toBeUndefined();
  expect(tor()).toEqual({ ok: true, value: '"second"' });
  file('[other]\ntor = third\n');
  passwords.readAgain();
  expect(tor()).toMatchObject({ ok: false });
  file('[bgp]\ntor = fourth\n');
  expect(tor()).toEqual({ ok: true, value: '"fourth"' });
});

describe('there is no password', () => {
  test.each([
    ['in a file that is not there', () => join(directory, 'absent.cfg'), /ENOENT/],
    ['in a file that its group can read', () => file('[bgp]\ntor = s3cret\n', 0o640), /chmod 600/],
    ['in a file that everybody can read', () => file('[bgp]\ntor = s3cret\n', 0o604), /chmod 600/],
    ['under another name', () => file('[other]\ntor = s3cret\n'), /has no "tor" in section \[bgp\]/],
    ['that BIRD could not hold', () => file('[bgp]\ntor = s3"cret\n'), /quotation mark/],
    ['in a file that is no ini file', () => file('[bgp]\ns3cret\n'), /passwords\.cfg:2: the line is neither/],
  ])('%s', (_, path, reason) => {
    expect(reasonOf(path())).toMatch(reason);
    expect(reasonOf(path())).not.toContain('s3');
  });
});
