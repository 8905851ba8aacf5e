// Builds Ethernet frames that a guest should not send, and parses captured ones. Pure.
import { addressBytes, addressFromBytes, familyOf, macBytes, macFromBytes } from '@calico-openstack/addresses';

/** The MAC and IP addresses of a frame to build. */
export type Addressed = { readonly fromMac: string; readonly toMac: string; readonly from: string; readonly to: string };

/** The fields of a captured frame that tests read. Frames of TCP and UDP have ports, those of ICMP and ICMPv6 have `icmpType`. */
export type Seen = {
  readonly fromMac: string;
  readonly toMac: string;
  readonly kind: 'ipv4' | 'ipv6' | 'arp' | 'other';
  readonly from: string;
  readonly to: string;
  /** The IP protocol number; for ARP the operation. */
  readonly protocol: number;
  readonly fromPort?: number;
  readonly toPort?: number;
  readonly icmpType?: number;
  readonly payload: Uint8Array;
};

const etherTypes = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
/** IP protocol numbers. */
export const protocols = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
/** Ethernet's broadcast address. */
export const broadcastMac = 'ff:ff:ff:ff:ff:ff';

/** A UDP datagram in an Ethernet frame. The family is that of the addresses. */
export function udpFrame(addressed: Addressed, fromPort: number, toPort: number, payload: Uint8Array): Uint8Array {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(fromPort, 0);
  header.writeUInt16BE(toPort, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return ipFrame(addressed, protocols.udp, withChecksum(addressed, protocols.udp, Buffer.concat([header, payload]), 6));
}

/** An ICMP or ICMPv6 echo request. The family is that of the addresses. */
export function echoRequestFrame(addressed: Addressed, identifier: number, sequence: number): Uint8Array {
  const v4 = familyOf(addressed.from) === 4;
  const message = Buffer.alloc(8 + 16);
  message.writeUInt8(v4 ? 8 : 128, 0);
  message.writeUInt16BE(identifier, 4);
  message.writeUInt16BE(sequence, 6);
  if (!v4) return ipFrame(addressed, protocols.icmpv6, withChecksum(addressed, protocols.icmpv6, message, 2));
  message.writeUInt16BE(internetChecksum(message), 2);
  return ipFrame(addressed, protocols.icmp, message);
}

/** An ARP frame. `request` asks who has `to`; `reply` says that `from` is at `fromMac`. A gratuitous one has the same address on both sides. */
export function arpFrame(operation: 'request' | 'reply', { fromMac, toMac, from, to }: Addressed): Uint8Array {
  const body = Buffer.from([0, 1, 0x08, 0x00, 6, 4, 0, operation === 'request' ? 1 : 2]);
  const targetMac = operation === 'request' ? '00:00:00:00:00:00' : toMac;
  return ethernet(fromMac, toMac, etherTypes.arp, Buffer.concat([body, macBytes(fromMac), addressBytes(from), macBytes(targetMac), addressBytes(to)]));
}

/** Parses a frame. A truncated or unknown one is of kind `other`. */
export function parseFrame(frame: Uint8Array): Seen {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const ends = { toMac: macFromBytes(bytes.subarray(0, 6)), fromMac: macFromBytes(bytes.subarray(6, 12)) };
  const type = bytes.length >= 14 ? bytes.readUInt16BE(12) : 0;
  const body = bytes.subarray(14);
  if (type === etherTypes.arp && body.length >= 28) {
    const arp = {
      kind: 'arp',
      from: addressFromBytes(body.subarray(14, 18)),
      to: addressFromBytes(body.subarray(24, 28)),
      protocol: body.readUInt16BE(6),
    } as const;
    return { ...ends, ...arp, payload: body };
  }
  if (type === etherTypes.ipv4 && body.length >= 20) {
    const protocol = body.readUInt8(9);
    const payload = body.subarray((body.readUInt8(0) & 15) * 4, body.readUInt16BE(2));
    return {
      ...ends,
      kind: 'ipv4',
      from: addressFromBytes(body.subarray(12, 16)),
      to: addressFromBytes(body.subarray(16, 20)),
      protocol,
      ...transport(protocol, payload),
    };
  }
  if (type === etherTypes.ipv6 && body.length >= 40) {
    const protocol = body.readUInt8(6);
    const payload = body.subarray(40, 40 + body.readUInt16BE(4));
    return {
      ...ends,
      kind: 'ipv6',
      from: addressFromBytes(body.subarray(8, 24)),
      to: addressFromBytes(body.subarray(24, 40)),
      protocol,
      ...transport(protocol, payload),
    };
  }
  return { ...ends, kind: 'other', from: '', to: '', protocol: 0, payload: body };
}

function transport(protocol: number, payload: Buffer): Pick<Seen, 'fromPort' | 'toPort' | 'icmpType' | 'payload'> {
  if ((protocol === protocols.icmp || protocol === protocols.icmpv6) && payload.length >= 1)
    return { icmpType: payload.readUInt8(0), payload: payload.subarray(8) };
  if ((protocol !== protocols.tcp && protocol !== protocols.udp) || payload.length < 8) return { payload };
  const header = protocol === protocols.udp ? 8 : (payload.length >= 13 ? payload.readUInt8(12) >> 4 : 5) * 4;
  return { fromPort: payload.readUInt16BE(0), toPort: payload.readUInt16BE(2), payload: payload.subarray(header) };
}

function ipFrame({ fromMac, toMac, from, to }: Addressed, protocol: number, payload: Uint8Array): Uint8Array {
  if (familyOf(from) === 6) {
    const header = Buffer.alloc(8);
    header.writeUInt8(0x60, 0);
    header.writeUInt16BE(payload.length, 4);
    header.writeUInt8(protocol, 6);
    header.writeUInt8(64, 7);
    return ethernet(fromMac, toMac, etherTypes.ipv6, Buffer.concat([header, addressBytes(from), addressBytes(to), payload]));
  }
  const header = Buffer.alloc(12);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt8(64, 8);
  header.writeUInt8(protocol, 9);
  const whole = Buffer.concat([header, addressBytes(from), addressBytes(to)]);
  whole.writeUInt16BE(internetChecksum(whole), 10);
  return ethernet(fromMac, toMac, etherTypes.ipv4, Buffer.concat([whole, payload]));
}

/** Fills in the checksum of UDP or ICMPv6, which covers the addresses by means of a pseudo header. */
function withChecksum({ from, to }: Addressed, protocol: number, message: Buffer, at: number): Buffer {
  const counted = familyOf(from) === 4 ? Buffer.from([0, protocol, 0, 0]) : Buffer.from([0, 0, 0, 0, 0, 0, 0, protocol]);
  counted.writeUInt16BE(message.length, 2);
  const checksum = internetChecksum(Buffer.concat([addressBytes(from), addressBytes(to), counted, message]));
  message.writeUInt16BE(checksum === 0 ? 0xffff : checksum, at);
  return message;
}

/** The Internet checksum (RFC 1071) of bytes whose checksum field is zero. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) sum += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const ethernet = (fromMac: string, toMac: string, type: number, payload: Uint8Array): Uint8Array =>
  Buffer.concat([macBytes(toMac), macBytes(fromMac), Buffer.from([type >> 8, type & 0xff]), payload]);
