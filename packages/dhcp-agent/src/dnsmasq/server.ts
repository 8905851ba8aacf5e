// The DHCPv4 server as the agent's loop uses it: ports come in, files and signals go out. It knows what Dnsmasq has in memory besides what is in the files.
import type { FamilyServer } from '../family-server.ts';
import type { Ipv4Service } from '../service/service.ts';
import { type HostEntry, hostEntryOf, type PortFiles, parseHost, printHost, printOptions, sameEntry } from './files.ts';
import { formerLeases } from './former-leases.ts';
import type { Lease } from './leases.ts';
import { createReloads } from './reloads.ts';

/** Dnsmasq's files and process, as far as they are needed here. `disk.ts` implements it. */
export interface Dnsmasq {
  readFiles(): Map<string, PortFiles>;
  writeFiles(tap: string, files: PortFiles): void;
  removeFiles(tap: string): void;
  /** The leases. @throws while they are being written for longer than usual */
  leases(): readonly Lease[];
  /** Registers the function that lists each port's files. Missing ones are written again before Dnsmasq starts. */
  keep(files: () => Iterable<readonly [string, PortFiles]>): void;
  /** Sends SIGHUP: Dnsmasq forgets what it read, and reads all files again. Of the messages that reach it after this call, it may take one before it does so. */
  reload(): void;
  /** Registers the function that is called whenever a Dnsmasq was started or taken over, and has read all files. */
  onStart(listener: () => void): void;
  /** Whether Dnsmasq runs and answers by these files. */
  isServing(): boolean;
}

/** The DHCPv4 server, with what it has on disk. */
export type DnsmasqServer = FamilyServer<Ipv4Service, HostEntry> & {
  /** The port that Dnsmasq answers on a tap; undefined also when Dnsmasq is away, or has not yet read all of the port's files. */
  answeredOn(tap: string): HostEntry | undefined;
};

/**
 * Serves ports by Dnsmasq. How Dnsmasq 2.90 treats its directories, from its source and observed: It reads a new file at once. It reads a changed file in addition: its options count
 * at once, but removed options stay, and a host's line is refused while another line in memory has its IPv4 address. A removed file's lines stay. A reload puts all that right.
 * @param answered called with the taps on which Dnsmasq answers again, after it has read their files again or was restarted
 */
export function createDnsmasqServer(dnsmasq: Dnsmasq, answered: (taps: Iterable<string>) => void = () => undefined): DnsmasqServer {
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
  /** The taps whose lines Dnsmasq may have refused, until the reload that is wanted for them. */
  const unread = new Set<string>();
  const reloads = createReloads(() => {
    dnsmasq.reload();
    lingering.clear();
    const taps = [...unread];
    unread.clear();
    answered(taps);
  });
  dnsmasq.onStart(() => answered(ports.keys()));
  const formers = formerLeases(() => dnsmasq.leases(), ports);

  function serve(tap: string, mac: string, service: Ipv4Service): boolean {
    const before = ports.get(tap);
    const text = printOptions(tap, service);
    const plain = hostEntryOf(tap, mac, service);
    if (before && sameEntry(before, plain) && options.get(tap) === text) return false;
    const entry = before && sameEntry(before, plain) ? before : hostEntryOf(tap, mac, service, formers.macsOf(service.leases));
    dnsmasq.writeFiles(tap, { host: printHost(entry), options: text });
    ports.set(tap, entry);
    options.set(tap, text);
    const others = [tap, ...entry.leases].flatMap((one) => lingering.get(one) ?? []);
    // What a tenant can repeat without end is limited, so that others' guests do not wait: changes of a port that stays, and DHCP that is switched off and on.
    const urgency = !before && others.some((other) => other !== tap) ? 'now' : 'soon';
    if (before || others.length > 0) {
      reloads.want(urgency);
      unread.add(tap);
    }
    for (const address of before?.leases ?? []) if (!entry.leases.includes(address)) lingering.set(address, tap);
    return true;
  }

  function withdraw(tap: string): boolean {
    const before = ports.get(tap);
    if (!before) return false;
    dnsmasq.removeFiles(tap);
    ports.delete(tap);
    options.delete(tap);
    unread.delete(tap);
    for (const one of [tap, ...before.leases]) lingering.set(one, tap);
    reloads.want('later'); // it does no harm meanwhile: a deleted port has no tap to ask by
    return true;
  }

  function settle(nowMs: number): number | undefined {
    formers.outdated();
    return reloads.settle(nowMs);
  }

  return {
    family: 4,
    ports,
    isServing: () => !reloads.isBehind && dnsmasq.isServing(),
    answeredOn(tap) {
      const port = ports.get(tap);
      // Whether Dnsmasq serves is asked last, because it is read from /proc, and this is called for each message of a guest.
      return port !== undefined && !unread.has(tap) && dnsmasq.isServing() ? port : undefined;
    },
    serve,
    withdraw,
    settle,
  };
}
