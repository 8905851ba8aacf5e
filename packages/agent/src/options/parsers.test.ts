import { describe, expect, test } from 'vitest';
import { complaintsOfPlainEtcd, etcdOfCfg, etcdOfConf, etcdRowsOfCfg, etcdRowsOfConf } from './etcd.ts';
import { inSection, named } from './option.ts';
import { decimal, listOf, oneOf, path, truth, whole } from './parsers.ts';
import { complaintText, inForce, resolveOptions, type Source } from './resolve.ts';

describe('a whole number', () => {
  test.each([
    ['12', 12, 12],
    ['+12', 12, 12],
    ['0', 0, 0],
    ['010', 8, 10],
    ['0x1f', 31, undefined],
    ['08', 8, 8],
    ['1.5', undefined, undefined],
    ['1e3', undefined, undefined],
    ['', undefined, undefined],
    ['9007199254740993', undefined, undefined],
    ['-1', undefined, undefined],
    ['101', undefined, undefined],
  ])('%j is %j in felix.cfg and %j in neutron.conf', (value, inCfg, inConf) => {
    const read = (dialect: 'cfg' | 'conf'): unknown => {
      const parsed = whole(0, 100)(value, dialect);
      return parsed.ok ? parsed.value : undefined;
    };
    expect([read('cfg'), read('conf')]).toEqual([inCfg, inConf]);
  });
});

test.each([
  ['1.5', true],
  ['.5', false],
  ['1e1', true],
  ['11', false],
  ['x', false],
  ['NaN', false],
  ['Infinity', false],
])('%j is a number from 1 to 10: %j', (value, is) => expect(decimal(1, 10)(value, 'conf').ok).toBe(is));

test.each(['true', 'True', '1', 'yes', 'on', 'y', 'T'])('%s is true', (value) => expect(truth(value, 'cfg')).toEqual({ ok: true, value: true }));
test.each(['false', 'FALSE', '0', 'no', 'off', 'n', 'f'])('%s is false', (value) => expect(truth(value, 'cfg')).toEqual({ ok: true, value: false }));
test.each(['perhaps', '', '2'])('%j is neither', (value) => expect(truth(value, 'cfg').ok).toBe(false));

test('one of some words, whatever its case, is the word as it is written here', () =>
  expect(oneOf('Enabled', 'Disabled')('DISABLED', 'cfg')).toMatchObject({ value: 'Disabled' }));

test('a list is refused by the first part that is', () => {
  expect(listOf(whole(1, 9))('1, 2 3\n4', 'cfg')).toEqual({ ok: true, value: [1, 2, 3, 4] });
  expect(listOf(whole(1, 9))('1,x', 'cfg')).toEqual({ ok: false, reason: 'of "x" it must be a whole number from 1 to 9' });
});

test.each([
  ['/a/b', true],
  ['a/b', false],
  ['/a,b', false],
  ['/a"b', false],
  ['/a\nb', false],
])('%j is a path: %j', (value, is) => expect(path(value, 'conf').ok).toBe(is));

describe('etcd', () => {
  const inCfg = named((key) => ({ cfg: [key] }), etcdRowsOfCfg);
  const inConf = inSection('calico', etcdRowsOfConf);
  const source = (dialect: 'cfg' | 'conf', values: Record<string, string>): Source => ({
    name: 'c',
    dialect,
    texts: new Map(Object.entries(values).map(([name, value]) => [dialect === 'cfg' ? name.toLowerCase() : `calico/${name}`, value])),
  });
  const ofCfg = (values: Record<string, string>) => etcdOfCfg(inForce(resolveOptions(inCfg, [source('cfg', values)])));
  const ofConf = (values: Record<string, string>) => etcdOfConf(inForce(resolveOptions(inConf, [source('conf', values)])));

  test.each([
    ['http://a:1', true],
    ['https://a:1, https://b.example:2', true],
    ['https://a:1 https://b:2/', true],
    ['https://[2001:db8::1]:2379', true],
    ['https://a', true],
    ['http://a:1,https://b:2', false],
    ['http://root:secret@a:1', false],
    ['http://a:1/path', false],
    ['http://a:70000', false],
    ['http://a:0', false],
    ['http://[a]:1x', false],
    ['a:1', false],
    ['', true],
  ])('endpoints %j: taken %j, alike in both files', (endpoints, taken) => {
    for (const read of [() => ofCfg({ EtcdEndpoints: endpoints }), () => ofConf({ etcd_endpoints: endpoints })]) {
      if (taken) expect(read()).toBeDefined();
      else expect(read).toThrow(/it must be http:\/\/host:port/);
    }
  });

  test.each([
    ['a:1', true],
    ['[2001:db8::1]:1', true],
    ['10.0.0.1:2379', true],
    ['a', false],
    ['a:70000', false],
    ['http://a:1', false],
    ['2001:db8::1', false],
  ])('address %j: taken %j', (address, taken) => {
    if (taken) expect(ofCfg({ EtcdAddr: address }).endpoints).toEqual([`http://${address}`]);
    else expect(() => ofCfg({ EtcdAddr: address })).toThrow('it must be host:port');
  });

  test.each([
    ['etcd_port', '70000'],
    ['etcd_port', '1.5'],
    ['etcd_host', 'a:1'],
    ['etcd_host', 'http://a'],
    ['etcd_scheme', 'ftp'],
  ])('%s = %s stops the start', (name, value) => expect(() => ofConf({ [name]: value })).toThrow(`[calico] ${name} is "${value}" in c: it must be`));

  test('a fraction of a second is a time-out', () => expect(ofConf({ etcd_timeout: '1.5' }).timeoutMs).toBe(1_500));
  test('with any certificate file neutron.conf means https', () =>
    expect(ofConf({ etcd_key_file: '/k', etcd_scheme: 'http' }).endpoints).toEqual(['https://127.0.0.1:2379']));
  test.each<[string, Record<string, string>, string | undefined]>([
    ['an address that begins with http', { EtcdEndpoints: 'http://a:1', EtcdCaFile: '/ca' }, 'EtcdCaFile'],
    ['no scheme, which means http', { EtcdAddr: 'a:1', EtcdKeyFile: '/k', EtcdCertFile: '/c' }, 'EtcdCertFile'],
    ['an address that is left out', { EtcdCaFile: '/ca' }, 'EtcdCaFile'],
    ['https', { EtcdScheme: 'https', EtcdCaFile: '/ca' }, undefined],
    ['http and no file', { EtcdEndpoints: 'http://a:1', EtcdCaFile: 'none', EtcdCertFile: '' }, undefined],
  ])('a TLS file beside %s: %#', (_, values, complained) => {
    const resolution = resolveOptions(inCfg, [source('cfg', values)]);
    const complaints = complaintsOfPlainEtcd(resolution, etcdOfCfg(resolution.values));
    expect(complaints.map(({ option }) => option)).toEqual(complained === undefined ? [] : [complained]);
  });
  test('a TLS file beside http in neutron.conf is complained of where the addresses are written as URLs', () => {
    const complaints = (values: Record<string, string>) => {
      const resolution = resolveOptions(inConf, [source('conf', values)]);
      return complaintsOfPlainEtcd(resolution, etcdOfConf(resolution.values)).map(complaintText);
    };
    expect(complaints({ etcd_endpoints: 'http://a:1', etcd_cert_file: '/c' })).toEqual([
      '[calico] etcd_cert_file is "/c" in c: etcd\'s address begins with http, so the file has no effect: nobody checks who answers as etcd, and all is sent in the clear; write https:// in etcd_endpoints.',
    ]);
    expect(complaints({ etcd_host: 'a', etcd_cert_file: '/c' })).toEqual([]);
  });
  test('what is not set is not there', () => expect(ofCfg({})).toEqual({ endpoints: ['http://127.0.0.1:2379'] }));
});
