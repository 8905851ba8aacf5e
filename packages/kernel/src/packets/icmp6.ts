// An ICMPv6 message of neighbour discovery in an Ethernet frame. Pure.
import { ip6Checksum } from './ip6-checksum.ts';

/** An ICMPv6 message and its addresses. */
export type Icmp6 = {
  /** MACs have six bytes, addresses sixteen. */
  readonly sourceMac: Uint8Array;
  readonly destinationMac: Uint8Array;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** From the type on, with a checksum of zero. */
  readonly message: Uint8Array;
};

const [ethernetBytes, ip6Bytes, icmp6] = [14, 40, 58] as const;
/** Neighbour discovery's messages are dropped with any other hop limit: a router in between would have lowered it (RFC 4861 6.1). */
const hopLimit = 255;

/** The Ethernet frame with this message. */
export function icmp6Frame({ sourceMac, destinationMac, source, destination, message }: Icmp6): Uint8Array {
  const frame = new Uint8Array(ethernetBytes + ip6Bytes + message.length);
  const view = new DataView(frame.buffer);
  frame.set(destinationMac, 0);
  frame.set(sourceMac, 6);
  view.setUint16(12, 0x86dd);
  view.setUint8(14, 0x60);
  view.setUint16(18, message.length);
  view.setUint8(20, icmp6);
  view.setUint8(21, hopLimit);
  frame.set(source, 22);
  frame.set(destination, 38);
  frame.set(message, ethernetBytes + ip6Bytes);
  view.setUint16(ethernetBytes + ip6Bytes + 2, ip6Checksum(frame.subarray(22), message.length + icmp6));
  return frame;
}

/** Parses a frame with the layout of `icmp6Frame`; undefined for others (extension headers, another hop limit or protocol, a wrong checksum, a truncated frame). */
export function parseIcmp6(frame: Uint8Array): Icmp6 | undefined {
  if (frame.length < ethernetBytes + ip6Bytes + 8) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const [at, length] = [ethernetBytes + ip6Bytes, view.getUint16(18)];
  if (view.getUint16(12) !== 0x86dd || frame[20] !== icmp6 || frame[21] !== hopLimit || length < 8 || at + length > frame.length) return undefined;
  if (ip6Checksum(frame.subarray(22, at + length), length + icmp6) !== 0) return undefined;
  return {
    destinationMac: frame.subarray(0, 6),
    sourceMac: frame.subarray(6, 12),
    source: frame.subarray(22, 38),
    destination: frame.subarray(38, 54),
    message: frame.subarray(at, at + length),
  };
}
