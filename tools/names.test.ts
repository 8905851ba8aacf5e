// Checks that names of times have their unit (CONTRIBUTING, "Names"), as far as a program can see it.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** This file, which holds examples of what it looks for. */
const own = 'tools/names.test.ts';

/** A variable that is set to a reading of a clock or to a sum with one, and a parameter or field with the name of a time. Each has to end with its unit. */
const times = [
  /^\s*(?:const|let) (?<name>\w+) = (?:Date\.now|performance\.now|[\w.#]*\b(?:steadyMs|nowMs))\(\)(?: [-+] [\w.]+)?;/,
  /\b(?<name>now|timeout|delay|interval|duration|elapsed|deadline|patience|age|expiry)\??: number\b/i,
];

/** The names of times in a line that lack their unit. */
const withoutUnit = (line: string): string[] => times.flatMap((time) => time.exec(line)?.groups?.name ?? []).filter((name) => !/(?:Ms|Seconds)$/.test(name));

test('the name of a time has its unit', () => {
  const files = globSync('{packages,lab,bench,tools,packaging,devstack}/**/*.ts', { cwd: root, exclude: (path) => /(^|\/)(node_modules|dist)$/.test(path) });
  const found = files
    .filter((file) => file !== own)
    .flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .flatMap((line, index) => withoutUnit(line).map((name) => `${file}:${index + 1} ${name}`)),
    );
  expect(found).toEqual([]);
});

test('a name without a unit is found', () => {
  expect(
    [
      'const begin = performance.now();',
      'let end = Date.now() + limitMs;',
      'const at = this.#clock.steadyMs();',
      'function wait(timeout: number): void {}',
      '  readonly delay?: number;',
    ].flatMap(withoutUnit),
  ).toEqual(['begin', 'end', 'at', 'timeout', 'delay']);
  expect(
    [
      'const startMs = performance.now();',
      'const seconds = Math.round(performance.now() - startMs) / 1000;',
      'timeoutMs: number',
      'execFileSync(program, { timeout: 100 });',
      'readonly ageSeconds: number',
      'const due = clock.nowMs() > endMs;',
    ].flatMap(withoutUnit),
  ).toEqual([]);
});
