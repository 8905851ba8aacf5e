import { addressBytes } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { arpFrame, broadcastMac, echoRequestFrame, internetChecksum, parseFrame, protocols, udpFrame } from './frames.ts';

const macs = { fromMac: 'fa:16:3e:00:00:01', toMac: 'fe:16:3e:00:00:01' };
const families = [
  { kind: 'ipv4', from: '10.65.0.11', to: '10.65.0.12', ipHeader: 20 },
  { kind: 'ipv6', from: '2001:db8:a::11', to: '2001:db8:a::12', ipHeader: 40 },
] as const;

test('the checksum is that of RFC 1071’s example', () => {
  expect(internetChecksum(Buffer.from('0001f203f4f5f6f7', 'hex'))).toBe(~0xddf2 & 0xffff);
});

test.each(families)('a UDP frame over $kind is parsed to what it was made of', ({ kind, from, to }) => {
  fc.assert(
    fc.property(fc.nat(65535), fc.nat(65535), fc.uint8Array({ maxLength: 64 }), (fromPort, toPort, payload) => {
      const seen = parseFrame(udpFrame({ ...macs, from, to }, fromPort, toPort, payload));
      expect(seen).toMatchObject({ ...macs, kind, from, to, protocol: protocols.udp, fromPort, toPort });
      expect(Buffer.from(seen.payload)).toEqual(Buffer.from(payload));
    }),
  );
});

test.each(families)('checksums over $kind, pseudo header included, add up to zero', ({ kind, from, to, ipHeader }) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (payload) => {
      const frame = Buffer.from(udpFrame({ ...macs, from, to }, 68, 67, payload));
      const message = frame.subarray(14 + ipHeader);
      const counted = Buffer.alloc(4);
      counted.writeUInt16BE(message.length, 0);
      counted.writeUInt16BE(protocols.udp, 2);
      expect(internetChecksum(Buffer.concat([addressBytes(from), addressBytes(to), counted, message]))).toBe(0);
      if (kind === 'ipv4') expect(internetChecksum(frame.subarray(14, 34))).toBe(0);
    }),
  );
});

test.each([
  { ...families[0], icmpType: 8, protocol: protocols.icmp },
  { ...families[1], icmpType: 128, protocol: protocols.icmpv6 },
])('an echo request over $kind is parsed as one', ({ kind, from, to, icmpType, protocol }) => {
  expect(parseFrame(echoRequestFrame({ ...macs, from, to }, 7, 1))).toMatchObject({ ...macs, kind, from, to, protocol, icmpType });
});

test('an ARP frame is parsed to its operation and its addresses', () => {
  const claim = { fromMac: macs.fromMac, toMac: broadcastMac, from: '10.65.0.66', to: '10.65.0.66' };
  expect(parseFrame(arpFrame('reply', claim))).toMatchObject({ kind: 'arp', protocol: 2, from: '10.65.0.66', to: '10.65.0.66', toMac: broadcastMac });
  expect(parseFrame(arpFrame('request', claim))).toMatchObject({ kind: 'arp', protocol: 1 });
});

test('a truncated frame is of an unknown kind, and does not throw', () => {
  for (const frame of [arpFrame('request', { ...macs, from: '10.0.0.1', to: '10.0.0.2' }), udpFrame({ ...macs, ...families[1] }, 1, 2, Buffer.alloc(9))]) {
    for (let length = 0; length < 14 + 20; length += 1) expect(parseFrame(frame.subarray(0, length)).kind).toBe('other');
  }
});
