// One family's DHCP server as the agent's loop uses it: ports in, files and signals out. Knows what Dnsmasq has in memory besides what is in the files.
import type { IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { FamilyService } from '../service/service.ts';
import { type HostEntry, hostEntryOf, type PortFiles, parseHost, printHost, printOptions, sameEntry } from './files.ts';
import type { Lease } from './leases.ts';

/** The files and the process, as far as they are needed here. `disk.ts` has the real ones. */
export interface Dnsmasq {
  readFiles(): Map<string, PortFiles>;
  writeFiles(tap: string, files: PortFiles): void;
  removeFiles(tap: string): void;
  leases(): readonly Lease[];
  /** SIGHUP: it forgets what it read, and reads all files again. */
  reload(): void;
  /** Ends it and starts it again without the leases of these addresses. */
  restartWithout(addresses: ReadonlySet<IpAddress>): void;
}

export interface FamilyServer {
  readonly family: IpFamily;
  /** As on disk. */
  readonly ports: ReadonlyMap<string, HostEntry>;
  /** The text of each port's options, by tap. */
  readonly options: ReadonlyMap<string, string>;
  /** Serves a port from now on in this way. True: that is new, or another way than before. */
  serve(tap: string, mac: string, service: FamilyService): boolean;
  /** Serves it no longer. True: it was served. */
  withdraw(tap: string): boolean;
  /**
   * Has Dnsmasq act on what the calls since the last one changed and it cannot see by itself. Gives the time after which it wants to be called again
   * (undefined: not before the next change).
   */
  settle(nowMs: number): number | undefined;
}

/** Removals are tidied up this much later, all at once: each time Dnsmasq reads all files, and a port that is gone has no tap to ask by. */
const tidyMs = 1000;

/**
 * What Dnsmasq 2.90 does with its directories, from its source and seen: a new file is read at once. A changed one is read in addition: its options count from then
 * on, but options it has no longer stay, and a host's line is refused while another line in memory has its IPv4 address. A removed file's lines stay. A reload puts all that right.
 */
export function createFamilyServer(family: IpFamily, dnsmasq: Dnsmasq): FamilyServer {
  const options = new Map<string, string>();
  const ports = new Map<string, HostEntry>();
  for (const [tap, files] of dnsmasq.readFiles()) {
    const entry = parseHost(files.host);
    if (!entry) continue;
    ports.set(tap, entry);
    options.set(tap, files.options);
  }
  /** Addresses and taps of lines that Dnsmasq may still have although their file is gone. */
  const lingering = new Set<string>();
  const inTheWay = new Set<IpAddress>();
  let reload: 'none' | 'later' | 'now' = 'none';
  let tidyAtMs = Number.POSITIVE_INFINITY;
  /** Read once between two calls of `settle`. */
  let leases: readonly Lease[] | undefined;

  function serve(tap: string, mac: string, service: FamilyService): boolean {
    const before = ports.get(tap);
    const text = printOptions(tap, service);
    const plain = hostEntryOf(tap, mac, service);
    if (before && sameEntry(before, plain) && options.get(tap) === text) return false;
    const entry = before && sameEntry(before, plain) ? before : withFormerLeases(plain, service, mac);
    dnsmasq.writeFiles(tap, { host: printHost(entry), options: text });
    ports.set(tap, entry);
    options.set(tap, text);
    if (before || [tap, ...entry.leases].some((one) => lingering.has(one))) reload = 'now';
    return true;
  }

  /**
   * An address that is still leased to a port that is gone is refused to the next one. For IPv4 it is enough to name the former MAC behind the new one;
   * IPv6 leases belong to identifiers that the clients made up, and have to go.
   */
  function withFormerLeases(entry: HostEntry, service: FamilyService, mac: string): HostEntry {
    leases ??= dnsmasq.leases();
    const theirs = leases.filter(({ address }) => service.leases.includes(address));
    if (family === 6) for (const { address } of theirs) inTheWay.add(address);
    const formerMacs = family === 4 ? theirs.flatMap((lease) => lease.mac ?? []) : [];
    return hostEntryOf(entry.tap, mac, service, formerMacs);
  }

  function withdraw(tap: string): boolean {
    const before = ports.get(tap);
    if (!before) return false;
    dnsmasq.removeFiles(tap);
    ports.delete(tap);
    options.delete(tap);
    for (const one of [tap, ...before.leases]) lingering.add(one);
    if (reload === 'none') reload = 'later';
    return true;
  }

  function settle(nowMs: number): number | undefined {
    leases = undefined;
    if (inTheWay.size > 0) {
      dnsmasq.restartWithout(new Set(inTheWay));
      inTheWay.clear();
      return done();
    }
    if (reload === 'now' || nowMs >= tidyAtMs) {
      dnsmasq.reload();
      return done();
    }
    if (reload === 'later') tidyAtMs = Math.min(tidyAtMs, nowMs + tidyMs);
    reload = 'none';
    return Number.isFinite(tidyAtMs) ? tidyAtMs - nowMs : undefined;
  }

  function done(): undefined {
    reload = 'none';
    tidyAtMs = Number.POSITIVE_INFINITY;
    lingering.clear();
    return undefined;
  }

  return { family, ports, options, serve, withdraw, settle };
}
