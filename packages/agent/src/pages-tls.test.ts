import { copyFileSync, readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { type TestCertificates, testCertificates } from '@calico-openstack/etcd/testing/certificates';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { servePages } from './http.ts';
import { recordingLog } from './log.ts';
import { type ClientAuth, checkPagesTls, type PagesTls } from './pages-tls.ts';

let [own, renewed]: [TestCertificates, TestCertificates] = [] as never;
beforeAll(() => {
  [own, renewed] = [testCertificates('prometheus'), testCertificates('prometheus')];
});
afterAll(() => {
  for (const each of [own, renewed]) each?.remove();
});
let server: Server | undefined;
afterEach(() => void server?.close());

const tls = (more: Partial<PagesTls> = {}): PagesTls => ({
  certFile: own.serverCertFile,
  keyFile: own.serverKeyFile,
  caFile: own.caFile,
  clientAuth: 'NoClientCert',
  ...more,
});

async function serve(how: PagesTls) {
  const { log, entries } = recordingLog();
  server = await servePages({ host: '127.0.0.1', port: 0, tls: how }, new Map([['/metrics', () => ({ status: 200, body: 'felix_host 1' })]]), { log });
  return entries;
}

type Identity = { readonly certFile: string; readonly keyFile: string };

/** The page as a client gets it, and the server's certificate; undefined when the client is refused. */
function scrape(client?: Identity, ca = own.caFile): Promise<{ readonly body: string; readonly certificate: PeerCertificate } | undefined> {
  const files = client && { cert: readFileSync(client.certFile), key: readFileSync(client.keyFile) };
  const { port } = server!.address() as AddressInfo;
  return new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, path: '/metrics', agent: false, ca: readFileSync(ca), ...files }, (response) => {
      const certificate = (response.socket as TLSSocket).getPeerCertificate();
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.once('end', () => resolve({ body, certificate })).once('error', () => resolve(undefined));
    });
    asked.once('error', () => resolve(undefined)).end();
  });
}

test.each<[ClientAuth, [boolean, boolean, boolean]]>([
  ['NoClientCert', [true, true, true]],
  ['VerifyClientCertIfGiven', [true, false, true]],
  ['RequireAnyClientCert', [false, true, true]],
  ['RequireAndVerifyClientCert', [false, false, true]],
])('%s admits a client without a certificate, with a stranger’s, with one of the authority: %j', async (clientAuth, admitted) => {
  await serve(tls({ clientAuth }));
  const stranger = { certFile: renewed.clientCertFile, keyFile: renewed.clientKeyFile };
  const known = { certFile: own.clientCertFile, keyFile: own.clientKeyFile };
  const got = [await scrape(), await scrape(stranger), await scrape(known)];
  expect(got.map((each) => each?.body)).toEqual(admitted.map((yes) => (yes ? 'felix_host 1' : undefined)));
});

test('a client without TLS gets nothing', async () => {
  await serve(tls());
  const { port } = server!.address() as AddressInfo;
  await expect(fetch(`http://127.0.0.1:${port}/metrics`)).rejects.toThrow();
});

test('renewed files count for the next connection, and a certificate without its key does not', async () => {
  const entries = await serve(tls());
  const first = (await scrape())!.certificate.fingerprint256;
  copyFileSync(renewed.serverCertFile, own.serverCertFile);
  expect((await scrape())?.certificate.fingerprint256).toBe(first);
  expect((await scrape())?.certificate.fingerprint256).toBe(first);
  expect(entries).toMatchObject([{ severity: 'ERROR', fields: { err: { code: 'TLS_UNUSABLE' } } }]);
  copyFileSync(renewed.serverKeyFile, own.serverKeyFile);
  const second = (await scrape(undefined, renewed.caFile))?.certificate.fingerprint256;
  expect(second).toMatch(/:/);
  expect(second).not.toBe(first);
});

test.each<[string, () => Partial<PagesTls>, RegExp]>([
  ['a certificate without its key', () => ({ keyFile: undefined }), /the key is not given/],
  ['nothing but authorities', () => ({ certFile: undefined, keyFile: undefined }), /the certificate is not given/],
  ['clients to be checked against nobody', () => ({ caFile: undefined, clientAuth: 'RequireAndVerifyClientCert' }), /needs the file of the authorities/],
  ['a file that does not exist', () => ({ certFile: '/nonexistent.pem' }), /cannot read the certificate of these pages: \/nonexistent\.pem: it does not exist/],
  ['an authorities’ file without one', () => ({ caFile: own.serverKeyFile }), /holds no certificate/],
  ['a key of another certificate', () => ({ keyFile: own.clientKeyFile }), /see that each file holds PEM, and that certificate and key belong together/],
])('%s is refused with a sentence, and nothing is served', async (_, how, sentence) => {
  expect(() => checkPagesTls(tls(how()))).toThrow(sentence);
  await expect(serve(tls(how()))).rejects.toMatchObject({ code: 'TLS_UNUSABLE' });
});
