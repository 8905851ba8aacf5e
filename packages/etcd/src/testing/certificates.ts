// Temporary certificates for system tests: an authority, a server for 127.0.0.1 and localhost, a client.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The files of one set of certificates. */
export interface TestCertificates {
  /** The authority that signs the others. With `intermediate`, an intermediate authority without its root. */
  readonly caFile: string;
  readonly serverCertFile: string;
  readonly serverKeyFile: string;
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  /** A further client of this common name. */
  client(commonName: string): { readonly certFile: string; readonly keyFile: string };
  remove(): void;
}

/**
 * Makes a set of certificates in a temporary directory. `client`: the client certificate's common name, which etcd takes for the user where no password is given.
 * `hosts`: the addresses and names of the server certificate. `intermediate`: the authority is signed by a root that is in no file.
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
    client(commonName) {
      issue(commonName, commonName, 'extendedKeyUsage=clientAuth\n');
      return { certFile: file(`${commonName}.pem`), keyFile: file(`${commonName}.key`) };
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
