import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configFilesOf } from './config-files.ts';

let root: string;
const at = (...parts: readonly string[]): string => join(root, ...parts);
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'config-files-'));
  for (const directory of ['a.d', 'neutron.conf.d']) mkdirSync(at(directory));
  for (const name of ['a.d/20.conf', 'a.d/10.conf', 'a.d/.hidden.conf', 'a.d/notes.txt', 'neutron.conf.d/site.conf']) writeFileSync(at(name), '');
});
afterAll(() => rmSync(root, { recursive: true }));

const defaults = () => ({ files: ['/etc/neutron/neutron.conf'], directories: [at('neutron.conf.d'), at('absent.d')] });
const site = () => at('neutron.conf.d/site.conf');
const [ten, twenty] = [() => at('a.d/10.conf'), () => at('a.d/20.conf')];

test('without anything on the command line, the default file and the default directories that exist count', () =>
  expect(configFilesOf([], defaults())).toEqual(['/etc/neutron/neutron.conf', site()]));

test('a file of the command line replaces the default file, a directory of the command line the default directories', () => {
  expect(configFilesOf([{ kind: 'file', path: 'mine' }], defaults())).toEqual([site(), 'mine']);
  expect(configFilesOf([{ kind: 'directory', path: at('a.d') }], defaults())).toEqual(['/etc/neutron/neutron.conf', ten(), twenty()]);
});

test('files and directories count in the order of the command line, a directory by its *.conf in the order of their names', () => {
  const given = [{ kind: 'file', path: 'first' } as const, { kind: 'directory', path: at('a.d') } as const, { kind: 'file', path: 'last' } as const];
  expect(configFilesOf(given, defaults())).toEqual(['first', ten(), twenty(), 'last']);
});

test('a directory of the command line that is not there is a sentence', () =>
  expect(() => configFilesOf([{ kind: 'directory', path: at('absent.d') }], defaults())).toThrow(
    /absent\.d: it does not exist \(ENOENT\); name another one \(--config-dir\)/,
  ));
