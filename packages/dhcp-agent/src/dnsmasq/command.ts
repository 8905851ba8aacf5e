// Dnsmasq's command line. Nothing in it depends on ports or subnets, so no change of these needs a restart.
import { join } from 'node:path';
import { addressOf } from '@calico-openstack/addresses';
import type { DnsmasqOptions } from '../option-table.ts';
import { ipv4Ranges, netmask } from '../service/ipv4.ts';

/** The directories and files of Dnsmasq. */
export type Places = {
  readonly directory: string;
  readonly hosts: string;
  readonly options: string;
  readonly leases: string;
  readonly pid: string;
};

/** The directory with the IPv6 service of each port, below the agent's directory. */
export const ipv6DirectoryIn = (directory: string): string => join(directory, 'ipv6');

/** The places of Dnsmasq below the agent's directory. */
export function placesIn(directory: string): Places {
  const own = join(directory, 'dnsmasq-4');
  return { directory: own, hosts: join(own, 'hosts'), options: join(own, 'options'), leases: join(own, 'leases'), pid: join(own, 'pid') };
}

/**
 * Dnsmasq's arguments, without the program.
 *
 * | option | why |
 * |---|---|
 * | `--conf-file=` | Debian's own configuration is for another Dnsmasq |
 * | `--port=0` | no DNS |
 * | `--bind-interfaces` | another Dnsmasq (libvirt's) may serve other interfaces of the host. With `--bind-dynamic` Dnsmasq would read all addresses of the host at each change of one, for DNS that it does not do; taps that come and go are served in any case |
 * | `--dhcp-ignore=tag:!known` | a guest without a hosts file gets no answer, not even a refusal |
 * | `--dhcp-ignore-names` | the names that guests give themselves are not used |
 * | `--dhcp-ignore-clid` | a guest chooses its client identifier freely, and could obtain another guest's lease by it |
 * | `--dhcp-authoritative` | a guest whose lease was lost keeps its address |
 * | `--quiet-dhcp` | a guest could fill the host's log, with two lines for each exchange; errors are still logged. Left out when the operator wants a log |
 * | `--log-async` | a log that is not read (a stopped syslog, a slow disk) must not delay answers to guests. Lines beyond this number are lost |
 */
export function dnsmasqArguments(places: Places, options: DnsmasqOptions): readonly string[] {
  const leaseTime = options.leaseSeconds === undefined ? 'infinite' : `${options.leaseSeconds}s`;
  return [
    '--keep-in-foreground',
    `--conf-file=${options.configFile ?? ''}`,
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
    ...ipv4Ranges.map((range) => `--dhcp-range=${addressOf(range)},static,${netmask(range)},${leaseTime}`),
    ...(options.renewalSeconds === undefined ? [] : [`--dhcp-option-force=option:T1,${options.renewalSeconds}s`]),
    ...(options.rebindingSeconds === undefined ? [] : [`--dhcp-option-force=option:T2,${options.rebindingSeconds}s`]),
    ...(options.broadcastReply ? ['--dhcp-broadcast'] : []),
    `--dhcp-lease-max=${options.leaseMax}`,
    `--dhcp-hostsdir=${places.hosts}`,
    `--dhcp-optsdir=${places.options}`,
    `--dhcp-leasefile=${places.leases}`,
    `--pid-file=${places.pid}`,
    `--log-async=${logLinesMax}`,
    ...(options.logDirectory === undefined ? ['--quiet-dhcp'] : ['--log-dhcp', `--log-facility=${join(options.logDirectory, 'dnsmasq-4.log')}`]),
  ];
}

/** The longest queue of log lines that Dnsmasq allows. Once the queue is nearly full, Dnsmasq waits for each of the last eight lines, 255 ms in all; beyond that it drops lines without waiting. */
const logLinesMax = 100;
