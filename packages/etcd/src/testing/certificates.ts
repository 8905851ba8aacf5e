// Throw-away certificates for system tests: an authority, a server's for 127.0.0.1 and localhost, a client's.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TestCertificates {
  /** The authority that signs: with `intermediate`, one that another has signed. */
  readonly caFile: string;
  readonly serverCertFile: string;
  readonly serverKeyFile: string;
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  remove(): void;
}

/**
 * `client`: the client's common name, which etcd takes for its user where no password is given. `hosts`: what the server's certificate is good for.
 * `intermediate`: the authority's own is not in its file, but that of an authority that it has signed.
 */
export function testCertificates(client = '', hosts: readonly string[] = ['IP:127.0.0.1', 'DNS:localhost'], { intermediate = false } = {}): TestCertificates {
  const directory = mkdtempSync(join(tmpdir(), 'etcd-test-tls-'));
  const file = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const [first, signer] = intermediate ? ['root', 'ca'] : ['ca', 'ca'];
  openssl('req', '-x509', ...key, '-days', '2', '-subj', '/CN=test authority', '-keyout', file(`${first}.key`), '-out', file(`${first}.pem`));
  const issue = (name: string, commonName: string, extensions: string, by = signer): void => {
    writeFileSync(file(`${name}.ext`), extensions);
    openssl('req', ...key, '-subj', commonName ? `/CN=${commonName}` : '/O=test', '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`));
    openssl(
      'x509',
      '-req',
      '-days',
      '2',
      '-in',
      file(`${name}.csr`),
      '-CA',
      file(`${by}.pem`),
      '-CAkey',
      file(`${by}.key`),
      '-CAcreateserial',
      '-extfile',
      file(`${name}.ext`),
      '-out',
      file(`${name}.pem`),
    );
  };
  if (intermediate) issue('ca', 'test intermediate authority', 'basicConstraints=critical,CA:TRUE\n', first);
  issue('server', 'etcd', `subjectAltName=${hosts.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  issue('client', client, 'extendedKeyUsage=clientAuth\n');
  return {
    caFile: file('ca.pem'),
    serverCertFile: file('server.pem'),
    serverKeyFile: file('server.key'),
    clientCertFile: file('client.pem'),
    clientKeyFile: file('client.key'),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
