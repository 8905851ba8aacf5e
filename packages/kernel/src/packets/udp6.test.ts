import { macFromBytes } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { frame } from '../testing/frames.ts';
import { parseUdp6, udp6Frame } from './udp6.ts';

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const datagram = fc.record({
  sourceMac: bytes(6),
  destinationMac: bytes(6),
  source: bytes(16),
  destination: bytes(16),
  sourcePort: fc.integer({ min: 0, max: 65_535 }),
  destinationPort: fc.integer({ min: 0, max: 65_535 }),
  payload: fc.uint8Array({ maxLength: 100 }),
});

test('a datagram is framed like the tests’ own frames, and parsed back', () => {
  fc.assert(
    fc.property(datagram, (one) => {
      const framed = udp6Frame(one);
      const expected = frame({ ...one, sourceMac: macFromBytes(one.sourceMac), destinationMac: macFromBytes(one.destinationMac), protocol: 17 });
      // The tests' own frames do not replace a checksum of zero.
      if (expected[60] !== 0 || expected[61] !== 0) expect(framed).toEqual(expected);
      expect(parseUdp6(framed)).toEqual(one);
    }),
  );
});

test('truncated and other frames are not parsed', () => {
  const one = udp6Frame({
    sourceMac: new Uint8Array(6),
    destinationMac: new Uint8Array(6),
    source: new Uint8Array(16),
    destination: new Uint8Array(16),
    sourcePort: 1,
    destinationPort: 2,
    payload: Uint8Array.of(1, 2, 3),
  });
  for (let length = 0; length < one.length; length++) expect(parseUdp6(one.subarray(0, length))).toBeUndefined();
  for (const at of [12, 20]) {
    const other = Uint8Array.from(one);
    other[at] = 0;
    expect(parseUdp6(other)).toBeUndefined();
  }
});
