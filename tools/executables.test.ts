// What every executable of the project does alike: `--help`, `--version`, `--check-config`.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
const directory = mkdtempSync(join(tmpdir(), 'executables-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Name and source of everything that a room's package.json calls an executable. */
const executables = readdirSync(join(root, 'packages')).flatMap((room) => {
  const { bin = {} } = JSON.parse(readFileSync(join(root, 'packages', room, 'package.json'), 'utf8')) as { bin?: Record<string, string> };
  return Object.keys(bin).map((name) => [name, join(root, 'packages', room, 'src/bin', `${name}.ts`)] as const);
});

/** The operator's tools have no configuration file: their command lines say what they are to do. */
const tools = { 'calico-diags': '--output', 'calico-openstack': 'etcd-roles' };
const configured = executables.filter(([name]) => !(name in tools));

/** An address of etcd where nothing listens. */
const closedPort = 'https://127.0.0.1:1';

/** Options with which each would start, and would write into `directory` if it did; and one that none may start with. */
function configuration(name: string, { etcd }: { readonly etcd: 'right' | 'wrong' | 'without certificate' }): string {
  const isCfg = name === 'calico-felix' || name === 'calico-bird-agent';
  const file = join(directory, `${name}.${isCfg ? 'cfg' : 'conf'}`);
  const endpoint = etcd === 'wrong' ? 'nowhere' : closedPort;
  const certificate = etcd === 'without certificate' ? '/nonexistent/ca.pem' : '';
  const texts = isCfg
    ? [
        '[global]',
        `EtcdEndpoints = ${endpoint}`,
        `EtcdCaFile = ${certificate}`,
        'EtcdPassword = hunter2',
        'HealthEnabled = perhaps',
        `LogFilePath = ${directory}/touched`,
      ]
    : [
        '[DEFAULT]',
        `state_path = ${directory}/touched`,
        `log_file = ${directory}/touched.log`,
        'dhcp_broadcast_reply = perhaps',
        '[calico]',
        `etcd_endpoints = ${endpoint}`,
        `etcd_ca_cert_file = ${certificate}`,
        'etcd_timeout = 1',
        'etcd_password = hunter2',
        'num_port_status_threads = perhaps',
        `neutron_driver_log_file = ${directory}/touched.log`,
      ];
  writeFileSync(file, `${texts.join('\n')}\n`);
  return file;
}

describe.each(configured)('%s', (name, source) => {
  const asksEtcd = name !== 'calico-resync'; // which asks the daemon
  function run(...words: readonly string[]) {
    const { ETCD_ENDPOINTS: _, ...environment } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, [source, ...words], { encoding: 'utf8', env: environment });
    return { status, stdout, stderr };
  }

  test('--version says the version', () => expect(run('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' }));

  test('--help names the options of the command line', () => {
    const { status, stdout } = run('--help');
    expect(status).toBe(0);
    for (const option of ['--config-file', '--check-config', '--version']) expect(stdout).toContain(option);
  });

  test('--check-config says what is in force and from where, what is wrong and that etcd does not answer, touches nothing, and exits with 1', () => {
    const file = configuration(name, { etcd: 'right' });
    const { status, stdout, stderr } = run('--check-config', '--config-file', file);
    expect(stderr).toMatch(new RegExp(`^${name}: .*is "perhaps" in ${file}: it must be .*$`, 'm'));
    expect(stdout).toContain(`${closedPort} (${file})\n`);
    expect(/^.*: the datastore has not been read, so the report covers this host alone: cannot read .*127\.0\.0\.1:1.*$/m.test(stderr)).toBe(asksEtcd);
    expect(stdout).toMatch(/\(default\)$/m);
    expect(stdout + stderr).not.toContain('hunter2');
    expect(status).toBe(1);
    expect(existsSync(join(directory, 'touched')) || existsSync(join(directory, 'touched.log'))).toBe(false);
  });

  test('--check-config exits with 1 where it would not start, with the sentence that the start would end with', () => {
    const { status, stderr } = run('--check-config', '--config-file', configuration(name, { etcd: 'wrong' }));
    expect(stderr).toMatch(/is "nowhere" in .*: it must be http:\/\/host:port .*Correct it there, then start again\.$/m);
    expect(stderr).not.toMatch(/^ +at /m);
    expect(status).toBe(1);
    const missing = run('--check-config', '--config-file', directory);
    expect(missing).toMatchObject({ status: 1, stderr: expect.stringContaining('it is a directory (EISDIR)') });
  });

  test('--check-config looks at the certificates that it would need', () => {
    const { status, stderr } = run('--check-config', '--config-file', configuration(name, { etcd: 'without certificate' }));
    expect(stderr.includes('cannot read') && stderr.includes('/nonexistent/ca.pem')).toBe(asksEtcd);
    expect(status).toBe(1); // for resync, because of the other option
  });
});

test('--check-config exits with 0 where there is nothing to complain of; a directory and the environment count, as for every program of Neutron', () => {
  const source = new Map(executables).get('calico-resync')!;
  const [file, site] = [join(directory, 'clean.conf'), join(directory, 'site.d')];
  mkdirSync(site);
  writeFileSync(file, '[calico]\netcd_port = 1\nproject_name_cache_max = 1\n');
  writeFileSync(join(site, 'site.conf'), '[calico]\netcd_port = 2\n');
  const words = [source, '--check-config', '--config-file', file, '--config-dir', site];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', env: { ...process.env, OS_CALICO__PROJECT_NAME_CACHE_MAX: '3' } });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toContain(`[calico] etcd_port = 2 (${join(site, 'site.conf')})\n`);
  expect(stdout).toContain('[calico] project_name_cache_max = 3 (environment)\n');
});

test.each(Object.entries(tools))('%s has --version and --help', (tool, named) => {
  const source = new Map(executables).get(tool)!;
  const run = (word: string) => spawnSync(process.execPath, [source, word], { encoding: 'utf8' });
  expect(run('--version')).toMatchObject({ status: 0, stdout: `${version}\n` });
  expect(run('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining(named) });
});

test('each of them has been looked at', () =>
  expect(executables.map(([name]) => name).sort()).toEqual([
    'calico-bird-agent',
    'calico-dhcp-agent',
    'calico-diags',
    'calico-felix',
    'calico-neutron-driver',
    'calico-openstack',
    'calico-resync',
  ]));
