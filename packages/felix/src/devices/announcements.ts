// Receives the frames by which a guest shows that it runs on this host: RARP, which QEMU sends for it, its own ARP, and its IPv6 neighbour advertisements.
import { openPacketSocket } from '@calico-openstack/kernel';

/** Bytes 20 and 54 of an Ethernet frame are the next header of IPv6 and, if that is ICMPv6 (58), its type. 136 is a neighbour advertisement (RFC 4861). */
const advertisements = [
  [0x30, 0, 0, 20],
  [0x15, 0, 2, 58],
  [0x30, 0, 0, 54],
  [0x15, 1, 0, 136],
  [0x06, 0, 0, 0],
  [0x06, 0, 0, 0xffff_ffff],
] as const;
const everything = [[0x06, 0, 0, 0xffff_ffff]] as const;

const [arp, rarp, ipv6] = [0x0806, 0x8035, 0x86dd] as const;
/** The allowance of each link and kind. One frame is enough, and a link that sends more takes no other link's share. */
const limit = { atOnce: 4, everyMs: 100 };

/**
 * Calls back with the index of the link that such a frame came in on, until closed. Each kind of frame has its own socket, so that the kernel shows no other traffic to the filter.
 * @throws NetlinkError without CAP_NET_RAW
 */
export function openAnnouncements(onHeard: (linkIndex: number) => void): { close(): void } {
  const open: { close(): void }[] = [];
  const close = (): void => {
    for (const socket of open) socket.close();
  };
  try {
    for (const [etherType, filter] of [
      [arp, everything],
      [rarp, everything],
      [ipv6, advertisements],
    ] as const)
      open.push(openPacketSocket(etherType, filter, limit, ({ linkIndex }) => onHeard(linkIndex)));
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}
