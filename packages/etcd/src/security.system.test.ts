import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connectEtcd } from './client.ts';
import { EtcdError } from './errors.ts';
import { type TestCertificates, testCertificates } from './testing/certificates.ts';
import { cuttableProxy } from './testing/cuttable-proxy.ts';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';
import { recorder } from './testing/recorder.ts';
import type { Etcd, EtcdOptions } from './types.ts';

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(() => 'no error').catch((error: unknown) => (error instanceof EtcdError ? error.code : error));
const rootPassword = 'correct horse';

let certificates: TestCertificates;
let server: EtcdProcess;
const clients: Etcd[] = [];
const warnings: Error[] = [];
const onWarning = (warning: Error): void => void warnings.push(warning);

/** A client with valid certificates and password, except for what `change` replaces. */
function client(change: (options: Required<Omit<EtcdOptions, 'onWarning'>>) => EtcdOptions = (options) => options): Etcd {
  const { caFile, clientCertFile: certFile, clientKeyFile: keyFile } = certificates;
  const opened = connectEtcd(change({ endpoints: [server.endpoint], caFile, certFile, keyFile, username: 'root', password: rootPassword, timeoutMs: 2_000 }));
  clients.push(opened);
  return opened;
}

beforeAll(async () => {
  process.on('warning', onWarning);
  certificates = testCertificates();
  server = await startEtcd({ tls: certificates, rootPassword });
  const root = client();
  await root.transact(
    [],
    [
      { put: '/open/1', value: '1' },
      { put: '/shut/1', value: '1' },
    ],
  );
  await server.etcdctl('role', 'add', 'reader');
  await server.etcdctl('role', 'grant-permission', 'reader', 'read', '/open/', '--prefix');
  await server.etcdctl('user', 'add', 'agent:secret');
  await server.etcdctl('user', 'grant-role', 'agent', 'reader');
});
afterEach(() => {
  for (const opened of clients.splice(0)) opened.close();
});
afterAll(async () => {
  process.off('warning', onWarning);
  await server?.stop();
  certificates?.remove();
});

describe('an etcd with certificates and users', () => {
  test('serves a client with a certificate and the password, and Node prints no warning about the address in the URL', async () => {
    expect((await client().get('/shut/1')).found).toBeDefined();
    expect((await client((options) => ({ ...options, endpoints: [`https://localhost:${server.clientPort}`] })).get('/shut/1')).found).toBeDefined();
    expect(warnings).toEqual([]);
  });

  test.each<[string, (options: Required<Omit<EtcdOptions, 'onWarning'>>) => EtcdOptions, string, RegExp]>([
    ['a wrong password', (options) => ({ ...options, password: 'wrong' }), 'ETCD_DENIED', /./],
    ['an unknown user', (options) => ({ ...options, username: 'nobody' }), 'ETCD_DENIED', /./],
    ['no user', ({ username, password, ...options }) => options, 'ETCD_DENIED', /./],
    ['a user for a key outside its role', (options) => ({ ...options, username: 'agent', password: 'secret' }), 'ETCD_DENIED', /./],
    [
      'an authority that did not sign the server',
      (options) => ({ ...options, caFile: options.certFile }),
      'ETCD_UNAVAILABLE',
      /name who signed etcd's certificate/,
    ],
    [
      'no certificate',
      ({ certFile, keyFile, ...options }) => options,
      'ETCD_UNAVAILABLE',
      /certificate( required)?; etcd asks for a client certificate: give its file/,
    ],
    [
      'http instead of https',
      (options) => ({ ...options, endpoints: [server.endpoint.replace('https', 'http')] }),
      'ETCD_UNAVAILABLE',
      /see whether etcd speaks http there, or only https/,
    ],
  ])('is not opened by %s', async (_, change, code, sentence) => {
    await expect(client(change).get('/shut/1')).rejects.toMatchObject({ code, message: expect.stringMatching(sentence) });
  });

  test('a server whose certificate is for another address is not trusted', async () => {
    const elsewhere = testCertificates('', ['IP:127.0.0.9', 'DNS:etcd']);
    const other = await startEtcd({ tls: elsewhere });
    const { caFile, clientCertFile: certFile, clientKeyFile: keyFile } = elsewhere;
    const etcd = connectEtcd({ endpoints: [other.endpoint], caFile, certFile, keyFile, timeoutMs: 1_000 });
    const error: unknown = await etcd.get('/a').catch((each: unknown) => each);
    expect(error instanceof EtcdError && [error.code, error.message]).toEqual([
      'ETCD_UNAVAILABLE',
      expect.stringMatching(/127\.0\.0\.1 is not in the cert's list/),
    ]);
    etcd.close();
    await other.stop();
    elsewhere.remove();
  });

  test.each<[string, (options: Required<Omit<EtcdOptions, 'onWarning'>>) => EtcdOptions]>([
    ['a file that is not there', (options) => ({ ...options, caFile: '/nonexistent/ca.pem' })],
    ['a file that is no certificate', (options) => ({ ...options, certFile: options.keyFile })],
    ['a certificate without its key', ({ keyFile, ...options }) => options],
  ])('options with %s are said to be wrong at once', (_, change) => {
    expect(() => client(change)).toThrow(expect.objectContaining({ code: 'ETCD_MISCONFIGURED' }));
  });

  test('a role gives access to what it grants; a follower of more than that is lost until the role grants it', async () => {
    const agent = client((options) => ({ ...options, username: 'agent', password: 'secret' }));
    expect((await agent.range('/open/')).found).toHaveLength(1);
    expect(await codeOf(agent.transact([], [{ put: '/open/1', value: '2' }]))).toBe('ETCD_DENIED');
    const told = recorder();
    agent.follow(['/later/'], told);
    await told.until(({ states }) => states.includes('lost'));
    expect(told.reasons.at(-1)).toMatch(/^ETCD_DENIED: .*permission denied/);
    await server.etcdctl('role', 'grant-permission', 'reader', 'read', '/later/', '--prefix');
    await told.until(({ states }) => states.at(-1) === 'following');
  });

  test('an expired token is renewed for calls and for watches without an error, and an open watch outlives it', async () => {
    const own = await startEtcd({ rootPassword, options: ['--auth-token-ttl', '1', '--log-level', 'debug'] });
    const proxy = await cuttableProxy(own.clientPort);
    const [root, cutOff] = [own.endpoint, `http://127.0.0.1:${proxy.port}`].map((endpoint) =>
      client(() => ({ endpoints: [endpoint], username: 'root', password: rootPassword })),
    );
    const told = recorder();
    // Waiting starts before there is a token, because the token may expire while the test is still busy.
    const bothExpired = own.logged(/deleted a simple token/, 2);
    cutOff!.follow(['/a/'], told);
    await told.until(({ states }) => states.at(-1) === 'following');
    await root!.transact([], [{ put: '/a/1', value: '' }]);
    await bothExpired;
    const expiredAgain = own.logged(/deleted a simple token/);
    await root!.transact([], [{ put: '/a/living', value: '' }]);
    await told.until(({ held }) => held.has('/a/living'));
    await expiredAgain;
    await proxy.cut();
    await told.until(({ states }) => states.at(-1) === 'lost');
    await root!.transact([], [{ put: '/a/again', value: '' }]);
    await proxy.restore();
    await told.until(({ held }) => held.has('/a/again'));
    expect(told.inSyncs).toBe(1);
    await proxy.close();
    await own.stop();
  });

  test('a restarted etcd knows no token any more, so the client logs in again', async () => {
    const root = client();
    const told = recorder();
    root.follow(['/open/'], told);
    await told.until(({ states }) => states.at(-1) === 'following');
    await server.kill();
    await server.restart();
    await root.transact([], [{ put: '/open/restarted', value: '' }]);
    await told.until(({ held }) => held.has('/open/restarted'));
  });
});

test('an etcd without TLS that is called by https is reported with what may be wrong', async () => {
  const plain = await startEtcd({});
  const etcd = connectEtcd({ endpoints: [plain.endpoint.replace('http:', 'https:')], timeoutMs: 2_000 });
  clients.push(etcd);
  await expect(etcd.get('/a')).rejects.toMatchObject({ message: expect.stringContaining('see whether etcd speaks https there, or only http') });
  await plain.stop();
});

test('after an etcd was replaced by an empty one at the same address, the old token is used for one call at most', async () => {
  const emptied = await startEtcd({ rootPassword });
  const etcd = connectEtcd({ endpoints: [emptied.endpoint], username: 'root', password: rootPassword, timeoutMs: 2_000 });
  clients.push(etcd);
  for (let count = 0; count < 50; count += 1) await etcd.transact([], [{ put: '/open/1', value: `${count}` }]); // its log is longer than the new one's will be
  await emptied.kill();
  emptied.forget();
  await emptied.restart();
  const told = recorder();
  etcd.follow(['/open/'], told);
  await codeOf(etcd.get('/open/1'));
  expect((await etcd.get('/open/1')).found).toBeUndefined();
  await told.until(({ states }) => states.at(-1) === 'following');
  await emptied.stop();
});

test('a client that was there before etcd asked for users goes on, its calls, watches and leases too, when etcd begins to ask', async () => {
  const server = await startEtcd({});
  await server.etcdctl('user', 'add', 'agent:secret');
  await server.etcdctl('role', 'add', 'agent');
  await server.etcdctl('role', 'grant-permission', 'agent', 'readwrite', '/a/', '--prefix');
  await server.etcdctl('user', 'grant-role', 'agent', 'agent');
  const etcd = connectEtcd({ endpoints: [server.endpoint], username: 'agent', password: 'secret', timeoutMs: 5_000 });
  const told = recorder();
  etcd.follow(['/a/'], told);
  await told.until(({ states }) => states.at(-1) === 'following');
  const lease = await etcd.grantLease(60);
  await etcd.transact([], [{ put: '/a/leased', value: '1', lease: lease.id }]);
  await told.until(({ held }) => held.has('/a/leased'));
  await server.etcdctl('user', 'add', 'root:root');
  await server.etcdctl('user', 'grant-role', 'root', 'root');
  await server.etcdctl('auth', 'enable');
  expect(await lease.keepAlive()).toBe(true);
  await etcd.transact([{ key: '/a/leased', exists: true }], [{ put: '/a/2', value: '1' }]);
  await told.until(({ held }) => held.has('/a/2'));
  await etcd.transact([], [{ put: '/a/leased', value: '2', lease: lease.id }]);
  await lease.revoke();
  await told.until(({ held }) => !held.has('/a/leased'));
  expect(told.states).toEqual(['reading', 'following']);
  etcd.close();
  await server.stop();
});
