// Builds the Ethernet frames that tests send, with checksums, and parses received ones.
import { macBytes } from '@calico-openstack/addresses';

/** The fields of a frame. */
export type FrameOptions = {
  readonly sourceMac: string;
  readonly destinationMac: string;
  /** The source and destination, of the same family, as bytes in network order. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** The type and code of ICMP or ICMPv6. */
  readonly icmp?: { readonly type: number; readonly code: number };
  readonly tcpFlags?: number;
  /** The bytes behind the transport header. */
  readonly payload?: Uint8Array;
};

/** The Internet checksum: the one's complement sum of 16-bit words, folded and inverted (RFC 1071). */
export function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) for (let at = 0; at < part.length; at += 2) sum += (part[at]! << 8) | (part[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** CRC32c, the checksum of SCTP. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

const u16 = (value: number): number[] => [value >> 8, value & 255];
const u32 = (value: number): number[] => [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

function transport(options: FrameOptions): Uint8Array {
  const { protocol, sourcePort = 0, destinationPort = 0, icmp = { type: 8, code: 0 }, tcpFlags = 2, payload = new Uint8Array() } = options;
  const v6 = options.source.length === 16;
  const pseudo = (length: number): Uint8Array => Uint8Array.from([...options.source, ...options.destination, ...u32(length), 0, 0, 0, protocol]);
  const ports = [...u16(sourcePort), ...u16(destinationPort)];
  switch (protocol) {
    case 6: {
      const bytes = Uint8Array.from([...ports, ...u32(1), ...u32(0), 5 << 4, tcpFlags, 0xff, 0xff, 0, 0, 0, 0, ...payload]);
      bytes.set(u16(checksum(pseudo(bytes.length), bytes)), 16);
      return bytes;
    }
    case 17: {
      const bytes = Uint8Array.from([...ports, ...u16(8 + payload.length), 0, 0, ...payload]);
      bytes.set(u16(checksum(pseudo(bytes.length), bytes)), 6);
      return bytes;
    }
    case 1:
    case 58: {
      const bytes = Uint8Array.from([icmp.type, icmp.code, 0, 0, ...ports, ...payload]); // the ports take the place of an echo's identifier and sequence
      bytes.set(u16(v6 ? checksum(pseudo(bytes.length), bytes) : checksum(bytes)), 2);
      return bytes;
    }
    case 132: {
      // An INIT chunk with the payload in an unknown parameter, which receivers skip.
      const init = [1, 0, ...u16(24 + payload.length), ...u32(1), ...u32(65535), ...u16(1), ...u16(1), ...u32(1), 0x80, 1, ...u16(4 + payload.length)];
      const bytes = Uint8Array.from([...ports, 0, 0, 0, 0, 0, 0, 0, 0, ...init, ...payload]);
      const crc = crc32c(bytes);
      bytes.set([crc & 255, (crc >>> 8) & 255, (crc >>> 16) & 255, crc >>> 24], 8);
      return bytes;
    }
    default:
      return payload;
  }
}

/** The whole frame. */
export function frame(options: FrameOptions): Uint8Array {
  const { source, destination, protocol } = options;
  const inner = transport(options);
  const v6 = source.length === 16;
  const ethernet = [...macBytes(options.destinationMac), ...macBytes(options.sourceMac), ...u16(v6 ? 0x86dd : 0x0800)];
  if (v6) return Uint8Array.from([...ethernet, 0x60, 0, 0, 0, ...u16(inner.length), protocol, 64, ...source, ...destination, ...inner]);
  const header = Uint8Array.from([0x45, 0, ...u16(20 + inner.length), 0, 0, 0, 0, 64, protocol, 0, 0, ...source, ...destination]);
  header.set(u16(checksum(header)), 10);
  return Uint8Array.from([...ethernet, ...header, ...inner]);
}

/** An ARP request or reply. `target` defaults to an unknown MAC. */
export function arpFrame(options: {
  readonly operation: 1 | 2;
  readonly senderMac: string;
  readonly sender: Uint8Array;
  readonly targetMac?: string;
  readonly target: Uint8Array;
  readonly destinationMac?: string;
}): Uint8Array {
  const { operation, senderMac, sender, targetMac = '00:00:00:00:00:00', target, destinationMac = 'ff:ff:ff:ff:ff:ff' } = options;
  return Uint8Array.from([
    ...macBytes(destinationMac),
    ...macBytes(senderMac),
    ...u16(0x0806),
    ...[0, 1, 8, 0, 6, 4, 0, operation],
    ...macBytes(senderMac),
    ...sender,
    ...macBytes(targetMac),
    ...target,
  ]);
}

/** Parses a received frame; undefined for anything but IPv4 without options and IPv6 without extension headers. */
export function parseFrame(bytes: Uint8Array):
  | {
      readonly protocol: number;
      readonly destinationPort: number;
      readonly sourcePort: number;
      readonly source: Uint8Array;
      readonly destination: Uint8Array;
      readonly payload: Uint8Array;
    }
  | undefined {
  const type = (bytes[12]! << 8) | bytes[13]!;
  const [header, protocolAt, sourceAt, width] = type === 0x0800 ? [20, 9, 12, 4] : type === 0x86dd ? [40, 6, 8, 16] : [0, 0, 0, 0];
  if (width === 0 || bytes.length < 14 + header + 4) return undefined;
  const ip = bytes.subarray(14);
  const inner = ip.subarray(header);
  return {
    protocol: ip[protocolAt]!,
    source: ip.subarray(sourceAt, sourceAt + width),
    destination: ip.subarray(sourceAt + width, sourceAt + 2 * width),
    sourcePort: (inner[0]! << 8) | inner[1]!,
    destinationPort: (inner[2]! << 8) | inner[3]!,
    payload: inner,
  };
}
