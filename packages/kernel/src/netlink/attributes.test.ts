import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  eachAttribute,
  hostIsLittleEndian,
  MessageWriter,
  readAttributes,
  readBe16,
  readBe32,
  readBe64,
  readI32,
  readString,
  readU16,
  readU32,
  readU64,
} from './attributes.ts';

type Attribute = { readonly type: number; readonly value: Uint8Array | readonly Attribute[] };
const { attribute } = fc.letrec<{ readonly attribute: Attribute }>((tie) => ({
  attribute: fc.record({
    type: fc.integer({ min: 1, max: 0x3fff }),
    value: fc.oneof({ depthSize: 'small' }, fc.uint8Array({ maxLength: 40 }), fc.array(tie('attribute') as fc.Arbitrary<Attribute>, { maxLength: 4 })),
  }),
}));

function write(writer: MessageWriter, { type, value }: Attribute): void {
  if (value instanceof Uint8Array) writer.binary(type, value);
  else
    writer.nested(type, () => {
      for (const inner of value) write(writer, inner);
    });
}

function check(bytes: Uint8Array, expected: readonly Attribute[]): void {
  const found: (readonly [number, Uint8Array])[] = [];
  eachAttribute(bytes, 0, (type, value) => found.push([type, value]));
  expect(found.map(([type]) => type)).toEqual(expected.map(({ type }) => type));
  expected.forEach(({ value }, at) => {
    const bytesFound = found[at]?.[1] ?? new Uint8Array();
    if (value instanceof Uint8Array) expect(Buffer.from(bytesFound)).toEqual(Buffer.from(value));
    else check(bytesFound, value);
  });
}

test('attributes are read as they were written, whatever the initial size of the buffer', () => {
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 8 }), fc.integer({ min: 0, max: 64 }), (attributes, initialBytes) => {
      const writer = new MessageWriter(initialBytes);
      for (const some of attributes) write(writer, some);
      check(writer.bytes(), attributes);
    }),
  );
});

test('numbers of each width and order are read back, also when they make the buffer grow', () => {
  for (let initialBytes = 0; initialBytes < 64; initialBytes += 4) {
    const writer = new MessageWriter(initialBytes);
    writer.u8(1, 0xfe);
    writer.u16(2, 0x1234);
    writer.be16(3, 0x1234);
    writer.u32(4, 0xfedcba98);
    writer.be32(5, -3);
    writer.u64(6, 0xfedcba9876543210n);
    writer.be64(7, 1n);
    writer.string(8, 'tap0');
    writer.presence(9);
    const read = readAttributes(writer.bytes());
    const of = (type: number): Uint8Array => read.get(type) ?? new Uint8Array();
    expect([...of(1)]).toEqual([0xfe]);
    expect(readU16(of(2))).toBe(0x1234);
    expect(readBe16(of(3))).toBe(0x1234);
    expect(readU32(of(4))).toBe(0xfedcba98);
    expect(readBe32(of(5))).toBe(0xfffffffd);
    expect(readU64(of(6))).toBe(0xfedcba9876543210n);
    expect(readBe64(of(7))).toBe(1n);
    expect(readString(of(8))).toBe('tap0');
    expect([...of(8)]).toEqual([...Buffer.from('tap0\0')]);
    expect(of(9)).toHaveLength(0);
    expect(read.has(9)).toBe(true);
  }
});

test('a message has its length in its header, and the next starts at a multiple of four', () => {
  const writer = new MessageWriter(8);
  writer.begin(0x10, 0x5, 7);
  writer.raw(new Uint8Array([1, 2, 3, 4]));
  writer.string(1, 'abcd');
  expect(writer.messageLength).toBe(16 + 4 + 12);
  writer.end();
  writer.addFlags(0, 0x300);
  writer.begin(0x11, 0, 8);
  writer.end();
  const bytes = writer.bytes();
  expect(bytes).toHaveLength(32 + 16);
  expect([readU32(bytes, 0), readU16(bytes, 4), readU16(bytes, 6), readU32(bytes, 8)]).toEqual([32, 0x10, 0x305, 7]);
  expect([readU32(bytes, 32), readU16(bytes, 36), readU32(bytes, 40)]).toEqual([16, 0x11, 8]);
});

test('bytes of an earlier message in the buffer do not appear in the next', () => {
  const writer = new MessageWriter(64);
  writer.binary(1, new Uint8Array(40).fill(255));
  writer.reset();
  writer.u8(1, 1);
  expect([...writer.bytes()].slice(4)).toEqual([1, 0, 0, 0]);
});

test('text with a NUL, and attributes beyond 64 KB, are refused', () => {
  const writer = new MessageWriter();
  expect(() => writer.string(1, 'tap0\0; flush')).toThrow(RangeError);
  expect(() => writer.binary(1, new Uint8Array(65_532))).toThrow(RangeError);
  expect(() =>
    writer.nested(1, () => {
      writer.binary(1, new Uint8Array(40_000));
      writer.binary(1, new Uint8Array(40_000));
    }),
  ).toThrow(RangeError);
});

test('an attribute that is longer than the rest ends the reading, and nothing behind the end is read', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      eachAttribute(bytes, 0, (_type, value) => expect(value.byteOffset + value.length).toBeLessThanOrEqual(bytes.byteOffset + bytes.length));
    }),
  );
});

test('signed numbers', () => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, -2, hostIsLittleEndian);
  expect(readI32(bytes)).toBe(-2);
});
