import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { operatorsFile } from './operators-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'operators-file-'));
afterAll(() => rmSync(directory, { recursive: true }));
const own = join(directory, 'own.conf');
const state = join(directory, 'state/dhcp');

test('a file that suits both Dnsmasqs is used as it is', () => {
  writeFileSync(own, '# port=53\nlog-facility=-\nport-limit=3\ndhcp-option=option:ntp-server,10.0.0.1\n');
  expect(operatorsFile(own, state)).toEqual({ path: own, leftOut: [] });
});

test('lines that would make both Dnsmasqs use one port or file, or end this one at its start, are left out', () => {
  writeFileSync(own, 'port=5353\nlog-facility=-\n  pid-file\ndhcp-leasefile = /l\n port = 0\nbind-dynamic\ninterface=eth7\n');
  const leftOut = ['port', 'pid-file', 'dhcp-leasefile', 'port', 'bind-dynamic', 'interface'];
  expect(operatorsFile(own, state)).toEqual({ path: join(state, 'operators.conf'), leftOut });
  expect(readFileSync(join(state, 'operators.conf'), 'utf8')).toBe('log-facility=-\n');
  expect(statSync(join(state, 'operators.conf')).mode & 0o777).toBe(0o644);
});

test('a file that cannot be read, or a copy that cannot be written, ends the start with the reason', () => {
  expect(() => operatorsFile('/nonexistent', state)).toThrow('cannot read /nonexistent: it does not exist (ENOENT); correct dnsmasq_config_file');
  expect(() => operatorsFile(own, join(own, 'below'))).toThrow(/^cannot write .*below\/operators\.conf: .*; set dhcp_confs/);
});
