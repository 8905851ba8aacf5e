// Checks that the comments of every room follow CONTRIBUTING ("Plain English"), as far as a program can see it.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** The folders of all rooms with TypeScript: the workspaces, and the three rooms that are no npm packages. */
const rooms = [
  ...globSync((JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { workspaces: string[] }).workspaces, { cwd: root }),
  'devstack',
  'packaging',
  'tools',
].toSorted();

const isGenerated = (path: string): boolean => /(^|\/)(node_modules|dist)$/.test(path);

/** This file, which holds examples of what it looks for. */
const own = 'tools/comments.test.ts';

type Line = { readonly at: string; readonly text: string; readonly before: string };

/** The line above the line `index`, without the lint's own comments, which stand between a doc comment and its export. */
function lineAbove(lines: readonly string[], index: number): string {
  let above = index - 1;
  while (/^\s*\/\/ biome-ignore /.test(lines[above] ?? '')) above -= 1;
  return lines[above] ?? '';
}

/** Every line of a room's files, with the line above it. */
function linesOf(room: string): Line[] {
  const files = globSync(`${room}/**/*.ts`, { cwd: root, exclude: isGenerated });
  return files.toSorted().flatMap((file) => {
    if (file === own) return [];
    const lines = readFileSync(join(root, file), 'utf8').split('\n');
    return lines.map((text, index) => ({ at: `${file}:${index + 1}`, text, before: lineAbove(lines, index) }));
  });
}

/** Whether a line is in a test or its support, whose exports need no doc comment, because nobody who uses the room reads them. */
const isOfTests = ({ at }: Line): boolean => /\.test\.ts:|\/testing\//.test(at);

const placesOf = (lines: readonly Line[]): string[] => lines.map(({ at, text }) => `${at} ${text.trim()}`);

/** Something that another file can import. A list of re-exports needs no comment of its own. */
const isExport = ({ text }: Line): boolean => /^export (?:abstract |async |declare )*(?:function\*?|const|let|class|interface|type|enum) (?![{*])/.test(text);

/** The comment in a line, without its marks; empty when the line has none. */
const commentIn = (text: string): string => /^\s*(?:\/\*\*?|\*(?!\/)|\/\/)(.*)/.exec(text)?.[1] ?? /\s\/\/ (.*)/.exec(text)?.[1] ?? '';

/** Phrases that a reader who is new has to guess at (CONTRIBUTING, "Plain English"). */
const isPrivate = ({ text }: Line): boolean =>
  /\bundefined: |\btold\b|\blooked at\b|\bcomes to\b|\bno longer so\b/.test(commentIn(text).replaceAll(/`[^`]*`/g, ''));

/** The public functions, classes and methods of a Python file that have no docstring. ML2's calls before and after a commit have their description in Neutron. */
function withoutDocstring(python: string): string[] {
  const lines = python.split('\n');
  return lines.filter((line, index) => {
    if (!/^(?:(?:def|class) (?!_)| {4}def (?!_)\w+(?<!_precommit|_postcommit)\((?=self[,)]|$))/.test(line)) return false;
    const end = lines.findIndex((later, at) => at >= index && /:(?:\s*#.*)?$/.test(later));
    return !/^\s*r?"""/.test(lines[end + 1] ?? '');
  });
}

describe.each(rooms)('%s', (room) => {
  const lines = linesOf(room);

  test('it has files', () => {
    expect(lines.length).toBeGreaterThan(0);
  });

  test('every export has a doc comment', () => {
    expect(placesOf(lines.filter((line) => isExport(line) && !isOfTests(line) && !line.before.trimEnd().endsWith('*/')))).toEqual([]);
  });

  test('a doc comment stands on a line of its own, above what it is about', () => {
    expect(placesOf(lines.filter(({ text }) => /\S.*\/\*\* .*\*\//.test(text) && !/^\s*\/\*\*/.test(text)))).toEqual([]);
  });

  test('a subject has one doc comment', () => {
    expect(placesOf(lines.filter(({ text, before }) => /^\s*\/\*\*/.test(text) && before.trimEnd().endsWith('*/')))).toEqual([]);
  });

  test('comments say who does what', () => {
    expect(placesOf(lines.filter((line) => isPrivate(line)))).toEqual([]);
  });

  test('no comment refers to a page outside the repository', () => {
    expect(placesOf(lines.filter(({ text }) => /\b(?:peer|reference)\/\w+\.md\b|\blearnt\.md\b/.test(text)))).toEqual([]);
  });
});

test.each(globSync(['neutron/{*,calico_openstack/*}.py', 'lab/**/*.py'], { cwd: root }).toSorted())('what is public in %s has a docstring', (file) => {
  expect(withoutDocstring(readFileSync(join(root, file), 'utf8'))).toEqual([]);
});

test('a missing docstring is found', () => {
  const python =
    'def a(x: int) -> int:\n    """A."""\n\ndef b(\n    x: int,\n) -> int:\n    return x\n\nclass C:\n    def d(self) -> None:\n        """D."""\n    def _e(self) -> None:\n        pass\n    def f_postcommit(self) -> None:\n        pass\n';
  expect(withoutDocstring(python)).toEqual(['def b(', 'class C:']);
});

test('private phrases are found in comments alone', () => {
  const found = (text: string): boolean => isPrivate({ at: '', text, before: '' });
  expect(['/** The name; undefined: none. */', 'a(); // nobody was told', ' * what is looked at', '// it comes to this'].map(found)).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(['const told = 1;', "log('https://a.example/told');", '/** Undefined when there is none. */'].map(found)).toEqual([false, false, false]);
});

test('the lint’s own comments do not come between a doc comment and its export', () => {
  const lines = ['/** A. */', '// biome-ignore lint/x: reason', 'export function a() {', '// why', 'export const b = 1;'];
  expect([2, 4].map((index) => lineAbove(lines, index))).toEqual(['/** A. */', '// why']);
});

test('the rules do find what they look for', () => {
  const line = (text: string, before = ''): Line => ({ at: '', text, before });
  expect(['export const a = 1;', 'export async function b() {', 'export type C = 1;', 'export abstract class D {'].map((text) => isExport(line(text)))).toEqual(
    [true, true, true, true],
  );
  expect(
    [`export * from './a.ts';`, `export { a } from './b.ts';`, `export type { A } from './b.ts';`, `export type * from './b.ts';`, 'const a = 1;'].map((text) =>
      isExport(line(text)),
    ),
  ).toEqual([false, false, false, false, false]);
});
