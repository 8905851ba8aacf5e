import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inNamespace } from '../netlink/namespace.ts';
import { readSysctl, SysctlError, writeSysctl } from './sysctl.ts';

const namespace = `sysctl-${process.pid}`;
beforeAll(() => {
  execFileSync('ip', ['netns', 'add', namespace]);
  execFileSync('ip', ['-n', namespace, 'link', 'add', 'eth0.100', 'type', 'ifb']);
});
afterAll(() => execFileSync('ip', ['netns', 'del', namespace]));

const read = (...path: readonly string[]): string | undefined => inNamespace(namespace, () => readSysctl(path));
const write = (value: string | number, ...path: readonly string[]): string => inNamespace(namespace, () => writeSysctl(path, value));

test('a link’s setting is written in the thread’s namespace, and then it is unchanged', () => {
  const path = ['net', 'ipv4', 'conf', 'eth0.100', 'proxy_arp'];
  expect(read(...path)).toBe('0');
  expect(write(1, ...path)).toBe('written');
  expect(read(...path)).toBe('1');
  expect(write(1, ...path)).toBe('unchanged');
  expect(readSysctl(path)).toBeUndefined(); // outside there is no such link
});

test('the settings of a link that is not there are absent', () => {
  expect(write(1, 'net', 'ipv4', 'conf', 'tap9', 'proxy_arp')).toBe('absent');
  expect(write(1, 'net', 'ipv6', 'conf', 'tap9', 'proxy_ndp')).toBe('absent');
});

test('a value that the kernel refuses is an error with a name', () => {
  expect(() => write('several', 'net', 'ipv4', 'conf', 'eth0.100', 'proxy_arp')).toThrow(SysctlError);
  expect(() => write('several', 'net', 'ipv4', 'conf', 'eth0.100', 'proxy_arp')).toThrow('net/ipv4/conf/eth0.100/proxy_arp cannot be set to several: EINVAL');
});
