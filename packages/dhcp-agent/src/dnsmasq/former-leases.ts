// Finds the MACs that had an address in lease before. Dnsmasq refuses a port an address that is still leased to a deleted one, unless the former MAC is named after the new one.
import type { IpAddress } from '@calico-openstack/addresses';
import type { HostEntry } from './files.ts';
import type { Lease } from './leases.ts';

/** The MACs of former leases. */
export interface FormerLeases {
  /** The MACs that any of these addresses is leased to. The addresses may be leased from now on. @throws when the leases cannot be read, until they are outdated */
  macsOf(addresses: readonly IpAddress[]): readonly string[];
  /** Makes the next call read the leases again. */
  outdated(): void;
}

/** How many addresses may be leased before the leases are read again, to forget those that have ended. */
const leasedAtLeast = 4096;

/** Reads the leases only for addresses that may be leased, and once until they are outdated. @param ports the served ports, whose addresses may be leased */
export function formerLeases(read: () => readonly Lease[], ports: ReadonlyMap<string, HostEntry>): FormerLeases {
  let leases: readonly Lease[] | undefined;
  /** Why the leases cannot be read. Reading them may take long, so it is not tried again for the next port. */
  let failure: { readonly error: unknown } | undefined;
  /** The addresses that may be leased. Any other was not served since the leases were read first, so nobody has it, and they need not be read for it. */
  let leased = new Set<string>();
  let mostLeased = -1;

  function current(): readonly Lease[] {
    if (failure) throw failure.error;
    try {
      leases ??= read();
    } catch (error) {
      failure = { error };
      throw error;
    }
    return leases;
  }

  return {
    macsOf(addresses) {
      if (leased.size > mostLeased) {
        leased = new Set([...current().map(({ address }) => address), ...[...ports.values()].flatMap((port) => port.leases)]);
        mostLeased = 2 * leased.size + leasedAtLeast;
      }
      const mayBeLeased = addresses.some((address) => leased.has(address));
      const macs = mayBeLeased ? current().flatMap(({ address, mac }) => (mac !== undefined && addresses.includes(address) ? [mac] : [])) : [];
      for (const address of addresses) leased.add(address);
      return macs;
    },
    outdated() {
      leases = undefined;
      failure = undefined;
    },
  };
}
