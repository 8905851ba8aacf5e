import { expect, test } from 'vitest';
import { IniError, parseIni } from './ini.ts';

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

test('a line that is none of these is refused with file and line', () => {
  expect(() => parseIni('[a]\nnonsense', 'felix.cfg')).toThrow(new IniError('felix.cfg:2: "nonsense" is neither "[section]" nor "option = value"'));
});
