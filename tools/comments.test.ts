// Comments are held to what CONTRIBUTING asks for, as far as a program can see it: a ratchet, room by room. A room that is finished stays so.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Rooms whose comments have been gone through. Add the room that you finish; none is ever taken out. */
const finished = [
  'addresses',
  'agent',
  'bird-agent',
  'datamodel',
  'dhcp-agent',
  'etcd',
  'felix',
  'kernel',
  'neutron-driver',
  'operator',
  'oracle',
  'policy',
  'render',
];

type Line = { readonly at: string; readonly text: string; readonly before: string };

/** The line above the line `index`, without the lint's own comments, which stand between a doc comment and its export. */
function lineAbove(lines: readonly string[], index: number): string {
  let above = index - 1;
  while (/^\s*\/\/ biome-ignore /.test(lines[above] ?? '')) above -= 1;
  return lines[above] ?? '';
}

/** Every line of a room's files, with the line above it. */
function linesOf(room: string): Line[] {
  const files = globSync(`packages/${room}/src/**/*.ts`, { cwd: root });
  return files.toSorted().flatMap((file) => {
    const lines = readFileSync(join(root, file), 'utf8').split('\n');
    return lines.map((text, index) => ({ at: `${file}:${index + 1}`, text, before: lineAbove(lines, index) }));
  });
}

/** Whether a line is in a test or its support, whose exports need no doc comment, because nobody who uses the room reads them. */
const isOfTests = ({ at }: Line): boolean => /\.test\.ts:|\/testing\//.test(at);

const placesOf = (lines: readonly Line[]): string[] => lines.map(({ at, text }) => `${at} ${text.trim()}`);

/** Something that another file can import. A list of re-exports needs no comment of its own. */
const isExport = ({ text }: Line): boolean => /^export (?:abstract |async |declare )*(?:function\*?|const|let|class|interface|type|enum) (?![{*])/.test(text);

describe.each(finished)('%s', (room) => {
  const lines = linesOf(room);

  test('every export has a doc comment', () => {
    expect(placesOf(lines.filter((line) => isExport(line) && !isOfTests(line) && !line.before.trimEnd().endsWith('*/')))).toEqual([]);
  });

  test('a doc comment stands on a line of its own, above what it is about', () => {
    expect(placesOf(lines.filter(({ text }) => /\S.*\/\*\* .*\*\//.test(text) && !/^\s*\/\*\*/.test(text)))).toEqual([]);
  });

  test('a subject has one doc comment', () => {
    expect(placesOf(lines.filter(({ text, before }) => /^\s*\/\*\*/.test(text) && before.trimEnd().endsWith('*/')))).toEqual([]);
  });

  test('no comment refers to a page outside the repository', () => {
    expect(placesOf(lines.filter(({ text }) => /\b(?:peer|reference)\/\w+\.md\b|\blearnt\.md\b/.test(text)))).toEqual([]);
  });
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
