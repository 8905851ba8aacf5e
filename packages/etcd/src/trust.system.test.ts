// Which authorities a client trusts, compared with etcd's own Go client, on a real etcd.
import { type ExecFileException, execFile } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectEtcd } from './client.ts';
import { type TestCertificates, testCertificates } from './testing/certificates.ts';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';

let certificates: TestCertificates;
let server: EtcdProcess;
beforeAll(async () => {
  certificates = testCertificates('', undefined, { intermediate: true });
  server = await startEtcd({ tls: certificates });
});
afterAll(async () => {
  await server?.stop();
  certificates?.remove();
});

test('an intermediate authority alone is trusted for what it has signed, as etcdctl does', async () => {
  expect(await server.etcdctl('put', '/a', '1')).toMatch(/OK/);
  const { caFile, clientCertFile: certFile, clientKeyFile: keyFile } = certificates;
  const etcd = connectEtcd({ endpoints: [server.endpoint], caFile, certFile, keyFile });
  expect((await etcd.get('/a')).found).toBeDefined();
  etcd.close();
});

/** Calls etcd without an authorities' file, in a process with this environment. Returns what the process printed. */
function askWithout(environment: NodeJS.ProcessEnv): Promise<string> {
  const { NODE_EXTRA_CA_CERTS: _extra, NODE_OPTIONS: _options, SSL_CERT_FILE: _file, SSL_CERT_DIR: _directory, ...inherited } = process.env;
  const options = { endpoints: [server.endpoint], certFile: certificates.clientCertFile, keyFile: certificates.clientKeyFile, timeoutMs: 5_000 };
  const script = `const { connectEtcd } = await import(${JSON.stringify(new URL('client.ts', import.meta.url).href)});
    await connectEtcd(${JSON.stringify(options)}).status().then(() => console.log('trusted'), ({ code, message }) => console.log(code + ': ' + message));
    process.exit();`;
  return new Promise((resolve, reject) => {
    const done = (error: ExecFileException | null, stdout: string, stderr: string): void => (error ? reject(error) : resolve(stdout + stderr));
    execFile(process.execPath, ['--input-type=module', '-e', script], { env: { ...inherited, ...environment }, encoding: 'utf8' }, done);
  });
}

test('without a file of authorities the system’s store is trusted, at the places where Go and OpenSSL look, and nobody else', async () => {
  expect(await askWithout({ SSL_CERT_FILE: certificates.caFile })).toBe('trusted\n');
  expect(await askWithout({ NODE_EXTRA_CA_CERTS: certificates.caFile })).toBe('trusted\n');
  expect(await askWithout({})).toMatch(/^ETCD_UNAVAILABLE: .*certificate/);
});
