// Sends a UDP datagram to one of this host's own addresses as if it had come in by a certain link.
import { addressBytes } from '@calico-openstack/addresses';
import { close, errno, errnoName, hostIsLittleEndian, sendTo, setSocketOption, socket } from '../netlink/libc.ts';

const [familyInet, datagram, closeOnExec, dontWait] = [2, 2, 0o2000000, 0x40] as const;
/** SO_BINDTOIFINDEX (since Linux 5.1). The receiver's IP_PKTINFO names the link that the sender is bound to, although the datagram takes the loopback. */
const [levelSocket, bindToIndex] = [1, 62] as const;

/** Sends the payload to the address and port. Returns the errno's name when the kernel refuses it. */
export function sendUdp4ToSelf(linkIndex: number, address: string, port: number, payload: Uint8Array): string | undefined {
  const fd = socket(familyInet, datagram | closeOnExec, 0);
  if (fd < 0) return errnoName(errno());
  try {
    if (setSocketOption(fd, levelSocket, bindToIndex, linkIndex) < 0) return errnoName(errno());
    const to = new Uint8Array(16);
    const view = new DataView(to.buffer);
    view.setUint16(0, familyInet, hostIsLittleEndian);
    view.setUint16(2, port);
    to.set(addressBytes(address), 4);
    return sendTo(fd, payload, payload.length, dontWait, to, to.length) < 0 ? errnoName(errno()) : undefined;
  } finally {
    close(fd);
  }
}
