import { inForce, parseIni } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { driverOptions, optionsIn } from './option-table.ts';

const resolve = (...files: string[]) => optionsIn(files.map((text) => ({ path: 'neutron.conf', ini: parseIni(`[calico]\n${text}`, 'neutron.conf', 'conf') })));
const options = (...files: string[]) => driverOptions(inForce(resolve(...files)), []);

test('without options, upstream’s defaults hold', () => {
  expect(options('')).toMatchObject({
    etcd: { endpoints: ['http://127.0.0.1:2379'], timeoutMs: 10_000 },
    etcdTimeoutMs: 60_000,
    patience: { commitMs: 5_000, outageMs: 1_000 },
    region: undefined,
    startupResync: true,
    compactionPeriodMinutes: 60,
    compactionMinRevisions: 1000,
    portStatusThreads: 4,
    projectNameCacheMax: 100,
    socketPath: '/run/calico/neutron-driver.sock',
    qos: { egress: { burstBits: 4294967296, burstPackets: 5, maxConnections: 0 } },
  });
});

test.each([
  ['etcd_host = ctl-1', ['http://ctl-1:2379']],
  ['etcd_host = ctl-1, ctl-2 ctl-3\netcd_port = 4001', ['http://ctl-1:4001', 'http://ctl-2:4001', 'http://ctl-3:4001']],
  ['etcd_host = 2001:db8::1', ['http://[2001:db8::1]:2379']],
  ['etcd_scheme = https', ['https://127.0.0.1:2379']],
  ['etcd_ca_cert_file = /ca.pem', ['https://127.0.0.1:2379']],
  ['etcd_endpoints = https://a:1,https://b:2\netcd_host = c', ['https://a:1', 'https://b:2']],
])('%s', (text, endpoints) => {
  expect(options(text).etcd.endpoints).toEqual(endpoints);
});

test('certificates, user and password go along; a later file wins', () => {
  const both = options('etcd_username = a\netcd_password = b\netcd_cert_file = /c\netcd_key_file = /k', 'etcd_username = z');
  expect(both.etcd).toMatchObject({ username: 'z', password: 'b', certFile: '/c', keyFile: '/k' });
});

test.each([
  ['openstack_region = Europe', /openstack_region/],
  ['etcd_port = many', /etcd_port/],
  ['etcd_scheme = ftp', /etcd_scheme/],
  ['etcd_port = 70000', /etcd_port.*from 1 to 65535/],
  ['etcd_port = 2379.5', /etcd_port.*whole/],
  ['max_egress_connections_per_port = -1', /max_egress_connections_per_port.*at least 0/],
])('%s stops the start, with the reason', (text, reason) => {
  expect(() => options(text)).toThrow(reason);
});

test.each([
  ['startup_resync = maybe', /one of always, never/],
  ['agent_report_interval_secs = 1e9', /from 1 to 3600/], // longer than a timer can hold, so the loop would never rest
  ['num_port_status_threads = 1e9', /from 1 to 1000/],
  ['etcd_compaction_period_mins = 0.01', /whole/],
  ['ingress_burst_bits = 1.5', /whole/], // Felix rejects an endpoint with such a value
  ['neutron_driver_log_severity = LOUD', /one of TRACE/],
])('%s gives way to the default, and is reported with the reason', (text, reason) => {
  const { values, complaints } = resolve(text);
  expect(driverOptions(values, [])).toEqual(options(''));
  expect(complaints).toMatchObject([{ option: `[calico] ${text.split(' ')[0]}`, problem: expect.stringMatching(reason) }]);
});

test('which addresses may be had', () => {
  expect(options('').addresses).toEqual({ reservedPrefixes: [], reservedPrefixSubnets: 'nobody', addressOverlaps: 'refuse', addressPairPrefixes: [] });
  const text = `reserved_prefixes = 10.0.0.5/16, 2001:DB8::/32\nreserved_prefix_subnets = administrators\naddress_overlaps = warn\nallowed_address_pair_prefixes = 192.0.2.0/24`;
  expect(options(text).addresses).toEqual({
    reservedPrefixes: ['10.0.0.0/16', '2001:db8::/32'],
    reservedPrefixSubnets: 'administrators',
    addressOverlaps: 'warn',
    addressPairPrefixes: ['192.0.2.0/24'],
  });
  expect(() => options('reserved_prefixes = ten')).toThrow(/reserved_prefixes is "ten" .*it must be a prefix/);
  expect(() => options('address_overlaps = allow')).toThrow(/address_overlaps/);
  expect(() => options('allowed_address_pair_prefixes = 0.0.0.0/0')).toThrow(/allowed_address_pair_prefixes is "0\.0\.0\.0\/0" .*it overlaps/);
});

test('the rows process can be left to somebody else', () => {
  expect(options('').rowsCommand).toEqual(['/usr/bin/python3', '-m', 'calico_openstack.rows_process']);
  expect(options('neutron_rows_command =').rowsCommand).toEqual([]);
});

test('what was meant for an option of its own, and is continued into another, does not come up in a message', () => {
  expect(resolve('etcd_timeout = 10\n  connection = mysql://neutron:hunter2@db').complaints).toEqual([
    {
      option: '[calico] etcd_timeout',
      source: 'neutron.conf',
      value: '10 …',
      problem: "it must be a number from 1 to 3600; the next source's value or the default is used",
    },
  ]);
});

test('a name in [calico] that nobody knows is reported, and one of another part is not', () => {
  expect(resolve('etcd_hots = a\nbird_config_file = /b').complaints).toMatchObject([
    { option: '[calico] etcd_hots', problem: expect.stringContaining('no such option') },
  ]);
});

test('metrics are served where they are wanted, and with TLS when anything of it is set', () => {
  expect(options('').metrics).toBeUndefined();
  expect(options('neutron_driver_metrics_enabled = true').metrics).toEqual({ host: 'localhost', port: 9098, tls: undefined });
  const withTls = options('neutron_driver_metrics_enabled = true\nneutron_driver_metrics_cert_file = /c\nneutron_driver_metrics_client_auth = anybody').metrics;
  expect(withTls?.tls).toMatchObject({ certFile: '/c', keyFile: undefined, clientAuth: 'RequireAndVerifyClientCert' });
});
