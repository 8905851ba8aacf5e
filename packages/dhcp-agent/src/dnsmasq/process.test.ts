import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inForce, parseIni, silentLog } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { startAgent } from '../agent.ts';
import { agentOptions, optionsIn } from '../option-table.ts';
import { checkDnsmasq } from './process.ts';

test('a host without Dnsmasq is told what to install', async () => {
  await expect(checkDnsmasq('/nonexistent/dnsmasq')).rejects.toMatchObject({
    code: 'DNSMASQ_MISSING',
    message: expect.stringMatching(/^cannot run \/nonexistent\/dnsmasq: .*ENOENT; install dnsmasq-base$/),
  });
});

test('an etcd that cannot be opened ends the start before anything on the host is touched', async () => {
  const directory = join(import.meta.dirname, 'nonexistent');
  const text = `[DEFAULT]\ndhcp_confs = ${directory}\n[calico]\netcd_cert_file = /nonexistent/cert.pem\netcd_key_file = /nonexistent/key.pem\netcd_ca_cert_file = /nonexistent/ca.pem\n`;
  const resolution = optionsIn([{ path: 'neutron.conf', ini: parseIni(text, 'neutron.conf', 'conf') }]);
  await expect(startAgent(agentOptions(inForce(resolution)), silentLog())).rejects.toMatchObject({ code: 'ETCD_MISCONFIGURED' });
  expect(existsSync(directory)).toBe(false);
});
