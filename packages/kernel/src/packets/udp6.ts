// A UDP datagram over IPv6 in an Ethernet frame. Pure.
import { ip6Checksum } from './ip6-checksum.ts';

/** A UDP datagram and its addresses. */
export type Udp6 = {
  /** MACs have six bytes, addresses sixteen. */
  readonly sourceMac: Uint8Array;
  readonly destinationMac: Uint8Array;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
};

const [ethernetBytes, ip6Bytes, udpBytes, udp] = [14, 40, 8, 17] as const;

/** The Ethernet frame with this datagram. */
export function udp6Frame({ sourceMac, destinationMac, source, destination, sourcePort, destinationPort, payload }: Udp6): Uint8Array {
  const length = udpBytes + payload.length;
  const frame = new Uint8Array(ethernetBytes + ip6Bytes + length);
  const view = new DataView(frame.buffer);
  frame.set(destinationMac, 0);
  frame.set(sourceMac, 6);
  view.setUint16(12, 0x86dd);
  view.setUint8(14, 0x60);
  view.setUint16(18, length);
  view.setUint8(20, udp);
  view.setUint8(21, 64);
  frame.set(source, 22);
  frame.set(destination, 38);
  const at = ethernetBytes + ip6Bytes;
  view.setUint16(at, sourcePort);
  view.setUint16(at + 2, destinationPort);
  view.setUint16(at + 4, length);
  frame.set(payload, at + udpBytes);
  // RFC 8200, section 8.1: the checksum covers the addresses, the length and the protocol as well; a result of zero is sent as all ones.
  view.setUint16(at + 6, ip6Checksum(frame.subarray(22), length + udp) || 0xffff);
  return frame;
}

/** Parses a frame with the layout of `udp6Frame`; undefined for others (extension headers, another protocol, a truncated frame). */
export function parseUdp6(frame: Uint8Array): Udp6 | undefined {
  if (frame.length < ethernetBytes + ip6Bytes + udpBytes) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const at = ethernetBytes + ip6Bytes;
  const length = view.getUint16(at + 4);
  if (view.getUint16(12) !== 0x86dd || frame[20] !== udp || length < udpBytes || at + length > frame.length) return undefined;
  return {
    destinationMac: frame.subarray(0, 6),
    sourceMac: frame.subarray(6, 12),
    source: frame.subarray(22, 38),
    destination: frame.subarray(38, 54),
    sourcePort: view.getUint16(at),
    destinationPort: view.getUint16(at + 2),
    payload: frame.subarray(at + udpBytes, at + length),
  };
}
