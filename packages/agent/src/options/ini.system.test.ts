// Compares the reader of neutron.conf with oslo.config itself, which every host with Neutron has.

import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseIni } from './ini.ts';

/** A Python program. For each line, a JSON string with the text of a file, it prints what oslo.config reads in it: values by `section/option`, or null when it refuses the text. */
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
        print(json.dumps(reader.options))
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
    .map((line): unknown => JSON.parse(line));
  expect(theirs.filter((read) => read !== null).length).toBeGreaterThan(500);
  expect(texts.map((text) => [text, ours(text)])).toEqual(texts.map((text, index) => [text, theirs[index]]));
});
