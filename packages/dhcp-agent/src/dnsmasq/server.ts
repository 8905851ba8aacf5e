// The DHCPv4 server as the agent's loop uses it: ports come in, files and signals go out. It knows what Dnsmasq has in memory besides what is in the files.
import type { FamilyServer } from '../family-server.ts';
import type { Ipv4Service } from '../service/service.ts';
import { type HostEntry, hostEntryOf, type PortFiles, parseHost, printHost, printOptions, sameEntry } from './files.ts';
import type { Lease } from './leases.ts';
import { createReloads } from './reloads.ts';

/** Dnsmasq's files and process, as far as they are needed here. `disk.ts` implements it. */
export interface Dnsmasq {
  readFiles(): Map<string, PortFiles>;
  writeFiles(tap: string, files: PortFiles): void;
  removeFiles(tap: string): void;
  leases(): readonly Lease[];
  /** Registers the function that lists each port's files. Missing ones are written again before Dnsmasq starts. */
  keep(files: () => Iterable<readonly [string, PortFiles]>): void;
  /** Sends SIGHUP: Dnsmasq forgets what it read, and reads all files again. */
  reload(): void;
  /** Whether Dnsmasq runs and answers by these files. */
  isServing(): boolean;
}

/** The DHCPv4 server, with what it has on disk. */
export type DnsmasqServer = FamilyServer<Ipv4Service, HostEntry>;

/** How many addresses may be leased before the leases are read again, to forget those that have ended. */
const leasedAtLeast = 4096;

/**
 * Serves ports by Dnsmasq. How Dnsmasq 2.90 treats its directories, from its source and observed: It reads a new file at once. It reads a changed file in addition: its options count
 * at once, but removed options stay, and a host's line is refused while another line in memory has its IPv4 address. A removed file's lines stay. A reload puts all that right.
 */
export function createDnsmasqServer(dnsmasq: Dnsmasq): DnsmasqServer {
  const options = new Map<string, string>();
  const ports = new Map<string, HostEntry>();
  for (const [tap, files] of dnsmasq.readFiles()) {
    const entry = parseHost(files.host);
    if (!entry) continue;
    ports.set(tap, entry);
    options.set(tap, files.options);
  }
  dnsmasq.keep(() => [...ports].map(([tap, entry]) => [tap, { host: printHost(entry), options: options.get(tap) ?? '' }] as const));
  /** The addresses and taps of lines that Dnsmasq may still have in memory although their file was removed or has others now, with the tap that they were for. */
  const lingering = new Map<string, string>();
  const reloads = createReloads(() => {
    dnsmasq.reload();
    lingering.clear();
  });
  /** The leases, read once between two calls of `settle`. */
  let leases: readonly Lease[] | undefined;
  /** The addresses that may be leased. Any other was not served since the leases were read first, so nobody has it, and they need not be read for it. */
  let leased = new Set<string>();
  let mostLeased = -1;

  function serve(tap: string, mac: string, service: Ipv4Service): boolean {
    const before = ports.get(tap);
    const text = printOptions(tap, service);
    const plain = hostEntryOf(tap, mac, service);
    if (before && sameEntry(before, plain) && options.get(tap) === text) return false;
    const entry = before && sameEntry(before, plain) ? before : withFormerLeases(plain, service, mac);
    dnsmasq.writeFiles(tap, { host: printHost(entry), options: text });
    ports.set(tap, entry);
    options.set(tap, text);
    const formers = [tap, ...entry.leases].flatMap((one) => lingering.get(one) ?? []);
    // What a tenant can repeat without end is limited, so that others' guests do not wait: changes of a port that stays, and DHCP that is switched off and on.
    if (!before && formers.some((former) => former !== tap)) reloads.want('now');
    else if (before || formers.length > 0) reloads.want('soon');
    for (const address of before?.leases ?? []) if (!entry.leases.includes(address)) lingering.set(address, tap);
    return true;
  }

  /** Dnsmasq refuses a port an address that is still leased to a deleted one, unless the former MAC is named after the new one. */
  function withFormerLeases(entry: HostEntry, service: Ipv4Service, mac: string): HostEntry {
    if (leased.size > mostLeased) {
      leased = new Set([...readLeases().map(({ address }) => address), ...[...ports.values()].flatMap((port) => port.leases)]);
      mostLeased = 2 * leased.size + leasedAtLeast;
    }
    const mayBeLeased = service.leases.some((address) => leased.has(address));
    for (const address of service.leases) leased.add(address);
    if (!mayBeLeased) return entry;
    const former = readLeases()
      .filter(({ address }) => service.leases.includes(address))
      .flatMap((lease) => lease.mac ?? []);
    return hostEntryOf(entry.tap, mac, service, former);
  }

  function readLeases(): readonly Lease[] {
    leases ??= dnsmasq.leases();
    return leases;
  }

  function withdraw(tap: string): boolean {
    const before = ports.get(tap);
    if (!before) return false;
    dnsmasq.removeFiles(tap);
    ports.delete(tap);
    options.delete(tap);
    for (const one of [tap, ...before.leases]) lingering.set(one, tap);
    reloads.want('later'); // it does no harm meanwhile: a deleted port has no tap to ask by
    return true;
  }

  function settle(nowMs: number): number | undefined {
    leases = undefined;
    return reloads.settle(nowMs);
  }

  return { family: 4, ports, isServing: () => !reloads.isBehind && dnsmasq.isServing(), serve, withdraw, settle };
}
