import { parseIni, StartError } from '@calico-openstack/agent';
import { describe, expect, test } from 'vitest';
import { type AgentOptions, parseOptions } from './options.ts';

const parse = (...texts: readonly string[]): AgentOptions =>
  parseOptions(
    texts.map((text, index) => parseIni(text, `file-${index}`)),
    'machine',
  );

test('what holds when nothing is configured', () => {
  expect(parse('')).toEqual({
    host: 'machine',
    region: undefined,
    etcd: { endpoints: ['http://127.0.0.1:2379'], timeoutSeconds: 10 },
    birdConfigFile: '/etc/bird/bird.conf',
    directory: '/var/lib/neutron/dhcp',
    service: { domain: 'openstacklocal', dnsServers: [] },
    dnsmasq: {
      leaseSeconds: 86_400,
      renewalSeconds: undefined,
      rebindingSeconds: undefined,
      leaseMax: 16_777_216,
      broadcastReply: false,
      configFile: undefined,
      logDirectory: undefined,
    },
    log: { severity: 'INFO', file: undefined },
  });
});

test.each<{ readonly line: string; readonly section?: 'calico'; readonly gives: object }>([
  { line: 'host = compute-7', gives: { host: 'compute-7' } },
  { line: 'state_path = /srv/neutron', gives: { directory: '/srv/neutron/dhcp' } },
  { line: 'state_path = /srv/neutron\ndhcp_confs = $state_path/leases', gives: { directory: '/srv/neutron/leases' } },
  { line: ['dhcp_confs = $', '{state_path}/leases'].join(''), gives: { directory: '/var/lib/neutron/leases' } },
  { line: 'dns_domain = cloud.example.', gives: { service: { domain: 'cloud.example' } } },
  { line: 'dhcp_domain = old.example', gives: { service: { domain: 'old.example' } } },
  { line: 'dnsmasq_dns_servers = 192.0.2.53, 2001:db8::53', gives: { service: { dnsServers: ['192.0.2.53', '2001:db8::53'] } } },
  { line: 'dhcp_lease_duration = 600', gives: { dnsmasq: { leaseSeconds: 600 } } },
  { line: 'dhcp_lease_duration = -1', gives: { dnsmasq: { leaseSeconds: undefined } } },
  { line: 'dhcp_renewal_time = 300\ndhcp_rebinding_time = 500', gives: { dnsmasq: { renewalSeconds: 300, rebindingSeconds: 500 } } },
  { line: 'dhcp_broadcast_reply = True', gives: { dnsmasq: { broadcastReply: true } } },
  { line: 'dnsmasq_lease_max = 4096', gives: { dnsmasq: { leaseMax: 4096 } } },
  { line: 'dnsmasq_config_file = /etc/neutron/dnsmasq.conf', gives: { dnsmasq: { configFile: '/etc/neutron/dnsmasq.conf' } } },
  { line: 'dnsmasq_base_log_dir = /var/log/dhcp', gives: { dnsmasq: { logDirectory: '/var/log/dhcp' } } },
  { line: 'debug = true\nlog_dir = /var/log/neutron', gives: { log: { severity: 'DEBUG', file: '/var/log/neutron/dhcp-agent.log' } } },
  { line: 'log_dir = /var/log/neutron\nlog_file = d.log', gives: { log: { file: '/var/log/neutron/d.log' } } },
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
  { section: 'calico', line: 'etcd_timeout = 3', gives: { etcd: { timeoutSeconds: 3 } } },
])('$line', ({ line, section = 'DEFAULT', gives }) => {
  expect(parse(`[${section}]\n${line}\n`)).toMatchObject(gives);
});

test('of an option in several files the last counts', () => {
  expect(parse('[DEFAULT]\nhost = a\nstate_path = /a', '[DEFAULT]\nhost = b').host).toBe('b');
});

describe('refused', () => {
  test.each([
    '[DEFAULT]\nstate_path = relative',
    '[DEFAULT]\nstate_path = /a,b',
    '[DEFAULT]\nstate_path = /a"b',
    '[DEFAULT]\ndns_domain = a_b',
    '[DEFAULT]\ndns_domain = a,set:x',
    '[DEFAULT]\ndnsmasq_dns_servers = dns.example',
    '[DEFAULT]\ndhcp_lease_duration = 60',
    '[DEFAULT]\ndhcp_lease_duration = 1d',
    '[DEFAULT]\ndhcp_renewal_time = -5',
    '[DEFAULT]\ndhcp_broadcast_reply = perhaps',
    '[DEFAULT]\ndnsmasq_config_file = conf',
    '[calico]\nopenstack_region = East',
    '[calico]\netcd_scheme = ftp',
    '[calico]\netcd_port = http',
  ])('%s', (text) => {
    expect(() => parse(text)).toThrow(StartError);
    expect(() => parse(text)).toThrow(/^\[(DEFAULT|calico)\] \w+ = .* is not /s);
  });
});

test('what was meant for an option of its own, and is continued into another, does not come up in a message', () => {
  expect(() => parse('[DEFAULT]\ndnsmasq_lease_max = 10\n  connection = mysql://neutron:hunter2@db')).toThrow(/^\[DEFAULT\] dnsmasq_lease_max = 10 … is not /);
});
