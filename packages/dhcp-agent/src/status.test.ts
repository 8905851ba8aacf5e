import { silentLog } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { rememberErrors } from './last-error.ts';
import { agentMetrics } from './metrics.ts';

test('metrics tell, by network, the ports and their requests, and forget a network whose last port is gone', async () => {
  const ports = new Map([
    ['tap1', { networkId: 'net-a', families: [4, 6] as const }],
    ['tap2', { networkId: 'net-a', families: [4] as const }],
    ['tap3', { networkId: 'net-b', families: [6] as const }],
  ]);
  const metrics = agentMetrics({
    ports: () => ports.values(),
    networkOf: (tap) => ports.get(tap)?.networkId,
    dnsmasqs: { dhcp: { isServing: () => true, restarts: 2 } },
    problems: () => new Map([['net-a', { count: 3, lastMs: 2500 }]]),
    refusals: () => 1,
    lastErrorMs: () => 1500,
  });
  for (const tap of ['tap1', 'tap2', 'tap3', 'tap4']) metrics.asked(tap, 'dhcpv4');
  metrics.asked('tap1', 'dns');
  const lines = async (): Promise<string[]> =>
    (await metrics.registry.metrics()).split('\n').flatMap((line) => (line.startsWith('calico') ? [line.replace('calico_dhcp_agent_', '')] : []));
  expect((await lines()).sort()).toEqual([
    'dnsmasq_restarts_total{dnsmasq="dhcp"} 2',
    'dnsmasq_up{dnsmasq="dhcp"} 1',
    'in_sync 0',
    'last_error_timestamp_seconds 1.5',
    'ports{network="net-a",family="ipv4"} 2',
    'ports{network="net-a",family="ipv6"} 1',
    'ports{network="net-b",family="ipv6"} 1',
    'problem_timestamp_seconds{network="net-a"} 2.5',
    'problems{network="net-a"} 3',
    'refusals 1',
    'requests_total{network="net-a",protocol="dhcpv4"} 2',
    'requests_total{network="net-a",protocol="dns"} 1',
    'requests_total{network="net-b",protocol="dhcpv4"} 1',
  ]);
  ports.delete('tap3');
  expect((await lines()).filter((line) => line.includes('net-b'))).toEqual([]);
  ports.set('tap3', { networkId: 'net-b', families: [6] });
  expect((await lines()).filter((line) => line.startsWith('requests_total{network="net-b"'))).toEqual([]);
});

test('the last warning or error is remembered, also of a logger’s child', () => {
  let nowMs = 7;
  const { log, last } = rememberErrors(silentLog(), () => nowMs);
  log.info('a note');
  expect(last()).toBeUndefined();
  log.warn({ tap: 'tap1' }, 'a warning');
  expect(last()).toEqual({ message: 'a warning', atMs: 7 });
  nowMs = 8;
  log.child({ part: 'x' }).error('an error');
  expect(last()).toEqual({ message: 'an error', atMs: 8 });
});
