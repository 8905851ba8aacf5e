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
  const result = openPasswords(path)({ name, key });
  return result.ok ? '' : result.reason;
};

test('a password is found by the secret’s name and key, as BIRD’s string', () => {
  expect(openPasswords(file('[bgp]\ntor = s3cret; #1\n'))({ name: 'bgp', key: 'tor' })).toEqual({ ok: true, value: '"s3cret; #1"' });
});

describe('there is no password', () => {
  test.each([
    ['in a file that is not there', () => join(directory, 'absent.cfg'), /ENOENT/],
    ['in a file that its group can read', () => file('[bgp]\ntor = s3cret\n', 0o640), /chmod 600/],
    ['in a file that everybody can read', () => file('[bgp]\ntor = s3cret\n', 0o604), /chmod 600/],
    ['under another name', () => file('[other]\ntor = s3cret\n'), /has no "tor" in section \[bgp\]/],
    ['that BIRD could not hold', () => file('[bgp]\ntor = s3"cret\n'), /quotation mark/],
    ['in a file that is no ini file', () => file('[bgp]\ns3cret\n'), /is no ini file/],
  ])('%s', (_, path, reason) => {
    expect(reasonOf(path())).toMatch(reason);
    expect(reasonOf(path())).not.toContain('s3');
  });
});
