import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { WireReader, WireWriter } from './wire.ts';

const type = protobuf
  .parse(`
  syntax = "proto3";
  message All { int64 number = 1; uint64 id = 2; bool flag = 3; bytes content = 4; string text = 5; Inner inner = 6; fixed64 eight = 7; fixed32 four = 8; repeated Inner more = 300; }
  message Inner { int64 number = 1; }
`)
  .root.lookupType('All');

const exact = fc.maxSafeInteger();
const ids = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const messages = fc.record({
  number: exact,
  id: ids,
  flag: fc.boolean(),
  content: fc.uint8Array(),
  text: fc.string({ unit: 'binary' }),
  inner: exact,
  more: fc.array(exact),
});
type Message = { number: number; id: bigint; flag: boolean; content: Uint8Array; text: string; inner: number; more: number[] };

function read(bytes: Buffer): Message {
  const reader = new WireReader(bytes);
  const message: Message = { number: 0, id: 0n, flag: false, content: new Uint8Array(), text: '', inner: 0, more: [] };
  const inner = (): number => {
    let number = 0;
    reader.fields(reader.end(), (field) => {
      if (field === 1) number = reader.int();
      return field === 1;
    });
    return number;
  };
  reader.fields(bytes.length, (field) => {
    if (field === 1) message.number = reader.int();
    else if (field === 2) message.id = BigInt(reader.id());
    else if (field === 3) message.flag = reader.int() !== 0;
    else if (field === 4) message.content = new Uint8Array(reader.copy());
    else if (field === 5) message.text = reader.text();
    else if (field === 6) message.inner = inner();
    else if (field === 300) message.more.push(inner());
    else return false;
    return true;
  });
  return message;
}

describe("protobuf's wire format", () => {
  test('messages of another implementation are read; unknown fields are skipped', () => {
    fc.assert(
      fc.property(messages, ({ id, inner, more, ...rest }) => {
        const known = { ...rest, id: id.toString(), inner: { number: inner }, more: more.map((number) => ({ number })), eight: '77', four: 7 };
        const bytes = Buffer.from(type.encode(type.fromObject(known)).finish());
        expect(read(bytes)).toEqual({ ...rest, id, inner, more });
      }),
    );
  });

  test('another implementation reads the messages that are written', () => {
    fc.assert(
      fc.property(messages, ({ number, id, flag, content, text, inner, more }) => {
        const writer = new WireWriter().int(1, number).id(2, id).flag(3, flag).bytes(4, content).bytes(5, text).message(6, new WireWriter().int(1, inner));
        for (const each of more) writer.message(300, new WireWriter().int(1, each));
        const back = type.toObject(type.decode(writer.finish()), { longs: String, bytes: Array, defaults: true });
        expect(back).toMatchObject({
          number: String(number),
          id: id.toString(),
          flag,
          content: Array.from(content),
          text,
          inner: { number: String(inner) },
          more: more.map((each) => ({ number: String(each) })),
        });
      }),
    );
  });

  test('a value that was read does not change when the buffer that held it is reused', () => {
    const bytes = new WireWriter().bytes(4, 'abc').finish();
    const { content } = read(bytes);
    bytes.fill(0);
    expect(Buffer.from(content).toString()).toBe('abc');
  });

  test('a truncated message is an error, not half a message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), fc.nat(), (content, cut) => {
        const whole = new WireWriter().bytes(4, content).finish();
        expect(() => read(whole.subarray(0, 1 + (cut % (whole.length - 1))))).toThrow(RangeError);
      }),
    );
  });

  test.each([
    ['a number of eleven bytes', [0x08, ...Array(10).fill(0xff), 0x01]],
    ['a group', [0x0b]],
    ['a field that ends after its message', [0x22, 0x05, 0x00]],
    ['a field that ends after the one around it', [0x32, 0x01, 0x08, 0x01]],
  ])('%s is an error', (_, bytes) => {
    expect(() => read(Buffer.from(bytes))).toThrow(RangeError);
  });
});
