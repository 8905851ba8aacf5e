// Builds the frames by which a VM, or QEMU for it, shows on which host it begins to run.
import { addressBytes, type IpAddress, macBytes } from '@calico-openstack/addresses';
import { arpFrame, frame } from './frames.ts';

/** Whom the frames are about. */
export type Announced = { readonly mac: string; readonly address4: string; readonly address6: string };

const bytesOf = (address: string): Uint8Array => addressBytes(address as IpAddress);

/** A reverse request (RFC 903) by which QEMU makes switches learn where the VM is. */
export function rarpFrame({ mac }: Pick<Announced, 'mac'>): Uint8Array {
  const own = macBytes(mac);
  const none = [0, 0, 0, 0];
  const arp = [0, 1, 8, 0, 6, 4, 0, 3];
  return Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...own, 0x80, 0x35, ...arp, ...own, ...none, ...own, ...none, ...new Array<number>(18).fill(0)]);
}

/** A guest's gratuitous ARP request. */
export const gratuitousArpFrame = ({ mac, address4 }: Pick<Announced, 'mac' | 'address4'>): Uint8Array =>
  arpFrame({ operation: 1, senderMac: mac, sender: bytesOf(address4), target: bytesOf(address4) });

/** A guest's unsolicited neighbour advertisement (RFC 4861). */
export const advertisementFrame = ({ mac, address6 }: Pick<Announced, 'mac' | 'address6'>): Uint8Array =>
  frame({
    sourceMac: mac,
    destinationMac: '33:33:00:00:00:01',
    source: bytesOf(address6),
    destination: bytesOf('ff02::1'),
    protocol: 58,
    icmp: { type: 136, code: 0 },
    payload: bytesOf(address6),
  });
