import { expect, test } from 'vitest';
import { IniError, parseIni, readIni, shownValue } from './ini.ts';

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
  );
  expect(ini.get('')?.get('top')).toEqual(['1']);
  expect(ini.get('DEFAULT')?.get('host')).toEqual(['compute-1']);
  expect(ini.get('DEFAULT')?.get('dhcp_option')).toEqual(['a', 'b']);
  expect(ini.get('DEFAULT')?.get('list')).toEqual(['x,\ny']);
  expect(ini.get('calico')?.get('etcd_password')).toEqual(['p = #1']);
  expect(ini.get('calico')?.get('empty')).toEqual(['']);
  expect(ini.get('calico')?.get('colon')).toEqual(['v']);
});

test('a line that is none of these is refused with file and line, and without its content, which may be a password', () => {
  expect(() => parseIni('[a]\nhunter2', 'felix.cfg')).toThrow(new IniError('felix.cfg:2: the line is neither "[section]" nor "option = value"'));
});

test.each([
  ['etcd_timeout', 'soon', 'soon'],
  ['etcd_password', 'hunter2', '…'],
  ['secretKey', 'hunter2', '…'],
  ['etcd_endpoints', 'http://root:hunter2@10.0.0.1:2379', '…@10.0.0.1:2379'],
  ['etcd_timeout', '10\nconnection = mysql://neutron:hunter2@db', '10 …'],
  ['etcd_timeout', 'x'.repeat(300), `${'x'.repeat(200)}…`],
])('of %s = %j a message shows %s', (name, value, shown) => expect(shownValue(name, value)).toBe(shown));

test('a file that cannot be read is named with what to do, and one that may be missing is empty', () => {
  expect(() => readIni('/nonexistent/felix.cfg')).toThrow(
    new IniError(
      'cannot read the configuration file /nonexistent/felix.cfg: it does not exist (ENOENT); name another one (--config-file), or correct its rights',
    ),
  );
  expect(readIni('/nonexistent/felix.cfg', { mayBeMissing: true }).size).toBe(0);
  expect(() => readIni(import.meta.dirname, { mayBeMissing: true })).toThrow(/it is a directory \(EISDIR\)/);
});
