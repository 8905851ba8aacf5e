// Dnsmasq's files and memory without Dnsmasq, for tests: it reads as strictly, keeps as much in memory, and gives the same answers. testing/dnsmasq-contract.ts tests both.
import type { IpAddress } from '@calico-openstack/addresses';
import { type PortFiles, parseHost } from './files.ts';
import type { Lease } from './leases.ts';
import type { Dnsmasq } from './server.ts';

type HostLine = { readonly tap: string; readonly macs: readonly string[]; readonly addresses: readonly IpAddress[] };
type OptionLine = { readonly tap: string; readonly code: string; readonly value: string };

/** A guest's answer: its addresses, and options by code. */
export type Answer = { readonly addresses: readonly IpAddress[]; readonly options: ReadonlyMap<string, string> };

/** A Dnsmasq whose files, leases and calls a test can look at. */
export interface FakeDnsmasq extends Dnsmasq {
  readonly files: Map<string, PortFiles>;
  readonly leaseTable: Map<IpAddress, string>;
  readonly calls: { reloads: number };
  /** Makes a whole exchange, from DISCOVER to ACK; undefined when there is no answer. */
  ask(tap: string, mac: string): Answer | undefined;
}

/** A fake Dnsmasq that has read `files` at its start. */
export function fakeDnsmasq(files = new Map<string, PortFiles>()): FakeDnsmasq {
  const leaseTable = new Map<IpAddress, string>();
  const calls = { reloads: 0 };
  /** The lines, newest first, in the order in which Dnsmasq searches them. */
  let hosts: HostLine[] = [];
  let options: OptionLine[] = [];

  function read(which: PortFiles): void {
    options = [...readOptionLines(which.options), ...options];
    const entry = parseHost(which.host);
    if (!entry) return;
    const taken = hosts.some(({ addresses }) => addresses.some((address) => entry.leases.includes(address)));
    if (!taken) hosts = [{ tap: entry.tap, macs: entry.macs, addresses: entry.leases }, ...hosts];
  }

  function readAll(): void {
    hosts = [];
    options = [];
    for (const which of files.values()) read(which);
  }
  readAll();

  return {
    files,
    leaseTable,
    calls,
    readFiles: () => new Map(files),
    writeFiles(tap, written) {
      files.set(tap, written);
      read(written);
    },
    removeFiles: (tap) => files.delete(tap),
    keep: () => undefined,
    isServing: () => true,
    leases: () => [...leaseTable].map(([address, mac]): Lease => ({ address, mac })),
    onStart: () => undefined,
    reload() {
      calls.reloads += 1;
      readAll();
    },
    ask(tap, mac) {
      const host = hosts.find((line) => line.tap === tap && line.macs.includes(mac));
      if (!host) return undefined;
      const free = host.addresses.filter((address) => {
        const holder = leaseTable.get(address);
        return holder === undefined || holder === mac || host.macs.includes(holder);
      });
      if (free.length === 0) return undefined;
      for (const address of free) leaseTable.set(address, mac);
      const told = new Map<string, string>();
      for (const { code, value, ...line } of options) if (line.tap === tap && !told.has(code)) told.set(code, value);
      return { addresses: free, options: told };
    },
  };
}

const readOptionLines = (text: string): OptionLine[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, tap = '', code = '', value = ''] = /^tag:([^,]*),([^,]*),?(.*)$/.exec(line) ?? [];
      return { tap, code, value };
    })
    .reverse();
