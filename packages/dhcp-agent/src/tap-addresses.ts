// The host's own addresses on the taps of the ports that are served: which each tap is to have, and what the kernel refused.
import type { IpAddress } from '@calico-openstack/addresses';
import type { LinkEditor, Links } from '@calico-openstack/kernel/links/link';
import type { FamilyServer } from './dnsmasq/server.ts';
import type { refusalTeller } from './refusals.ts';
import { setServerAddresses } from './taps.ts';

export type TapAddressesOptions = {
  readonly links: Links & LinkEditor;
  /** Each knows the server addresses of its ports. */
  readonly servers: readonly Pick<FamilyServer, 'ports'>[];
  /** Whether nobody may have the address on a tap. */
  readonly isForbidden: (address: IpAddress) => boolean;
  readonly tellRefusal: ReturnType<typeof refusalTeller>;
};

/**
 * Gives a tap the addresses that its port is served from. `add`: takes away only what nobody may have.
 * @returns what does that; false: the kernel refused some of it, and it has to be tried again
 */
export function tapAddresses({ links, servers, isForbidden, tellRefusal }: TapAddressesOptions): (tap: string, mode: 'add' | 'replace') => boolean {
  return (tap, mode) => {
    // Files may say what an earlier run wrote: what nobody may have does not come to the tap, and goes from it, before etcd is heard.
    const wanted = servers.flatMap(({ ports }) => ports.get(tap)?.serverAddresses ?? []).filter(({ address }) => !isForbidden(address));
    const refusals = setServerAddresses(links, tap, wanted, mode, isForbidden);
    const reason = refusals.map(({ address, code, detail }) => `the kernel refuses ${address}: ${code}${detail ? ` (${detail})` : ''}`).join('; ');
    tellRefusal(tap, 'addresses', reason || undefined);
    return refusals.length === 0;
  };
}
