import { expect, test } from 'vitest';
import { icmp6Frame, parseIcmp6 } from './icmp6.ts';

const some = {
  sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  destinationMac: Uint8Array.of(0x33, 0x33, 0, 0, 0, 2),
  source: Uint8Array.of(0xfe, 0x80, ...new Array<number>(13).fill(0), 1),
  destination: Uint8Array.of(0xff, 2, ...new Array<number>(13).fill(0), 2),
  message: Uint8Array.of(133, 0, 0, 0, 0, 0, 0, 0),
};

test('a router solicitation comes back as it was, with its checksum', () => {
  const frame = icmp6Frame(some);
  expect(parseIcmp6(frame)).toEqual({ ...some, message: Uint8Array.of(133, 0, 0x7d, 0x36, 0, 0, 0, 0) });
  expect(parseIcmp6(Uint8Array.of(...frame, 0, 0))).toBeDefined(); // padded on the wire
});

test.each([
  { what: 'truncated', change: (frame: Uint8Array) => frame.subarray(0, 60) },
  { what: 'with another hop limit: it was routed', change: (frame: Uint8Array) => frame.with(21, 64) },
  { what: 'of another protocol', change: (frame: Uint8Array) => frame.with(20, 17) },
  { what: 'with a wrong checksum', change: (frame: Uint8Array) => frame.with(57, 0) },
  { what: 'longer than it is', change: (frame: Uint8Array) => frame.with(19, 200) },
])('a frame $what is none', ({ change }) => expect(parseIcmp6(change(icmp6Frame(some)))).toBeUndefined());
