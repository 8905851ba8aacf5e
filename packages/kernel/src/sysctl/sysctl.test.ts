import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readSysctl, SysctlError, writeSysctl } from './sysctl.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sysctl-'));
  mkdirSync(join(root, 'net/ipv4/conf/eth0.100'), { recursive: true });
  writeFileSync(join(root, 'net/ipv4/conf/eth0.100/rp_filter'), '0\n');
  writeFileSync(join(root, 'secret'), 'untouched\n');
});
afterEach(() => rmSync(root, { recursive: true }));

const path = ['net', 'ipv4', 'conf', 'eth0.100', 'rp_filter'] as const;

test('a setting is written only when it has another value', () => {
  const file = join(root, ...path);
  expect(writeSysctl(path, 1, { root })).toBe('written');
  expect(readFileSync(file, 'utf8')).toBe('1\n');
  const long = new Date(0);
  utimesSync(file, long, long);
  expect(writeSysctl(path, '1', { root })).toBe('unchanged');
  expect(statSync(file).mtime).toEqual(long);
});

test('a value that is a list is the same however it is separated', () => {
  writeFileSync(join(root, 'tcp_rmem'), '4096\t131072\t6291456\n');
  expect(writeSysctl(['tcp_rmem'], '4096 131072 6291456', { root })).toBe('unchanged');
});

test('a setting that is not there is absent, and is not made', () => {
  expect(writeSysctl(['net', 'ipv4', 'conf', 'tap1', 'rp_filter'], 1, { root })).toBe('absent');
  expect(readSysctl(['net', 'ipv4', 'conf', 'tap1', 'rp_filter'], { root })).toBeUndefined();
  expect(() => statSync(join(root, 'net/ipv4/conf/tap1'))).toThrow('ENOENT');
});

test.each([['..'], ['.'], [''], ['../../../secret'], ['a/b'], ['/'], ['tap\0']])('a link named %j leads nowhere else', (name) => {
  expect(() => writeSysctl(['net', 'ipv4', 'conf', name, 'secret'], 'gone', { root })).toThrow(RangeError);
  expect(() => readSysctl(['net', 'ipv4', 'conf', name, 'secret'], { root })).toThrow(RangeError);
  expect(readFileSync(join(root, 'secret'), 'utf8')).toBe('untouched\n');
});

test.each(['', '1\n2', '1\0'])('%j is no value', (value) => {
  expect(() => writeSysctl(path, value, { root })).toThrow(RangeError);
});

test('what the kernel refuses is said with the setting’s name', () => {
  expect(() => writeSysctl(['net', 'ipv4'], 1, { root })).toThrow(SysctlError);
  expect(() => writeSysctl(['net', 'ipv4'], 1, { root })).toThrow('the sysctl net/ipv4 cannot be set to 1: EISDIR');
});
