// Tests the command with a real etcd: what it creates, what it prints, and what it does not touch.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { etcdUserName, felixStatusKey } from '@calico-openstack/datamodel';
import { connectEtcd, EtcdError } from '@calico-openstack/etcd';
import { testCertificates } from '@calico-openstack/etcd/testing/certificates';
import { type EtcdProcess, startEtcd } from '@calico-openstack/etcd/testing/etcd-process';
import { connectEtcdUsers, type EtcdUsers } from '@calico-openstack/etcd/users';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { calicoOpenstack, passwordFile } from '../testing/calico-openstack.ts';

const cleanups: (() => unknown)[] = [];
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'etcd-roles-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  rmSync(directory, { recursive: true });
});

async function started(...options: Parameters<typeof startEtcd>): Promise<EtcdProcess> {
  const server = await startEtcd(...options);
  cleanups.push(() => server.stop());
  return server;
}

/** All of etcd's users and roles, as text that can be compared. */
async function everything(server: EtcdProcess, password?: string): Promise<string> {
  const etcd: EtcdUsers = connectEtcdUsers({ endpoints: [server.endpoint], ...(password !== undefined && { username: 'root', password }) });
  const lines: string[] = [];
  for (const role of [...(await etcd.roles())].sort()) {
    if (role !== 'root') for (const { access, from, to } of await etcd.permissionsOf(role)) lines.push(`role ${role} ${access} ${from} ${to}`);
  }
  for (const user of [...(await etcd.users())].sort()) lines.push(`user ${user} ${(await etcd.rolesOf(user)).join(',')}`);
  etcd.close();
  return lines.join('\n');
}

const hosts = ['--host', 'compute-1', 'compute-2'];
const userCount = 7;

describe('etcd-roles', () => {
  test('makes in etcd what its printed commands make', async () => {
    const [applied, scripted] = [await started(), await started()];
    await calicoOpenstack('etcd-roles', ...hosts, '--region', 'r1', '--remove-hosts-gone', '--apply', '--endpoints', applied.endpoint);
    const script = (await calicoOpenstack('etcd-roles', ...hosts, '--region', 'r1', '--remove-hosts-gone')).join('\n');
    await promisify(execFile)('sh', ['-ec', script], { env: { ...process.env, ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: scripted.endpoint } });
    expect(await everything(applied)).toMatch(/role calico-felix\.compute-1 readwrite/);
    expect(await everything(scripted)).toBe(await everything(applied));
  });

  test('run twice changes nothing the second time, and says what it changed the first', async () => {
    const server = await started({ rootPassword: 'root' });
    const run = (...further: string[]): Promise<readonly string[]> =>
      calicoOpenstack(
        'etcd-roles',
        ...hosts,
        ...['--endpoints', server.endpoint, '--user', 'root', '--password-file', passwordFile(directory, 'root')],
        ...['--passwords', join(directory, 'passwords'), ...further],
      );
    const first = await run('--apply');
    expect(first).toEqual(expect.arrayContaining(['user calico-felix.compute-1: made', 'role calico-neutron-driver: made']));
    const made = await everything(server, 'root');
    expect(await run('--apply')).toEqual([`nothing to change: ${userCount} users are as they should be`]);
    expect(await run()).toEqual([]);

    // Changes that others made in a role of ours are undone, but further roles of a user stay.
    await server.etcdctl('role', 'revoke-permission', 'calico-felix.compute-1', '/calico/resources/v3/projectcalico.org/', '--prefix');
    await server.etcdctl('role', 'grant-permission', 'calico-felix.compute-1', 'readwrite', '/calico/', '--prefix');
    await server.etcdctl('role', 'add', 'operators');
    await server.etcdctl('user', 'grant-role', 'calico-felix.compute-2', 'operators');
    expect(await run('--apply')).toEqual([
      'role calico-felix.compute-1: may read /calico/resources/v3/projectcalico.org/…',
      'role calico-felix.compute-1: may nothing any more with /calico/…',
      `2 changes for ${userCount} users`,
    ]);
    expect((await everything(server, 'root')).replace('calico-felix.compute-2,operators', 'calico-felix.compute-2')).toBe(made);
  });

  test('tells no password: each is in a file, and opens etcd', async () => {
    const server = await started({ rootPassword: 'root' });
    const passwords = join(directory, 'passwords');
    const administrator = ['--user', 'root', '--password-file', passwordFile(directory, 'root')];
    const run = (): Promise<readonly string[]> =>
      calicoOpenstack('etcd-roles', ...hosts, '--apply', '--endpoints', server.endpoint, ...administrator, '--passwords', passwords);
    const said = (await run()).join('\n');
    expect(readdirSync(passwords)).toHaveLength(userCount);
    const user = etcdUserName('calico-felix', 'compute-1');
    const opens = async (): Promise<boolean> => {
      const etcd = connectEtcd({ endpoints: [server.endpoint], username: user, password: readFileSync(join(passwords, user), 'utf8').trim() });
      const answer = await etcd.transact([], [{ put: felixStatusKey(undefined, 'compute-1'), value: '' }]).then(
        () => true,
        () => false,
      );
      etcd.close();
      return answer;
    };
    expect(await opens()).toBe(true);
    for (const file of readdirSync(passwords)) expect(said).not.toContain(readFileSync(join(passwords, file), 'utf8').trim());
    // Removing a user's password file requests a new password.
    const before = readFileSync(join(passwords, user), 'utf8');
    rmSync(join(passwords, user));
    expect(await run()).toEqual([`user ${user}: has the password of its file`, `1 changes for ${userCount} users`]);
    expect(readFileSync(join(passwords, user), 'utf8')).not.toBe(before);
    expect(await opens()).toBe(true);
  });

  test('without passwords, users are known by the common names of their certificates', async () => {
    const certificates = testCertificates('root');
    cleanups.push(() => certificates.remove());
    const server = await started({ tls: certificates, rootPassword: 'root' });
    const administrator = ['--cacert', certificates.caFile, '--cert', certificates.clientCertFile, '--key', certificates.clientKeyFile];
    await calicoOpenstack('etcd-roles', ...hosts, '--apply', '--endpoints', server.endpoint, ...administrator);
    const { certFile, keyFile } = certificates.client(etcdUserName('calico-felix', 'compute-1'));
    const felix = connectEtcd({ endpoints: [server.endpoint], caFile: certificates.caFile, certFile, keyFile });
    cleanups.push(() => felix.close());
    const write = (host: string): Promise<unknown> =>
      felix.transact([], [{ put: felixStatusKey(undefined, host), value: '' }]).then(
        () => 'done',
        (error: unknown) => (error instanceof EtcdError ? error.code : error),
      );
    expect([await write('compute-1'), await write('compute-2')]).toEqual(['done', 'ETCD_DENIED']);
  });

  test('says that users are not enforced yet, where they are not', async () => {
    const server = await started();
    expect((await calicoOpenstack('etcd-roles', ...hosts, '--apply', '--endpoints', server.endpoint)).at(-1)).toMatch(/etcdctl auth enable$/);
  });

  test.each<[string, readonly string[], number, RegExp]>([
    ['without hosts', [], 1, /^calico-openstack: no compute host is given: name each with --host/],
    ['with an unknown part', ['--host', 'a', '--part', 'felix'], 2, /Allowed choices are calico-felix/],
    ['with an etcd that is not there', ['--host', 'a', '--endpoints', 'http://127.0.0.1:1'], 1, /^calico-openstack: cannot list the users: no etcd endpoint/],
    [
      'with a file of hosts that is not there',
      ['--hosts-file', '/nonexistent'],
      1,
      /^calico-openstack: cannot read the hosts of \/nonexistent: it does not exist/,
    ],
  ])('%s ends with a sentence', async (_, args, code, sentence) => {
    await expect(calicoOpenstack('etcd-roles', ...args)).rejects.toMatchObject({ code, stderr: expect.stringMatching(sentence) });
  });
});
