// When the agent cannot start, it prints a sentence that says what to do, and no stack. Each process has a network namespace of its own.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const program = new URL('bin/calico-felix.ts', import.meta.url).pathname;
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'felix-start-'));
  writeFileSync(join(directory, 'file'), '');
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Starts the agent with these settings and without these capabilities. Then lists the tables of its network namespace. */
function start(settings: Readonly<Record<string, string>>, capabilities = '+all') {
  const script = 'setpriv --bounding-set "$1" "$2" "$3"; echo "exit $?"; nft list tables';
  const environment = Object.fromEntries(Object.entries(settings).map(([name, value]) => [`FELIX_${name.toUpperCase()}`, value]));
  const { stdout, stderr } = spawnSync('unshare', ['--net', 'sh', '-c', script, 'sh', capabilities, process.execPath, program], {
    encoding: 'utf8',
    timeout: 180_000,
    env: { ...process.env, FELIX_FELIXHOSTNAME: 'host0', FELIX_ETCDENDPOINTS: 'https://127.0.0.1:1', FELIX_LOGFILEPATH: 'none', ...environment },
  });
  return { stdout, stderr };
}

test.each<[string, () => Readonly<Record<string, string>>, RegExp]>([
  [
    'a missing CA file',
    () => ({ EtcdCaFile: '/nonexistent/ca.pem' }),
    /^calico-felix: cannot read the authorities' file for etcd: \/nonexistent\/ca\.pem: it does not exist \(ENOENT\); correct its name or its rights\n$/,
  ],
  [
    'a key without its certificate',
    () => ({ EtcdKeyFile: join(directory, 'file') }),
    /^calico-felix: .*key \S+ for etcd is given without a certificate; .*\n$/,
  ],
  ['a log file that is a directory', () => ({ LogFilePath: directory }), /^calico-felix: cannot write the log file \S+: it is a directory \(EISDIR\); .*\n$/],
  [
    'a log file below a file',
    () => ({ LogFilePath: join(directory, 'file', 'felix.log') }),
    /^calico-felix: cannot write the log file \S+: a part of its path is no directory \(\w+\); .*\n$/,
  ],
])('%s ends the start with a sentence, before the kernel is touched', (_, settings, sentence) => {
  const { stdout, stderr } = start(settings());
  expect(stderr).toMatch(sentence);
  expect(stdout).toMatch(/exit 1\n$/); // no table is listed after it
});

test('without CAP_NET_ADMIN the start ends with a sentence', () => {
  const { stdout, stderr } = start({}, '-net_admin');
  expect(stderr).toMatch(/^calico-felix: the kernel does not take nftables rules for this process: .*EPERM.*; start it as root or with CAP_NET_ADMIN, .*\n$/);
  expect(stdout).toMatch(/exit 1\n$/);
});
