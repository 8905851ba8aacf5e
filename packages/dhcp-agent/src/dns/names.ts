// Holds the names of this host's ports. Each network has names of its own. Pure.
import type { IpAddress } from '@calico-openstack/addresses';
import { compareText } from '@calico-openstack/datamodel';
import type { DnsService } from '../service/service.ts';
import { type Answer, isInternet, type Query, recordType, reverseAddress } from './message.ts';

/** The names of the ports that are served. */
export interface PortNames {
  /** Sets the port of a tap; undefined when it is gone. */
  set(tap: string, port: DnsService | undefined): void;
  /** The tap whose port has the address. */
  tapOf(address: IpAddress): string | undefined;
  /** The records that answer a query of the port of a tap, from the names of its network; undefined when the network has no such name. The list is empty for a name without a record of the requested type. */
  find(tap: string, query: Query): readonly Answer[] | undefined;
}

/** Creates an empty table of names. */
export function createPortNames(): PortNames {
  const ports = new Map<string, DnsService>();
  /** The taps by address, and by network and name. */
  const [byAddress, byName] = [new Map<IpAddress, string>(), new Map<string, Set<string>>()];
  const keyOf = ({ networkId }: DnsService, name: string): string => `${networkId} ${name}`;

  function remove(tap: string): void {
    const port = ports.get(tap);
    if (!port) return;
    ports.delete(tap);
    for (const address of port.addresses) if (byAddress.get(address) === tap) byAddress.delete(address);
    for (const name of namesOf(port)) {
      const taps = byName.get(keyOf(port, name));
      taps?.delete(tap);
      if (taps?.size === 0) byName.delete(keyOf(port, name));
    }
  }

  /** The port that has the name. When several ports have it, the oldest one does, so that a port that was created later takes no name from its neighbours. */
  const ownerOf = (asking: DnsService, name: string): DnsService | undefined =>
    [...(byName.get(keyOf(asking, name)) ?? [])]
      .flatMap((tap) => ports.get(tap) ?? [])
      .reduce<DnsService | undefined>((first, next) => (first === undefined || isOlder(next, first) ? next : first), undefined);

  return {
    set(tap, port) {
      remove(tap);
      if (!port) return;
      ports.set(tap, port);
      for (const address of port.addresses) byAddress.set(address, tap);
      for (const name of namesOf(port)) byName.set(keyOf(port, name), (byName.get(keyOf(port, name)) ?? new Set()).add(tap));
    },
    tapOf: (address) => byAddress.get(address),
    find(tap, query) {
      const asking = ports.get(tap);
      if (!asking || query.name === undefined || !isInternet(query)) return undefined;
      const reversed = reverseAddress(query.name);
      if (reversed !== undefined) {
        const named = ports.get(byAddress.get(reversed) ?? '');
        if (named?.networkId !== asking.networkId) return undefined;
        return query.type === recordType.ptr || query.type === recordType.any ? [{ name: namesOf(named)[0]! }] : [];
      }
      const types = { 4: recordType.a, 6: recordType.aaaa } as const;
      return ownerOf(asking, query.name)
        ?.addresses.filter((address) => query.type === recordType.any || query.type === types[address.includes(':') ? 6 : 4])
        .map((address) => ({ address }));
    },
  };
}

/** A port's names in lower case: with its domain first, and without. */
const namesOf = ({ hostname, domain }: DnsService): readonly string[] =>
  (domain === undefined ? [hostname] : [`${hostname}.${domain}`, hostname]).map((name) => name.toLowerCase());

const isOlder = (a: DnsService, b: DnsService): boolean =>
  a.createdMs !== b.createdMs ? a.createdMs < b.createdMs : compareText(a.addresses[0] ?? '', b.addresses[0] ?? '') < 0;
