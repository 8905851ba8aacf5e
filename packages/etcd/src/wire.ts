// Protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), as much of it as etcd's messages need.
// Why not a library: snapshots are long, and this needs no object per field and no class per message, and reads int64 as a number.
import { keyText } from './keys.ts';

/** Reads one message, or a part of one. Throws RangeError on bytes that cannot be a message. */
export class WireReader {
  readonly bytes: Buffer;
  position: number;
  /** The two halves of the last 64-bit number that was read. */
  private low = 0;
  private high = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.position = 0;
  }

  /** Calls `onField` with the number of each field up to `end`. A field is skipped when the callback returns false. */
  fields(end: number, onField: (field: number) => boolean): void {
    while (this.position < end) {
      const tag = this.int();
      if (!onField(tag >>> 3)) this.skip(tag & 7);
    }
    if (this.position !== end) throw new RangeError(`message ends at ${end}, its last field at ${this.position}`);
  }

  /** Reads the length of the length-delimited field that starts here, and returns where it ends. */
  end(): number {
    const length = this.int();
    const end = this.position + length;
    if (end > this.bytes.length) throw new RangeError(`field of ${length} bytes ends after its message`);
    return end;
  }

  text(): string {
    const end = this.end();
    const text = this.bytes.toString('utf8', this.position, end);
    this.position = end;
    return text;
  }

  /** Reads a key of etcd's as text (keys.ts). */
  key(): string {
    const end = this.end();
    const key = keyText(this.bytes, this.position, end);
    this.position = end;
    return key;
  }

  /** Reads bytes as a copy: a caller that keeps one value does not keep the whole page in memory. */
  copy(): Buffer {
    const end = this.end();
    const copy = Buffer.allocUnsafe(end - this.position);
    this.bytes.copy(copy, 0, this.position, end);
    this.position = end;
    return copy;
  }

  /** Reads an int64; exact within 53 bits. */
  int(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    this.rest(first);
    if (this.high >= 0x8000_0000) return -((~this.high >>> 0) * 2 ** 32 + (~this.low >>> 0) + 1);
    return this.high * 2 ** 32 + this.low;
  }

  /** Reads a uint64 as decimal text: ids use all 64 bits. */
  id(): string {
    const first = this.byte();
    if (first < 0x80) return String(first);
    this.rest(first);
    return this.high === 0 ? String(this.low) : String((BigInt(this.high) << 32n) | BigInt(this.low));
  }

  private skip(wireType: number): void {
    if (wireType === 0) this.int();
    else if (wireType === 1) this.position += 8;
    else if (wireType === 2) this.position = this.end();
    else if (wireType === 5) this.position += 4;
    else throw new RangeError(`wire type ${wireType} at ${this.position}`);
  }

  private byte(): number {
    const byte = this.bytes[this.position++];
    if (byte === undefined) throw new RangeError('message ends inside a field');
    return byte;
  }

  /** Reads the bytes of a number behind its first one. */
  private rest(first: number): void {
    let low = first & 0x7f;
    let high = 0;
    for (let shift = 7; ; shift += 7) {
      const byte = this.byte();
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x0f) << 28;
        high = (byte & 0x70) >> 4;
      } else if (shift < 70) high |= (byte & 0x7f) << (shift - 32);
      else throw new RangeError(`number longer than ten bytes at ${this.position}`);
      if (byte < 0x80) break;
    }
    this.low = low >>> 0;
    this.high = high >>> 0;
  }
}

/** Builds one message. The caller leaves out fields that have their default value, as proto3 does. */
export class WireWriter {
  private readonly parts: Uint8Array[] = [];
  private length = 0;

  int(field: number, value: number): this {
    return this.id(field, BigInt(value));
  }

  flag(field: number, value: boolean): this {
    return value ? this.int(field, 1) : this;
  }

  id(field: number, value: bigint): this {
    const bytes: number[] = [];
    varint(BigInt(field << 3), bytes);
    varint(BigInt.asUintN(64, value), bytes);
    return this.push(Uint8Array.from(bytes));
  }

  bytes(field: number, value: Uint8Array | string): this {
    const content = typeof value === 'string' ? Buffer.from(value) : value;
    return this.header(field, content.length).push(content);
  }

  message(field: number, value: WireWriter): this {
    this.header(field, value.length);
    for (const part of value.parts) this.push(part);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.parts, this.length);
  }

  private header(field: number, length: number): this {
    const bytes: number[] = [];
    varint(BigInt((field << 3) | 2), bytes);
    varint(BigInt(length), bytes);
    return this.push(Uint8Array.from(bytes));
  }

  private push(part: Uint8Array): this {
    this.parts.push(part);
    this.length += part.length;
    return this;
  }
}

function varint(value: bigint, into: number[]): void {
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) into.push(Number(rest & 0x7fn) | 0x80);
  into.push(Number(rest));
}
