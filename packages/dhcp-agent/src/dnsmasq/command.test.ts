import { expect, test } from 'vitest';
import type { DnsmasqOptions } from '../option-table.ts';
import { dnsmasqArguments, placesIn } from './command.ts';

const options: DnsmasqOptions = {
  leaseSeconds: 86_400,
  renewalSeconds: undefined,
  rebindingSeconds: undefined,
  leaseMax: 4096,
  broadcastReply: false,
  configFile: undefined,
  logDirectory: undefined,
};
const argumentsOf = (some: Partial<DnsmasqOptions> = {}) => dnsmasqArguments(placesIn('/srv/dhcp'), { ...options, ...some });

test('DHCPv4 is served on all taps, for all of IPv4, to known hosts only', () => {
  expect(argumentsOf()).toEqual([
    '--keep-in-foreground',
    '--conf-file=',
    '--port=0',
    '--no-hosts',
    '--no-resolv',
    '--bind-interfaces',
    '--interface=tap*',
    '--except-interface=lo',
    '--dhcp-authoritative',
    '--dhcp-ignore=tag:!known',
    '--dhcp-ignore-names',
    '--dhcp-ignore-clid',
    '--no-ping',
    '--dhcp-range=0.0.0.0,static,128.0.0.0,86400s',
    '--dhcp-range=128.0.0.0,static,192.0.0.0,86400s',
    '--dhcp-range=192.0.0.0,static,224.0.0.0,86400s',
    '--dhcp-lease-max=4096',
    '--dhcp-hostsdir=/srv/dhcp/dnsmasq-4/hosts',
    '--dhcp-optsdir=/srv/dhcp/dnsmasq-4/options',
    '--dhcp-leasefile=/srv/dhcp/dnsmasq-4/leases',
    '--pid-file=/srv/dhcp/dnsmasq-4/pid',
    '--log-async=100',
    '--quiet-dhcp',
  ]);
});

test.each<{ readonly some: Partial<DnsmasqOptions>; readonly gives: readonly string[] }>([
  { some: { leaseSeconds: undefined }, gives: ['--dhcp-range=0.0.0.0,static,128.0.0.0,infinite'] },
  { some: { renewalSeconds: 300 }, gives: ['--dhcp-option-force=option:T1,300s'] },
  { some: { rebindingSeconds: 500 }, gives: ['--dhcp-option-force=option:T2,500s'] },
  { some: { broadcastReply: true }, gives: ['--dhcp-broadcast'] },
  { some: { configFile: '/etc/neutron/dnsmasq.conf' }, gives: ['--conf-file=/etc/neutron/dnsmasq.conf'] },
  { some: { logDirectory: '/var/log/dhcp' }, gives: ['--log-dhcp', '--log-facility=/var/log/dhcp/dnsmasq-4.log'] },
])('$some', ({ some, gives }) => {
  expect(argumentsOf(some)).toEqual(expect.arrayContaining([...gives]));
});

test('guests’ requests are not logged, unless the operator asks for a log', () => {
  expect(argumentsOf()).toEqual(expect.arrayContaining(['--log-async=100', '--quiet-dhcp']));
  const asked = argumentsOf({ logDirectory: '/var/log/dhcp' });
  expect(asked.filter((argument) => argument.startsWith('--quiet'))).toEqual([]);
  expect(asked).toContain('--log-async=100');
});
