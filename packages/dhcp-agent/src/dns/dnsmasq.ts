// The Dnsmasq that resolves, for guests, all names that are not those of this host's ports. Only the agent sends it queries, on the loopback.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '@calico-openstack/agent';
import { networkNamespaceOf } from '@calico-openstack/kernel/processes/processes';
import { dnsmasqHost, kill, processesWith } from '../dnsmasq/process.ts';
import { type DnsmasqProcess, startDnsmasqSupervisor } from '../dnsmasq/supervisor.ts';
import type { ForwardingOptions } from '../option-table.ts';
import { forwarderAt } from './forwarder.ts';

/** The directories below the agent's directory: one with a file of names for each port, and one for this Dnsmasq. */
export const dnsPlacesIn = (directory: string) => ({
  ports: join(directory, 'dns'),
  dnsmasq: join(directory, 'dnsmasq-dns'),
  pid: join(directory, 'dnsmasq-dns/pid'),
});

/** The size of Dnsmasq's cache, in names. */
const cachedNames = 10_000;
/** The number of queries that Dnsmasq has under way at the same time. One guest can use a part of them (limits.ts). */
const mostAsked = 10_000;

/**
 * Dnsmasq's arguments. No text of a tenant is among them.
 *
 * | option | why |
 * |---|---|
 * | `--conf-file=` | Debian's own configuration is for another Dnsmasq |
 * | `--no-hosts` | the host's own names are not the guests' |
 * | `--bind-interfaces` | the port of the host's other addresses is left to other programs |
 */
export const forwarderArguments = (directory: string, { servers, local }: ForwardingOptions): readonly string[] => [
  '--keep-in-foreground',
  '--conf-file=',
  `--port=${forwarderAt.port}`,
  `--listen-address=${forwarderAt.address}`,
  '--bind-interfaces',
  '--no-hosts',
  ...(local ? [] : ['--no-resolv']),
  ...servers.map((server) => `--server=${server}`),
  `--cache-size=${cachedNames}`,
  `--dns-forward-max=${mostAsked}`,
  `--pid-file=${dnsPlacesIn(directory).pid}`,
  '--log-async=100',
];

/** Whether the operator has configured servers to forward queries to. */
export const hasForwarder = ({ servers, local }: ForwardingOptions): boolean => local || servers.length > 0;

/** Keeps the Dnsmasq running if the operator has configured servers. Otherwise it ends the one that an earlier agent may have left. */
export async function openForwardingDnsmasq(directory: string, forwarding: ForwardingOptions, log: Logger): Promise<DnsmasqProcess | undefined> {
  if (!hasForwarder(forwarding)) {
    await endForwardingDnsmasq(directory);
    return undefined;
  }
  const places = dnsPlacesIn(directory);
  const supervised = startDnsmasqSupervisor({
    // The directory of /etc/resolv.conf is watched by some versions and not by others.
    host: dnsmasqHost(
      { program: ['dnsmasq'], arguments: forwarderArguments(directory, forwarding), pidFile: places.pid, watchedDirectories: 0, isAlone: true },
      log,
    ),
    gives: 'names from outside',
    beforeStart: () => void mkdirSync(places.dnsmasq, { recursive: true, mode: 0o755 }),
    log,
  });
  supervised.run();
  return supervised;
}

/** Ends the Dnsmasq of this network namespace, and removes its directory. Returns the numbers of the processes. */
export async function endForwardingDnsmasq(directory: string): Promise<readonly number[]> {
  const places = dnsPlacesIn(directory);
  const found = processesWith(`--pid-file=${places.pid}`).filter(({ network }) => network === networkNamespaceOf('self'));
  for (const one of found) await kill(one);
  rmSync(places.dnsmasq, { recursive: true, force: true });
  return found.map(({ pid }) => pid);
}
