import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { breaks } from './breaks.ts';
import { mutantsOf, mutated } from './mutate.ts';
import { allowedSurvivors } from './survivors.ts';
import { filesOf, root, targets } from './targets.ts';

const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');
const changed = (text: string): string[] => mutantsOf(text).map((mutant) => mutated(text, mutant));

describe('the mutants of', () => {
  test.each([
    ['a bound', 'a < b;', ['a <= b;', 'a >= b;', ';']],
    ['an equality', 'f(a === b)', ['f(a !== b)', ';']],
    ['a condition', 'if (a && b) c = 1;', ['if (!(a && b)) c = 1;', 'if (a || b) c = 1;', 'if (a && b) ;', 'if (a && b) c = 2;']],
    ['a choice', 'const x = a ? 1 : 2;', ['const x = !(a) ? 1 : 2;', 'const x = a ? 2 : 2;', 'const x = a ? 1 : 3;']],
    ['a count, and a time', 'f(0, 10_000)', ['f(1, 10_000)', 'f(0, 0)', ';']],
    ['a negation', 'const x = !a;', ['const x = a;']],
    ['a default', 'const x = a ?? b;', ['const x = b;']],
    ['what is waited for', 'await f();', [';', 'void f();']],
    ['a limit', 'const x = Math.min(a, b);', ['const x = Math.max(a, b);']],
    [
      'an early end',
      'function f() { if (a) return; g(); }',
      ['function f() { if (!(a)) return; g(); }', 'function f() { if (a) ; g(); }', 'function f() { if (a) return; ; }'],
    ],
  ])('%s', (_, text, expected) => {
    expect(changed(text).toSorted()).toEqual(expected.toSorted());
  });

  test('types, imports, texts and log lines are none', () => {
    expect(changed("import a from './1.ts'; type T = 1 | true; const x: 1 = f<2>('a' + b) as 3;")).toEqual([]);
    expect(changed("log.warn({ n: 1 }, 'x'); const child = log.child({ n: 1 }); if (n > 1) log.info('y');")).toEqual([]);
  });

  test('each says where it is and what was changed', () => {
    expect(mutantsOf('f();\n\nconst x = a <\n b;').map(({ line, what }) => `${line}: ${what}`)).toEqual(['1: f(); → removed', '3: < → <=', '3: < → >=']);
  });
});

test.each(breaks)('the place of the break still is where it was: $what', ({ file, from, to }) => {
  expect(textOf(file).split(from)).toHaveLength(2);
  expect(to).not.toBe(from);
});

test.each(targets)('there are files in $files, each of which has mutants that can be made', (target) => {
  const files = filesOf(target);
  expect(files).not.toEqual([]);
  for (const file of files) expect(() => mutantsOf(textOf(file))).not.toThrow();
});

test('each survivor that is allowed still is a mutant, and has a reason', () => {
  for (const { file, line, what, why } of allowedSurvivors) {
    const text = textOf(file);
    const there = mutantsOf(text).some((mutant) => mutant.what === what && text.split('\n')[mutant.line - 1]!.trim() === line);
    expect([file, line, what, there]).toEqual([file, line, what, true]);
    expect(why.length).toBeGreaterThan(20);
  }
});
