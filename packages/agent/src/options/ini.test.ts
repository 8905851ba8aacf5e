import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type IniDialect, IniError, parseIni, readIni, shownValue } from './ini.ts';

test('sections, options, comments, continued lines and repeated options', () => {
  const ini = parseIni(
    [
      'top = 1',
      '# a comment',
      '[DEFAULT]',
      'host = compute-1',
      '; another',
      'dhcp_option = a',
      'dhcp_option = b',
      'list = x,',
      '   y',
      '',
      '[calico]',
      'etcd_password = "p = #1"',
      'empty =',
      "colon: 'v'",
    ].join('\n'),
    'neutron.conf',
    'conf',
  );
  expect(ini.get('')?.get('top')).toEqual(['1']);
  expect(ini.get('DEFAULT')?.get('host')).toEqual(['compute-1']);
  expect(ini.get('DEFAULT')?.get('dhcp_option')).toEqual(['a', 'b']);
  expect(ini.get('DEFAULT')?.get('list')).toEqual(['x,\ny']);
  expect(ini.get('calico')?.get('etcd_password')).toEqual(['p = #1']);
  expect(ini.get('calico')?.get('empty')).toEqual(['']);
  expect(ini.get('calico')?.get('colon')).toEqual(['v']);
});

test.each(['cfg', 'conf'] as const)(
  '%s: a line that is none of these is refused with file and line, and without its content, which may be a password',
  (dialect) => {
    expect(() => parseIni('[a]\nhunter2', 'felix.cfg', dialect)).toThrow(new IniError('felix.cfg:2: the line is neither "[section]" nor "option = value"'));
  },
);

test.each([
  ['etcd_timeout', 'soon', 'soon'],
  ['etcd_password', 'hunter2', '…'],
  ['secretKey', 'hunter2', '…'],
  ['etcd_endpoints', 'http://root:hunter2@10.0.0.1:2379', '…@10.0.0.1:2379'],
  ['etcd_timeout', '10\nconnection = mysql://neutron:hunter2@db', '10 …'],
  ['etcd_timeout', '10etcd_password = hunter2', '10…'],
  ['etcd_timeout', 'x'.repeat(300), `${'x'.repeat(200)}…`],
])('of %s = %j a message shows %s', (name, value, shown) => expect(shownValue(name, value)).toBe(shown));

test('a file that cannot be read is named with what to do, and one that may be missing is empty', () => {
  expect(() => readIni('/nonexistent/felix.cfg', 'cfg')).toThrow(
    new IniError(
      'cannot read the configuration file /nonexistent/felix.cfg: it does not exist (ENOENT); name another one (--config-file), or correct its rights',
    ),
  );
  expect(readIni('/nonexistent/felix.cfg', 'cfg', { mayBeMissing: true }).size).toBe(0);
  expect(() => readIni(import.meta.dirname, 'cfg', { mayBeMissing: true })).toThrow(/it is a directory \(EISDIR\)/);
});

/** The value of option `o` in this text. */
const valueIn = (dialect: IniDialect, text: string): string | undefined =>
  [...parseIni(text, 'a file', dialect).values()].flatMap((section) => section.get('o') ?? []).at(-1);

describe('felix.cfg, as Calico’s Felix reads it', () => {
  test.each<readonly [string, string]>([
    ['o = a # comment', 'a'],
    ['o = a ; comment', 'a'],
    ['o = a#b', 'a'],
    ['o=http://a:1', 'http://a:1'],
    ['o: a', 'a'],
    ['  o = indented', 'indented'],
    ['\ufeffo = a', 'a'],
    ['o = "a" # comment', 'a'],
    ["o = 'a'", 'a'],
    ['o = "a # b"', '"a'],
    ['o = a "b"', 'a "b"'],
    ['o = "a" "b"', '"a" "b"'],
    ['o = `a # b`', 'a # b'],
    ['o = """a ; b"""', 'a ; b'],
    ['o = `a\n  b` # comment', 'a\n  b'],
    ['o = a,\\\n  b', 'a,b'],
    ['"o" = a', 'a'],
    ['`o` = a', 'a'],
    ['[a] # comment\no = a', 'a'],
    ['[a]\no = a\n[b]\no = b', 'b'],
    ['o = a\r\n', 'a'],
    ['o =', ''],
    ['o = # nothing', ''],
  ])('%j says %j', (text, value) => expect(valueIn('cfg', text)).toBe(value));

  test.each(['= a', '[a', '[]', 'o', 'o = `a\nb', '`o = a', '"o = a'])('%j is refused', (text) => expect(() => valueIn('cfg', text)).toThrow(IniError));

  test('each of many random texts says what go-ini has read in it, or is refused as go-ini has refused it', () => {
    type Read = Readonly<Record<string, string>>;
    const recorded = JSON.parse(readFileSync(join(import.meta.dirname, 'testing/read-by-go-ini.json'), 'utf8')) as readonly (readonly [
      text: string,
      read: Read | null,
    ])[];
    function read(text: string): Read | null {
      try {
        return Object.fromEntries(
          [...parseIni(text, 'a file', 'cfg').values()].flatMap((section) => [...section].map(([name, values]) => [name, values.at(-1)!])),
        );
      } catch (error) {
        expect(error).toBeInstanceOf(IniError);
        return null;
      }
    }
    expect(recorded.length).toBeGreaterThan(300);
    expect(recorded.map(([text]) => [text, read(text)])).toEqual(recorded);
  });
});

describe('neutron.conf, as oslo.config reads it', () => {
  test.each<readonly [string, string]>([
    ['o = a # no comment', 'a # no comment'],
    ['o = a;b', 'a;b'],
    ['o : a', 'a'],
    ['o = "a"', 'a'],
    ['o = \'a"', '\'a"'],
    ['o = a\n  b\n\tc', 'a\nb\nc'],
    ['o = a\n  # no comment', 'a\n# no comment'],
    ['o = a\n  [b]', 'a\n[b]'],
    ['o = a\n\n# comment\nother = b', 'a'],
  ])('%j says %j', (text, value) => expect(valueIn('conf', text)).toBe(value));

  test.each(['= a', '[a', '[]', 'o', '  o = a', 'o = a\n\n  b', 'o = a\n# comment\n  b', '[a] # comment'])('%j is refused', (text) =>
    expect(() => valueIn('conf', text)).toThrow(IniError),
  );
});
