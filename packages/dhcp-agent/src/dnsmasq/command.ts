// How Dnsmasq is started: one for DHCPv4, one for DHCPv6 and router advertisements. Nothing in the command line depends on ports or subnets, so no change of theirs needs a restart.
import { join } from 'node:path';
import { addressOf, type IpFamily } from '@calico-openstack/addresses';
import type { DnsmasqOptions } from '../option-table.ts';
import { ipv4Ranges, netmask } from '../service/ipv4.ts';

/** Where one Dnsmasq has its things. */
export type Places = {
  readonly directory: string;
  readonly hosts: string;
  readonly options: string;
  readonly leases: string;
  readonly pid: string;
};

export function placesIn(directory: string, family: IpFamily): Places {
  const own = join(directory, `dnsmasq-${family}`);
  return { directory: own, hosts: join(own, 'hosts'), options: join(own, 'options'), leases: join(own, 'leases'), pid: join(own, 'pid') };
}

/**
 * | option | why |
 * |---|---|
 * | `--conf-file=` | Debian's own configuration is for another Dnsmasq |
 * | `--port=0` | no DNS |
 * | `--bind-dynamic` | taps come and go; another Dnsmasq (libvirt's) may serve other interfaces of the host |
 * | `--dhcp-ignore=tag:!known` | whoever has no hosts file gets no answer, not even a refusal |
 * | `--dhcp-ignore-names` | what guests call themselves is of no interest |
 * | `--dhcp-ignore-clid` | a client identifier is whatever the guest says: it would give one guest a hand in another's lease |
 * | `--dhcp-authoritative` | a guest whose lease was lost keeps its address |
 * | `--quiet-dhcp`, `--quiet-dhcp6`, `--quiet-ra` | a guest would fill the host's log, two lines a question; mistakes are still told. Not where the operator asks for a log |
 * | `--log-async` | a log that nobody reads (a syslog that stands still, a disk that is slow) must not keep guests waiting. Beyond that many lines, lines are lost |
 */
export function dnsmasqArguments(family: IpFamily, places: Places, options: DnsmasqOptions): readonly string[] {
  const leaseTime = options.leaseSeconds === undefined ? 'infinite' : `${options.leaseSeconds}s`;
  return [
    '--keep-in-foreground',
    `--conf-file=${options.configFile ?? ''}`,
    '--port=0',
    '--no-hosts',
    '--no-resolv',
    '--bind-dynamic',
    '--interface=tap*',
    '--except-interface=lo',
    '--dhcp-authoritative',
    '--dhcp-ignore=tag:!known',
    '--dhcp-ignore-names',
    ...(family === 4 ? ipv4Arguments(leaseTime, options) : ipv6Arguments(leaseTime)),
    `--dhcp-lease-max=${options.leaseMax}`,
    `--dhcp-hostsdir=${places.hosts}`,
    `--dhcp-optsdir=${places.options}`,
    `--dhcp-leasefile=${places.leases}`,
    `--pid-file=${places.pid}`,
    `--log-async=${logLinesMax}`,
    ...(options.logDirectory === undefined ? quiet[family] : ['--log-dhcp', `--log-facility=${join(options.logDirectory, `dnsmasq-${family}.log`)}`]),
  ];
}

/** As many as Dnsmasq keeps at most. Before it loses any it waits for the last eight, 255 ms in all: once, since a full queue makes nobody wait. */
const logLinesMax = 100;
const quiet: Readonly<Record<IpFamily, readonly string[]>> = { 4: ['--quiet-dhcp'], 6: ['--quiet-dhcp6', '--quiet-ra'] };

function ipv4Arguments(leaseTime: string, options: DnsmasqOptions): readonly string[] {
  return [
    '--dhcp-ignore-clid',
    '--no-ping',
    ...ipv4Ranges.map((range) => `--dhcp-range=${addressOf(range)},static,${netmask(range)},${leaseTime}`),
    ...(options.renewalSeconds === undefined ? [] : [`--dhcp-option-force=option:T1,${options.renewalSeconds}s`]),
    ...(options.rebindingSeconds === undefined ? [] : [`--dhcp-option-force=option:T2,${options.rebindingSeconds}s`]),
    ...(options.broadcastReply ? ['--dhcp-broadcast'] : []),
  ];
}

/** A range for each prefix that a tap carries. Off-link: guests send everything to the host, which routes. */
const ipv6Arguments = (leaseTime: string): readonly string[] => [`--dhcp-range=::,constructor:tap*,static,off-link,64,${leaseTime}`, '--enable-ra'];
