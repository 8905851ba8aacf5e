// Neighbour entries as values: which MAC an address has on a link, and for which addresses the host answers in somebody else's name. No I/O.
import { addressBytes, macBytes } from '@calico-openstack/addresses';
import type { WantedKind } from '../programmer/programmer.ts';

/**
 * A desired neighbour entry. `permanent`: the address has this MAC on the link, whatever guests announce there. `proxy`: the host answers ARP or neighbour
 * solicitations for the address on this link (for IPv6 with the link's sysctl `proxy_ndp`). Addresses in canonical text.
 */
export type Neighbour =
  | { readonly kind: 'permanent'; readonly device: string; readonly address: string; readonly mac: string }
  | { readonly kind: 'proxy'; readonly device: string; readonly address: string };

/** A neighbour entry as the kernel has it. `learned`: any entry that is not permanent, resolved or not. */
export type KernelNeighbour =
  | { readonly kind: 'permanent' | 'learned'; readonly deviceIndex: number; readonly address: string; readonly mac?: string }
  | { readonly kind: 'proxy'; readonly deviceIndex: number; readonly address: string };

/** The key of a wanted neighbour. */
export const neighbourKey = ({ kind, device, address }: Pick<Neighbour, 'kind' | 'device' | 'address'>): string => `${kind} ${device} ${address}`;

/** The neighbour as iproute2 would print it, for people. */
export function printNeighbour(neighbour: Neighbour | KernelNeighbour): string {
  const device = 'device' in neighbour ? neighbour.device : `#${neighbour.deviceIndex}`;
  const mac = 'mac' in neighbour && neighbour.mac !== undefined ? ` lladdr ${neighbour.mac}` : '';
  return `${neighbour.address} dev ${device}${mac} ${neighbour.kind}`;
}

/** Neighbours as a kind of object for the programmer. */
export const neighbourKind: WantedKind<Neighbour, KernelNeighbour> = {
  wantedKey: neighbourKey,
  deviceName: ({ device }) => device,
  place({ device: _, ...neighbour }, deviceIndex) {
    if (deviceIndex === undefined) throw new TypeError('a neighbour is always on a link');
    return { ...neighbour, deviceIndex };
  },
  // One entry for an address on a link, permanent or not; proxies are a list of their own.
  key: ({ kind, deviceIndex, address }) => `${kind === 'proxy' ? 'proxy' : 'entry'} ${deviceIndex} ${address}`,
  same: (a, b) => printNeighbour(a) === printNeighbour(b),
  deviceIndex: ({ deviceIndex }) => deviceIndex,
  deleteMayMiss: () => false,
  check: checkNeighbour,
};

/** Throws RangeError for a neighbour that cannot be encoded. */
function checkNeighbour(neighbour: Neighbour): void {
  addressBytes(neighbour.address);
  if (neighbour.kind === 'permanent') macBytes(neighbour.mac);
}
