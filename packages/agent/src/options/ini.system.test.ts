// Compares the reading of neutron.conf, its directories and the environment with oslo.config itself, which every host with Neutron has.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { configFilesOf, type GivenPath } from './config-files.ts';
import { parseIni, readIni } from './ini.ts';
import { inSection, row } from './option.ts';
import { text } from './parsers.ts';
import { resolveOptions } from './resolve.ts';
import { confTexts } from './sources.ts';

/**
 * A Python program. For each line, a JSON string with the text of a file, it prints what oslo.config reads in it: pairs of `section/option` and value, or null when it refuses the text. Pairs
 * and no object, because V8 13.6 mistakes the name `"` for `\` when an earlier object had that one.
 */
const program = `
import json, sys
from oslo_config import iniparser

class Reader(iniparser.BaseParser):
    def __init__(self):
        self.options, self.section = {}, ''
    def new_section(self, section):
        self.section = section
    def assignment(self, key, value):
        self.options[self.section + '/' + key] = '\\n'.join(value)

for line in sys.stdin:
    reader = Reader()
    try:
        reader.parse(json.loads(line).split('\\n'))
        print(json.dumps(list(reader.options.items())))
    except iniparser.ParseError:
        print('null')
`;

const pieces = ['a', 'b', 'o', '=', ':', ' ', '\t', '#', ';', '"', "'", '\n', '\n', '[', ']', '[s]\n', 'o = ', '\n  ', 'b: ', '$', '\\'];
const anyText = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 16 }).map((text) => `[x]\n${text.join('')}`);

function ours(text: string): unknown {
  try {
    return Object.fromEntries(
      [...parseIni(text, '', 'conf')].flatMap(([section, options]) => [...options].map(([name, values]) => [`${section}/${name}`, values.at(-1)])),
    );
  } catch {
    return null;
  }
}

test('each of many random texts says what oslo.config reads in it, or is refused as oslo.config refuses it', () => {
  const texts = fc.sample(anyText, 5000);
  const { stdout, stderr } = spawnSync('/usr/bin/python3', ['-c', program], {
    input: `${texts.map((text) => JSON.stringify(text)).join('\n')}\n`,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  const theirs = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as [string, string][] | null)
    .map((pairs) => pairs && Object.fromEntries(pairs));
  expect(theirs.filter((read) => read !== null).length).toBeGreaterThan(500);
  expect(texts.map((text) => [text, ours(text)])).toEqual(texts.map((text, index) => [text, theirs[index]]));
});

/** A Python program. It prints the value of `[calico] name`, as oslo.config has it of the default file and directory that are its first two arguments and of the command line behind them. */
const lookUp = `
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt('name', default='unset'), cfg.StrOpt('place', default='unset')], 'calico')
conf(sys.argv[3:], default_config_files=[sys.argv[1]], default_config_dirs=[sys.argv[2]])
print(conf.calico.name)
`;

const options = inSection('calico', { name: row(text, 'unset', ''), place: row(text, 'unset', '') });

test('files, directories and the environment count in the order in which oslo.config has them count', () => {
  const root = mkdtempSync(join(tmpdir(), 'oslo-'));
  try {
    const write = (name: string): string => {
      writeFileSync(join(root, name), `[calico]\nname = ${name}\nplace = $name\n`);
      return join(root, name);
    };
    for (const directory of ['default.d', 'site.d']) mkdirSync(join(root, directory));
    const [defaultFile, file] = [write('default.conf'), write('file.conf')];
    for (const name of ['default.d/a.conf', 'site.d/b.conf', 'site.d/a.conf', 'site.d/.z.conf', 'site.d/z.txt']) write(name);
    const [defaultDirectory, directory] = [join(root, 'default.d'), join(root, 'site.d')];
    const [inFile, inDirectory] = [{ kind: 'file', path: file } as const, { kind: 'directory', path: directory } as const];
    const cases: readonly (readonly [readonly GivenPath[], Record<string, string>])[] = [
      [[], {}],
      [[inFile], {}],
      [[inDirectory], {}],
      [[inFile, inDirectory], {}],
      [[inDirectory, inFile], {}],
      [[inFile], { OS_CALICO__NAME: 'environment' }],
      [[inFile], { OS_CALICO__NAME: '$place/x', OS_CALICO__PLACE: 'p' }],
      [[inFile], { os_calico__name: 'small' }],
    ];
    const theirs = cases.map(([given, environment]) => {
      const words = given.flatMap(({ kind, path }) => [kind === 'file' ? '--config-file' : '--config-dir', path]);
      const { stdout, stderr } = spawnSync('/usr/bin/python3', ['-c', lookUp, defaultFile, defaultDirectory, ...words], { encoding: 'utf8', env: environment });
      expect(stderr).toBe('');
      return stdout.trim();
    });
    const ours = cases.map(([given, environment]) => {
      const files = configFilesOf(given, { files: [defaultFile], directories: [defaultDirectory] });
      return resolveOptions(
        options,
        confTexts(
          files.map((path) => ({ path, ini: readIni(path, 'conf') })),
          {},
          environment,
        ),
      ).values.name;
    });
    expect(ours).toEqual(theirs);
    expect(new Set(theirs).size).toBeGreaterThan(4);
  } finally {
    rmSync(root, { recursive: true });
  }
});
