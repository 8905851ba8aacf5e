import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { etcdOfCfg, inForce } from '@calico-openstack/agent';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Config, defaultConfigFile, readOptions } from './option-table.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'bird-agent-config-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}
/** The options in force, and the etcd endpoints that follow from them. */
type InForce = Config & { readonly endpoints: readonly string[] };
function readConfig(files: readonly string[], environment: Readonly<Record<string, string>>): InForce {
  const config = inForce(readOptions(files, environment));
  return { ...config, endpoints: etcdOfCfg(config).endpoints };
}
const resolve = (text: string) => readOptions([file('one.cfg', `[global]\n${text}\n`)], {});
const read = (text: string): InForce => readConfig([file('one.cfg', `[global]\n${text}\n`)], {});

test('without a file, and without anything in the environment, the defaults hold', () => {
  expect(readConfig([defaultConfigFile], {})).toMatchObject({
    endpoints: ['http://127.0.0.1:2379'],
    IPv4Address: { kind: 'find' },
    InterfacePrefix: ['cali', 'tap'],
    DeviceRouteProtocol: 3,
    BirdConfigFile: '/etc/bird/bird.conf',
    BirdSocket: '/run/bird/bird.ctl',
    StartBird: false,
    LogFilePath: '/var/log/calico/bird-agent.log',
  });
});

describe('an option', () => {
  test.each<readonly [string, Partial<InForce>]>([
    ['EtcdEndpoints = https://a:2379, https://b:2379', { endpoints: ['https://a:2379', 'https://b:2379'] }],
    ['EtcdAddr = a:2379\nEtcdScheme = https', { endpoints: ['https://a:2379'] }],
    ['EtcdCaFile = /ca\nEtcdCertFile = /cert\nEtcdKeyFile = none', { EtcdCaFile: '/ca', EtcdCertFile: '/cert', EtcdKeyFile: undefined }],
    ['FelixHostname = h1', { Hostname: 'h1' }],
    ['FelixHostname = h1\nHostname = h2', { Hostname: 'h2' }],
    ['hostNAME = h1', { Hostname: 'h1' }],
    ['IPv4Address = 192.0.2.5/30\nIPv6Address = none', { IPv4Address: { kind: 'given', address: '192.0.2.5/30' }, IPv6Address: { kind: 'none' } }],
    ['AsNumber = 64600', { AsNumber: 64600 }],
    ['RouterId = 9.9.9.9', { RouterId: '9.9.9.9' as never }],
    ['InterfacePrefix = tap,vif', { InterfacePrefix: ['tap', 'vif'] }],
    ['ExportPrefixes = 10.9.0.1/16 2001:db8::/48', { ExportPrefixes: ['10.9.0.0/16', '2001:db8::/48'] as never }],
    ['StartBird = yes', { StartBird: true }],
    ['BirdLogFile = stderr', { BirdLogFile: 'stderr' }],
    ['BirdLogFile = /var/log/bird.log', { BirdLogFile: '"/var/log/bird.log"' }],
    ['LogFilePath = none\nLogSeverityScreen = debug', { LogFilePath: undefined, LogSeverityScreen: 'DEBUG' }],
  ])('%j', (text, expected) => expect(read(text)).toMatchObject(expected));

  test.each([
    ['EtcdEndpoints = a:2379', /EtcdEndpoints/],
    ['Hostname = a/b', /Hostname/],
    ['IPv4Address = 2001:db8::1', /IPv4Address/],
    ['IPv6Address = fe80::1', /link-local/],
    ['AsNumber = many', /AsNumber/],
    ['RouterId = 0.0.0.0', /RouterId/],
    ['InterfacePrefix = ta"p', /InterfacePrefix/],
    ['ExportPrefixes = 0.0.0.0/0', /ExportPrefixes/],
    ['MaxRoutesPerPeer = some', /MaxRoutesPerPeer/],
    ['OpenstackRegion = East', /OpenstackRegion/],
    ['EtcdScheme = ftp', /EtcdScheme/],
    ['EtcdAddr = etcd:70000', /EtcdAddr/],
  ])('%j stops the start, by name', (text, message) => expect(() => read(text)).toThrow(message));

  test.each<readonly [string, RegExp, Partial<Config>]>([
    ['StartBird = perhaps', /true or false/, { StartBird: false }],
    ['BirdLogFile = a"b', /quotation mark/, { BirdLogFile: 'syslog' }],
    ['HealthPort = x', /from 0 to 65535/, { HealthPort: 9097 }],
    ['BgpHoldTimeSecs = 1', /from 3 to 65535/, { BgpHoldTimeSecs: 90 }],
  ])('%j gives way to the default, and is reported', (text, problem, expected) => {
    const { values, complaints } = resolve(text);
    expect(values).toMatchObject(expected);
    expect(complaints).toMatchObject([{ option: text.split(' ')[0], source: expect.stringContaining('one.cfg'), problem: expect.stringMatching(problem) }]);
  });

  test('a password does not come up in a message', () => {
    expect(() => read('AsNumber = x\nEtcdPassword = s3cret')).toThrow(/^AsNumber is "x" in .*one\.cfg: /);
    expect(JSON.stringify(resolve('BgpHoldTimeSecs = 90\\\nEtcdPassword = s3cret').complaints)).not.toContain('s3cret');
    expect(() => read('EtcdPassword = a\ns3cret')).toThrow(/one\.cfg:3: the line is neither "\[section\]" nor "option = value"$/);
  });
});

test('the environment beats files, later files beat earlier ones, and libcalico’s names give way to all', () => {
  const files = [file('a.cfg', 'Hostname = a\nAsNumber = 1\nEtcdEndpoints = http://file:1'), file('b.cfg', 'Hostname = b\n')];
  const environment = { CALICO_BIRD_AGENT_HOSTNAME: 'e', ETCD_ENDPOINTS: 'http://env:1', CALICO_ETCD_CA_CERT_FILE: '/ca' };
  expect(readConfig(files, {})).toMatchObject({ Hostname: 'b', AsNumber: 1 });
  expect(readConfig(files, environment)).toMatchObject({ Hostname: 'e', AsNumber: 1, endpoints: ['http://file:1'], EtcdCaFile: '/ca' });
  expect(readConfig([], environment)).toMatchObject({ endpoints: ['http://env:1'] });
});

test('a name that means nothing is told', () =>
  expect(resolve('BirdSockt = /x\nHostname = h').complaints).toMatchObject([{ option: 'birdsockt', problem: expect.stringContaining('no such option') }]));

test('a file that was asked for and is not there stops the start', () => expect(() => readConfig([join(directory, 'absent.cfg')], {})).toThrow(/absent\.cfg/));
