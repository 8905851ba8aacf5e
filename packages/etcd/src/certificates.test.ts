import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Certificates, openCertificates } from './certificates.ts';
import { type TestCertificates, testCertificates } from './testing/certificates.ts';

let [old, renewed]: [TestCertificates, TestCertificates] = [] as never;
let directory: string;
let certificates: Certificates;
const warnings: string[] = [];
const file = (name: 'ca' | 'cert' | 'key'): string => join(directory, name);
const source = ({ caFile, clientCertFile, clientKeyFile }: TestCertificates) => ({ ca: caFile, cert: clientCertFile, key: clientKeyFile });
const place = (from: TestCertificates, ...names: ('ca' | 'cert' | 'key')[]): void => {
  for (const name of names) copyFileSync(source(from)[name], file(name));
};
const isCurrently = (which: TestCertificates): void => {
  const { ca, cert, key } = certificates.current();
  expect([ca, cert, key]).toEqual([which.caFile, which.clientCertFile, which.clientKeyFile].map((path) => readFileSync(path)));
};

beforeAll(() => {
  [old, renewed] = [testCertificates(), testCertificates()];
  directory = mkdtempSync(join(tmpdir(), 'certificates-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
  for (const each of [old, renewed]) each.remove();
});
beforeEach(() => {
  place(old, 'ca', 'cert', 'key');
  warnings.length = 0;
  const onWarning = (sentence: string): void => void warnings.push(sentence);
  certificates = openCertificates({ endpoints: [], caFile: file('ca'), certFile: file('cert'), keyFile: file('key'), onWarning });
  isCurrently(old);
});

test('files that were renewed are what the next connection is made with', () => {
  place(renewed, 'ca', 'cert', 'key');
  isCurrently(renewed);
  expect(warnings).toEqual([]);
});

test.each<['cert' | 'key', 'cert' | 'key']>([
  ['cert', 'key'],
  ['key', 'cert'],
])('a %s whose %s is still the old one is not used, nor the new authority with it, and it is told once', (first, second) => {
  place(renewed, 'ca', first);
  isCurrently(old);
  isCurrently(old);
  expect(warnings).toEqual([
    expect.stringMatching(/certificate and key belong together. Until then this process goes on with the certificates that it read before$/),
  ]);
  place(renewed, second);
  isCurrently(renewed);
  expect(warnings).toHaveLength(1);
});

const cut = (path: string): Buffer => readFileSync(path).subarray(0, -30);
test.each<[string, () => void, RegExp]>([
  ['a key that is half written', () => writeFileSync(file('key'), cut(renewed.clientKeyFile)), /cannot be used/],
  ['a certificate that is half written', () => writeFileSync(file('cert'), cut(renewed.clientCertFile)), /the client certificate for etcd ends in the middle/],
  [
    'a chain whose second certificate is half written',
    () => writeFileSync(file('cert'), Buffer.concat([readFileSync(old.clientCertFile), cut(old.caFile)])),
    /ends in the middle/,
  ],
  [
    'authorities of which the second is half written',
    () => writeFileSync(file('ca'), Buffer.concat([readFileSync(old.caFile), cut(renewed.caFile)])),
    /the authorities' file for etcd ends in the middle/,
  ],
  ['an authorities’ file that was just emptied', () => writeFileSync(file('ca'), ''), /holds no certificate/],
  ['a certificate that is not there just now', () => rmSync(file('cert')), /it does not exist/],
])('%s is not used', (_, spoil, reason) => {
  spoil();
  isCurrently(old);
  expect(warnings).toEqual([expect.stringMatching(reason)]);
});

test('trouble that ended and came again is told again', () => {
  for (let time = 0; time < 2; time += 1) {
    writeFileSync(file('ca'), '');
    isCurrently(old);
    place(old, 'ca');
    isCurrently(old);
  }
  expect(warnings).toHaveLength(2);
});
