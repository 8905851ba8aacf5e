import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCertificates } from './certificates.ts';
import { connectEtcd } from './client.ts';
import { openEndpoint, parseEndpoint } from './endpoint.ts';
import { type TestCertificates, testCertificates } from './testing/certificates.ts';
import type { EtcdOptions } from './types.ts';

describe('endpoints', () => {
  test.each([
    ['http://127.0.0.1:2379', 'http://127.0.0.1:2379', '127.0.0.1', 2379, false],
    ['https://etcd-1.example:443/', 'https://etcd-1.example:443', 'etcd-1.example', 443, true],
    ['http://etcd-1:80', 'http://etcd-1:80', 'etcd-1', 80, false],
    ['https://[2001:db8::1]:2379', 'https://[2001:db8::1]:2379', '2001:db8::1', 2379, true],
    ['https://etcd-1', 'https://etcd-1:2379', 'etcd-1', 2379, true],
    ['http://[::1]', 'http://[::1]:2379', '::1', 2379, false],
  ])('%s is read', (text, url, host, port, secure) => {
    expect(parseEndpoint(text)).toEqual({ url, host, port, secure });
  });

  test.each(['127.0.0.1:2379', 'etcd', 'unix:///run/etcd', 'http://a/b', 'http://a:2379?x', 'http://a:99999', ''])('%j is refused with the reason', (text) => {
    expect(() => connectEtcd({ endpoints: [text] })).toThrow(
      expect.objectContaining({ code: 'ETCD_MISCONFIGURED', message: expect.stringContaining(JSON.stringify(text)) }),
    );
  });

  test.each([
    'http://root:secret@a:2379',
    'https://root:sec@ret@a',
    'root:secret@a:2379',
    'http://root:secret/#?@a:2379',
    'http://[root:secret@a]:2379',
    'http://:secret@a',
  ])('%j is refused, and its password is not repeated', (text) => {
    let refusal: unknown;
    try {
      connectEtcd({ endpoints: [text] });
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toMatchObject({ code: 'ETCD_MISCONFIGURED', message: expect.stringContaining('…@') });
    expect(String(refusal)).not.toMatch(/sec|ret/);
  });

  test('an empty list of endpoints is refused', () => {
    expect(() => connectEtcd({ endpoints: [] })).toThrow(expect.objectContaining({ code: 'ETCD_MISCONFIGURED' }));
  });
});

describe('certificates that cannot be used are refused at the start, with the remedy', () => {
  let directory: string;
  let own: TestCertificates;
  const file = (name: string): string => join(directory, name);
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'etcd-endpoint-'));
    own = testCertificates();
    writeFileSync(file('empty.pem'), '');
    writeFileSync(file('broken.pem'), '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n');
  });
  afterAll(() => {
    rmSync(directory, { recursive: true });
    own.remove();
  });

  test.each<[string, (paths: { readonly own: TestCertificates; readonly directory: string }) => Omit<EtcdOptions, 'endpoints'>, RegExp]>([
    ['is not there', () => ({ caFile: '/nonexistent/ca.pem' }), /cannot read the authorities' file for etcd: \/nonexistent\/ca\.pem: it does not exist/],
    ['is a directory', (at) => ({ caFile: at.directory }), /it is a directory \(EISDIR\); correct its name/],
    ['is below a file', (at) => ({ caFile: `${at.own.caFile}/ca.pem` }), /a part of its path is no directory/],
    ['holds nothing', (at) => ({ caFile: join(at.directory, 'empty.pem') }), /holds no certificate: .*empty\.pem; it must hold, as PEM/],
    ['holds what is none', (at) => ({ caFile: join(at.directory, 'broken.pem') }), /holds a certificate that cannot be read: .*broken\.pem/],
    [
      'is a certificate without its key',
      (at) => ({ certFile: at.own.clientCertFile }),
      /certificate \S+ for etcd is given without a key; give the file of each/,
    ],
    ['is a key without its certificate', (at) => ({ keyFile: at.own.clientKeyFile }), /key \S+ for etcd is given without a certificate; give the file of each/],
    [
      'is another’s key',
      (at) => ({ certFile: at.own.clientCertFile, keyFile: at.own.serverKeyFile }),
      /see that each file holds PEM, and that certificate and key/,
    ],
  ])('a file that %s', (_, options, sentence) => {
    expect(() => connectEtcd({ endpoints: ['https://127.0.0.1:1'], ...options({ own, directory }) })).toThrow(
      expect.objectContaining({ code: 'ETCD_MISCONFIGURED', message: expect.stringMatching(sentence) }),
    );
  });
});

test('an etcd whose certificate was signed by nobody who is trusted is reported with the remedy', async () => {
  const own = testCertificates();
  const server = createServer({ cert: readFileSync(own.serverCertFile), key: readFileSync(own.serverKeyFile) });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const endpoint = openEndpoint(url, openCertificates({ endpoints: [url], caFile: own.clientCertFile }));
  await expect(endpoint.connect(5000)).rejects.toMatchObject({
    code: 'ETCD_UNAVAILABLE',
    message: expect.stringMatching(/^https:\S+: .*; name who signed etcd's certificate in the authorities' file for etcd, or add it to the system's$/),
  });
  endpoint.close();
  server.close();
  own.remove();
});
