import { hostname } from 'node:os';
import { inForce, parseIni, StartError } from '@calico-openstack/agent';
import { describe, expect, test } from 'vitest';
import { type AgentOptions, agentOptions, optionsIn } from './option-table.ts';

const resolve = (...texts: readonly string[]) =>
  optionsIn(texts.map((text, index) => ({ path: `file-${index}`, ini: parseIni(text, `file-${index}`, 'conf') })));
const parse = (...texts: readonly string[]): AgentOptions => agentOptions(inForce(resolve(...texts)));

test('what holds when nothing is configured', () => {
  expect(parse('')).toEqual({
    host: hostname().toLowerCase(),
    region: undefined,
    etcd: { endpoints: ['http://127.0.0.1:2379'], timeoutMs: 10_000 },
    birdConfigFile: '/etc/bird/bird.conf',
    directory: '/var/lib/neutron/dhcp',
    service: { domain: 'openstacklocal' },
    forwarding: { servers: [], local: false },
    pages: { health: undefined, metrics: undefined },
    dnsmasq: {
      leaseSeconds: 86_400,
      renewalSeconds: undefined,
      rebindingSeconds: undefined,
      leaseMax: 16_777_216,
      broadcastReply: false,
      configFile: undefined,
      logDirectory: undefined,
    },
    log: { screen: 'INFO' },
  });
});

test.each<{ readonly line: string; readonly section?: 'calico'; readonly gives: object }>([
  { line: 'host = Compute-7', gives: { host: 'Compute-7' } },
  { line: 'state_path = /srv/neutron', gives: { directory: '/srv/neutron/dhcp' } },
  { line: 'state_path = /srv/neutron\ndhcp_confs = $state_path/leases', gives: { directory: '/srv/neutron/leases' } },
  { line: ['dhcp_confs = $', '{state_path}/leases'].join(''), gives: { directory: '/var/lib/neutron/leases' } },
  { line: 'dns_domain =', gives: { service: { domain: undefined } } },
  { line: 'dns_domain = cloud.example.', gives: { service: { domain: 'cloud.example' } } },
  { line: 'dhcp_domain = old.example', gives: { service: { domain: 'old.example' } } },
  { line: 'dnsmasq_dns_servers = 192.0.2.53, 2001:db8::53', gives: { forwarding: { servers: ['192.0.2.53', '2001:db8::53'] } } },
  {
    line: 'dnsmasq_dns_servers = 192.0.2.53#5353 /corp.example/old.example/10.0.0.1',
    gives: { forwarding: { servers: ['192.0.2.53#5353', '/corp.example/old.example/10.0.0.1'] } },
  },
  { line: 'dnsmasq_local_resolv = true', gives: { forwarding: { local: true } } },
  { line: 'dhcp_lease_duration = 600', gives: { dnsmasq: { leaseSeconds: 600 } } },
  { line: 'dhcp_lease_duration = -1', gives: { dnsmasq: { leaseSeconds: undefined } } },
  { line: 'dhcp_renewal_time = 300\ndhcp_rebinding_time = 500', gives: { dnsmasq: { renewalSeconds: 300, rebindingSeconds: 500 } } },
  { line: 'dhcp_lease_duration = -1\ndhcp_renewal_time = 300', gives: { dnsmasq: { renewalSeconds: 300 } } },
  { line: 'dhcp_broadcast_reply = True', gives: { dnsmasq: { broadcastReply: true } } },
  { line: 'dnsmasq_lease_max = 4096', gives: { dnsmasq: { leaseMax: 4096 } } },
  { line: 'dnsmasq_config_file = /etc/neutron/dnsmasq.conf', gives: { dnsmasq: { configFile: '/etc/neutron/dnsmasq.conf' } } },
  { line: 'dnsmasq_base_log_dir = /var/log/dhcp', gives: { dnsmasq: { logDirectory: '/var/log/dhcp' } } },
  {
    line: 'debug = true\nlog_dir = /var/log/neutron',
    gives: { log: { screen: 'DEBUG', file: { path: '/var/log/neutron/dhcp-agent.log', severity: 'DEBUG' } } },
  },
  { line: 'log_dir = /var/log/neutron\nlog_file = d.log', gives: { log: { file: { path: '/var/log/neutron/d.log' } } } },
  { section: 'calico', line: 'dhcp_agent_health_enabled = true', gives: { pages: { health: { host: 'localhost', port: 9095 }, metrics: undefined } } },
  { section: 'calico', line: 'dhcp_agent_metrics_enabled = true', gives: { pages: { metrics: { host: 'localhost', port: 9094 } } } },
  {
    section: 'calico',
    line: 'dhcp_agent_metrics_enabled = true\ndhcp_agent_metrics_cert_file = /c\ndhcp_agent_metrics_client_auth = anybody',
    gives: { pages: { metrics: { tls: { certFile: '/c', keyFile: undefined, clientAuth: 'RequireAndVerifyClientCert' } } } },
  },
  { section: 'calico', line: 'openstack_region = east-1', gives: { region: 'east-1' } },
  { section: 'calico', line: 'etcd_host = etcd-1\netcd_port = 4001', gives: { etcd: { endpoints: ['http://etcd-1:4001'] } } },
  { section: 'calico', line: 'etcd_host = etcd-1,etcd-2', gives: { etcd: { endpoints: ['http://etcd-1:2379', 'http://etcd-2:2379'] } } },
  { section: 'calico', line: 'etcd_host = 2001:db8::5', gives: { etcd: { endpoints: ['http://[2001:db8::5]:2379'] } } },
  { section: 'calico', line: 'etcd_endpoints = https://a:1, https://b:2', gives: { etcd: { endpoints: ['https://a:1', 'https://b:2'] } } },
  {
    section: 'calico',
    line: 'etcd_ca_cert_file = /ca\netcd_cert_file = /cert\netcd_key_file = /key',
    gives: { etcd: { endpoints: ['https://127.0.0.1:2379'], caFile: '/ca', certFile: '/cert', keyFile: '/key' } },
  },
  { section: 'calico', line: 'etcd_username = dhcp\netcd_password = secret', gives: { etcd: { username: 'dhcp', password: 'secret' } } },
  { section: 'calico', line: 'bird_config_file = /srv/bird.conf', gives: { birdConfigFile: '/srv/bird.conf' } },
  { section: 'calico', line: 'etcd_timeout = 3', gives: { etcd: { timeoutMs: 3_000 } } },
  { section: 'calico', line: 'etcd_timeout = 1.5', gives: { etcd: { timeoutMs: 1_500 } } },
])('$line', ({ line, section = 'DEFAULT', gives }) => {
  expect(parse(`[${section}]\n${line}\n`)).toMatchObject(gives);
});

test('of an option in several files the last counts', () => {
  expect(parse('[DEFAULT]\nhost = a\nstate_path = /a', '[DEFAULT]\nhost = b').host).toBe('b');
});

describe('what the agent cannot do without stops the start, by name', () => {
  test.each([
    '[DEFAULT]\nhost = a/b',
    '[DEFAULT]\nstate_path = relative',
    '[DEFAULT]\nstate_path = /a,b',
    '[DEFAULT]\nstate_path = /a"b',
    '[DEFAULT]\ndhcp_confs = relative',
    '[calico]\nopenstack_region = East',
    '[calico]\netcd_scheme = ftp',
    '[calico]\netcd_port = http',
    '[calico]\netcd_port = 70000',
    '[calico]\netcd_host = etcd:2379',
    '[calico]\netcd_endpoints = etcd:2379',
  ])('%s', (text) => {
    expect(() => parse(text)).toThrow(StartError);
    expect(() => parse(text)).toThrow(/^\[(DEFAULT|calico)\] \w+ is ".*" in file-0: it must be .* Correct it there, then start again\.$/s);
  });
});

describe('anything else gives way to the file before, or the default, and is reported', () => {
  test.each<readonly [string, object]>([
    ['dns_domain = a_b', { service: { domain: 'before.example' } }],
    ['dns_domain = a,set:x', { service: { domain: 'before.example' } }],
    ['dhcp_lease_duration = 1d', { dnsmasq: { leaseSeconds: 86_400 } }],
    ['dhcp_lease_duration = -2', { dnsmasq: { leaseSeconds: 86_400 } }],
    ['dhcp_renewal_time = -5', { dnsmasq: { renewalSeconds: undefined } }],
    ['dhcp_broadcast_reply = perhaps', { dnsmasq: { broadcastReply: false } }],
    ['dnsmasq_config_file = conf', { dnsmasq: { configFile: undefined } }],
  ])('%s', (line, gives) => {
    const { values, complaints } = resolve('[DEFAULT]\ndns_domain = before.example', `[DEFAULT]\n${line}`);
    expect(agentOptions(values)).toMatchObject(gives);
    const [name = '', value = ''] = line.split(' = ');
    expect(complaints).toEqual([{ option: `[DEFAULT] ${name}`, source: 'file-1', value, problem: expect.stringMatching(/^it must be .* is used$/) }]);
  });
});

describe('what Neutron takes is taken, as far as it can be done, and the rest is reported', () => {
  test.each<readonly [string, object, RegExp]>([
    ['dhcp_lease_duration = 60', { dnsmasq: { leaseSeconds: 120 } }, /leases are for 120 s/],
    ['dnsmasq_dns_servers = dns.example, 10.0.0.54', { forwarding: { servers: ['10.0.0.54'] } }, /^dns\.example is no address/],
    ['dnsmasq_dns_servers = 10.0.0.54#0', { forwarding: { servers: [] } }, /^10\.0\.0\.54#0 is no address/],
    ['dnsmasq_dns_servers = 10.0.0.54@eth0', { forwarding: { servers: [] } }, /^10\.0\.0\.54@eth0 is no address/],
    ['dnsmasq_dns_servers = /corp example=/10.0.0.54', { forwarding: { servers: [] } }, /^\/corp, example=\/10\.0\.0\.54 is no address/],
  ])('%s', (line, gives, problem) => {
    const { values, complaints } = resolve(`[DEFAULT]\n${line}`);
    expect(agentOptions(values)).toMatchObject(gives);
    expect(complaints).toMatchObject([{ problem: expect.stringMatching(problem) }]);
  });
});

test.each([
  'dhcp_renewal_time = 500\ndhcp_rebinding_time = 300',
  'dhcp_renewal_time = 300\ndhcp_rebinding_time = 300',
  'dhcp_rebinding_time = 300',
  'dhcp_renewal_time = 80000',
  'dhcp_renewal_time = 300\ndhcp_rebinding_time = 90000',
  'dhcp_lease_duration = -1\ndhcp_rebinding_time = 300',
])('%j: a guest that would rebind before it renews, or lose its lease before, keeps Dnsmasq’s times, and that is reported', (lines) => {
  const { values, complaints } = resolve(`[DEFAULT]\n${lines}`);
  expect(agentOptions(values).dnsmasq).toMatchObject({ renewalSeconds: undefined, rebindingSeconds: undefined });
  expect(complaints).toMatchObject([{ source: 'file-0', problem: expect.stringContaining('they must grow in this order') }]);
});

test('what was meant for an option of its own, and is continued into another, does not come up in a message', () => {
  const { complaints } = resolve('[DEFAULT]\ndnsmasq_lease_max = 10\n  connection = mysql://neutron:hunter2@db');
  expect(complaints).toMatchObject([{ option: '[DEFAULT] dnsmasq_lease_max', value: '10 …' }]);
  expect(JSON.stringify(complaints)).not.toContain('hunter2');
});

test('a name in [calico] that nobody knows is reported, one of another part is not, and what stands elsewhere is Neutron’s', () => {
  const { complaints } = resolve(
    '[DEFAULT]\nanything = 1\n[database]\nconnection = x\n[calico]\netcd_hots = a\nstartup_resync = never\nresync_interval_secs = 5\netcd_pasword = hunter2',
  );
  expect(complaints).toEqual([
    { option: '[calico] etcd_hots', source: 'file-0', value: '…', problem: 'there is no such option; it is ignored, so see that its name is right' },
    { option: '[calico] resync_interval_secs', source: 'file-0', value: '5', problem: expect.stringContaining('calico-resync') },
    { option: '[calico] etcd_pasword', source: 'file-0', value: '…', problem: expect.stringContaining('no such option') },
  ]);
});
