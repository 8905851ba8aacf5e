// Sets the host's own addresses on the taps of the ports that are served, and reports what the kernel refuses.
import type { IpAddress } from '@calico-openstack/addresses';
import type { LinkEditor, Links } from '@calico-openstack/kernel/links/link';
import type { FamilyServer } from './family-server.ts';
import type { RefusalTeller } from './refusals.ts';
import { setServerAddresses } from './taps.ts';

/** The servers that know the addresses, and the links that get them. */
export type TapAddressesOptions = {
  readonly links: Links & LinkEditor;
  /** The families' servers, which know the server addresses of their ports. */
  readonly servers: readonly Pick<FamilyServer, 'ports'>[];
  /** Whether nobody may have the address on a tap. */
  readonly isForbidden: (address: IpAddress) => boolean;
  readonly tellRefusal: RefusalTeller;
};

/**
 * Gives a tap the addresses that its port is served from. In mode `add` only reserved addresses are removed.
 * @returns the function that does so; it returns false when the kernel refused something, which has to be retried
 */
export function tapAddresses({ links, servers, isForbidden, tellRefusal }: TapAddressesOptions): (tap: string, mode: 'add' | 'replace') => boolean {
  return (tap, mode) => {
    // The files may come from an earlier run. Reserved addresses in them are not added, and are removed from the tap, even before etcd has been read.
    const wanted = servers.flatMap(({ ports }) => ports.get(tap)?.serverAddresses ?? []).filter(({ address }) => !isForbidden(address));
    const refusals = setServerAddresses(links, tap, wanted, mode, isForbidden);
    const reason = refusals.map(({ address, code, detail }) => `the kernel refuses ${address}: ${code}${detail ? ` (${detail})` : ''}`).join('; ');
    tellRefusal(tap, 'addresses', reason || undefined);
    return refusals.length === 0;
  };
}
