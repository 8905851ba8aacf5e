// Dnsmasq with real files and a real process.
import type { Logger } from '@calico-openstack/agent';
import type { LinkEditor } from '@calico-openstack/kernel/links/link';
import type { AgentOptions } from '../option-table.ts';
import { dnsmasqArguments, placesIn } from './command.ts';
import { makeDirectories, makeLogDirectory, readFiles, readLiveLeaseFile, removeFiles, writeFiles, writeLeaseFile } from './directory.ts';
import { type HostEntry, type PortFiles, parseHost } from './files.ts';
import { type Lease, parseLeases, pruneLeases } from './leases.ts';
import { dnsmasqHost } from './process.ts';
import type { Dnsmasq } from './server.ts';
import { startWithoutTaps } from './starting.ts';
import { type DnsmasqProcess, startDnsmasqSupervisor } from './supervisor.ts';

/** Makes the directories; `process.run()` starts Dnsmasq. @throws StartError when a directory is unusable */
export function openDnsmasq(
  { directory, dnsmasq: options }: Pick<AgentOptions, 'directory' | 'dnsmasq'>,
  links: LinkEditor,
  log: Logger,
  { program = ['dnsmasq'], ...limits }: { readonly program?: readonly [string, ...string[]]; readonly growthMaxBytes?: number } = {},
): Dnsmasq & { readonly process: DnsmasqProcess } {
  const places = placesIn(directory);
  makeDirectories(places);
  if (options.logDirectory !== undefined) makeLogDirectory(options.logDirectory);
  let kept: () => Iterable<readonly [string, PortFiles]> = () => [];
  let started: () => void = () => undefined;
  /** The time of the lease file that was written for the Dnsmasq that runs; undefined when that one was taken over. */
  let writtenMs: number | undefined;

  const host = dnsmasqHost({ program, arguments: dnsmasqArguments(places, options), pidFile: places.pid, watchedDirectories: 2, isAlone: false }, log);
  const supervised = startDnsmasqSupervisor({
    host: { ...host, start: (onExit) => startWithoutTaps(links, () => host.start(onExit)) },
    gives: 'new leases',
    started: () => started(),
    ...limits,
    log,
    beforeStart() {
      try {
        tidy();
      } catch (error) {
        // The disk is full or read-only. Old leases affect few guests; without Dnsmasq nobody gets an answer.
        log.error({ err: error }, 'cannot remove stale files and leases before Dnsmasq starts; starting it with them; free or remount the disk');
      }
    },
  });

  function tidy(): void {
    makeDirectories(places);
    const there = readFiles(places);
    for (const [tap, files] of kept()) if (!there.has(tap)) writeFiles(places, tap, files);
    const entries = [...readFiles(places).values()].flatMap(({ host }) => parseHost(host) ?? []);
    writtenMs = writeLeaseFile(places, pruneLeases(readLiveLeaseFile(places, writtenMs).text, isKept(entries)));
  }

  return {
    process: supervised,
    readFiles: () => readFiles(places),
    writeFiles: (tap, files) => writeFiles(places, tap, files),
    removeFiles: (tap) => removeFiles(places, tap),
    leases() {
      const { text, isWhole } = readLiveLeaseFile(places, writtenMs);
      if (!isWhole) throw new Error('Dnsmasq is still writing its lease file, by which a former lease of the port’s address is found');
      return parseLeases(text);
    },
    isServing: supervised.isServing,
    keep(files) {
      kept = files;
    },
    reload: () => supervised.reload(),
    onStart(listener) {
      started = listener;
    },
  };
}

/** @returns whether a lease is kept: leases of deleted ports would pile up, and keep the next ports from getting their addresses */
export function isKept(entries: readonly HostEntry[]): (lease: Lease) => boolean {
  const macs = new Map(entries.flatMap(({ leases, macs: [mac] }) => leases.map((address) => [address, mac])));
  return ({ address, mac }) => macs.has(address) && (mac === undefined || mac === macs.get(address));
}
