// Writes netlink messages (headers and attributes) into one growing buffer, and reads them.

/** Whether this host is little-endian. Numbers in netlink are in host order unless an attribute's description says otherwise. */
export const hostIsLittleEndian: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The flags of a message's header (linux/netlink.h). */
export const flag = {
  request: 0x1,
  multi: 0x2,
  acknowledge: 0x4,
  echo: 0x8,
  dumpInterrupted: 0x10,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
  nonRecursive: 0x100,
} as const;

/** The length of a message's header. */
export const headerLength = 16;
const attributeHeaderLength = 4;
const nestedFlag = 0x8000;
const typeMask = 0x3fff;
/** The greatest length of an attribute: its length field has 16 bits. */
export const longestAttribute = 0xffff;
const aligned = (length: number): number => (length + 3) & ~3;

/**
 * Writes messages one after another into a growing buffer. Numbers are written in host order, except by methods whose names start with `be`.
 *
 *     writer.begin(RTM_NEWROUTE, flag.request | flag.acknowledge, socket.nextSequence());
 *     writer.raw(rtmsg);
 *     writer.u32(RTA_OIF, index);
 *     writer.nested(RTA_METRICS, () => writer.u32(RTAX_MTU, mtuBytes));
 *     writer.end();
 *     socket.exchange([writer.bytes()]);
 */
export class MessageWriter {
  #buffer: Uint8Array;
  #view: DataView;
  #length = 0;
  #messageStart = -1;

  constructor(initialBytes = 4096) {
    this.#buffer = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** The number of bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** The number of bytes of the message that is being written. */
  get messageLength(): number {
    return this.#length - this.#messageStart;
  }

  /** Starts a message. Call `end` before the next one. */
  begin(type: number, flags: number, sequence: number): void {
    const at = this.#take(headerLength);
    this.#messageStart = at;
    this.#view.setUint16(at + 4, type, hostIsLittleEndian);
    this.#view.setUint16(at + 6, flags, hostIsLittleEndian);
    this.#view.setUint32(at + 8, sequence, hostIsLittleEndian);
  }

  /** Ends the message by writing its length into the header. */
  end(): void {
    this.#view.setUint32(this.#messageStart, this.#length - this.#messageStart, hostIsLittleEndian);
    this.#messageStart = -1;
  }

  /** Adds flags to the message that starts at this byte. */
  addFlags(at: number, flags: number): void {
    this.#view.setUint16(at + 6, this.#view.getUint16(at + 6, hostIsLittleEndian) | flags, hostIsLittleEndian);
  }

  /** Writes bytes padded to a multiple of 4: the fixed part of a message behind its header. */
  raw(bytes: Uint8Array): void {
    const at = this.#take(bytes.length); // this may replace the buffer, so it must not stand in an expression that has read it
    this.#buffer.set(bytes, at);
  }

  u8(type: number, value: number): void {
    const at = this.#attribute(type, 1);
    this.#buffer[at] = value;
  }

  u16(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, hostIsLittleEndian);
  }

  be16(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value);
  }

  u32(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, hostIsLittleEndian);
  }

  be32(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value);
  }

  u64(type: number, value: bigint): void {
    const at = this.#attribute(type, 8);
    this.#view.setBigUint64(at, value, hostIsLittleEndian);
  }

  be64(type: number, value: bigint): void {
    const at = this.#attribute(type, 8);
    this.#view.setBigUint64(at, value);
  }

  /** Writes an attribute with these bytes. */
  binary(type: number, value: Uint8Array): void {
    const at = this.#attribute(type, value.length);
    this.#buffer.set(value, at);
  }

  /** Writes an attribute with text and a NUL. Throws RangeError for text with a NUL, at which the kernel would cut it. */
  string(type: number, value: string): void {
    if (value.includes('\0')) throw new RangeError(`${JSON.stringify(value)} holds a NUL, at which the kernel would cut it`);
    const bytes = Buffer.from(value, 'utf8');
    const at = this.#attribute(type, bytes.length + 1);
    this.#buffer.set(bytes, at);
  }

  /** Writes an attribute without a value. */
  presence(type: number): void {
    this.#attribute(type, 0);
  }

  /** Writes an attribute that contains the attributes that `write` writes. Throws RangeError when they exceed 64 KB. */
  nested(type: number, write: () => void): void {
    const start = this.openNest(type);
    write();
    this.closeNest(start);
  }

  /** Opens a nested attribute; for lists that are written in a loop. `closeNest` takes what this returns. */
  openNest(type: number): number {
    return this.#attribute(type | nestedFlag, 0) - attributeHeaderLength;
  }

  closeNest(start: number): void {
    const length = this.#length - start;
    if (length > longestAttribute) throw new RangeError(`a nested attribute of ${length} bytes does not fit: the limit is ${longestAttribute}`);
    this.#view.setUint16(start, length, hostIsLittleEndian);
  }

  /** All messages so far, as a view that further writing may change. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Makes the next message overwrite the old ones, in the same buffer. */
  reset(): void {
    this.#length = 0;
    this.#messageStart = -1;
  }

  /** Writes an attribute's header and returns the offset of its value. */
  #attribute(type: number, length: number): number {
    if (length > longestAttribute - attributeHeaderLength) throw new RangeError(`an attribute of ${length} bytes does not fit: the limit is 65531`);
    const at = this.#take(attributeHeaderLength + length);
    this.#view.setUint16(at, attributeHeaderLength + length, hostIsLittleEndian);
    this.#view.setUint16(at + 2, type, hostIsLittleEndian);
    return at + attributeHeaderLength;
  }

  /** Makes room for `length` bytes, padded to a multiple of 4 with zeros, and returns where they start. */
  #take(length: number): number {
    const at = this.#length;
    const end = at + aligned(length);
    if (end > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(end, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, at));
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    } else {
      this.#buffer.fill(0, at, end); // the buffer may hold bytes of an earlier message
    }
    this.#length = end;
    return at;
  }
}

/**
 * A request of one message. `kind` is its type; NLM_F_REQUEST is added to its flags.
 * @param fixed the part between the message's header and its attributes
 * @param write writes the attributes
 */
export function requestMessage(
  kind: number,
  flags: number,
  sequence: number,
  fixed: Uint8Array,
  write: (writer: MessageWriter) => void = () => undefined,
): Uint8Array {
  const writer = new MessageWriter(256);
  writer.begin(kind, flag.request | flags, sequence);
  writer.raw(fixed);
  write(writer);
  writer.end();
  return writer.bytes();
}

/** Calls `visit` for each attribute in `bytes` from `offset` on, in order, with its type without flags. Stops at the first attribute that is longer than the rest. */
export function eachAttribute(bytes: Uint8Array, offset: number, visit: (type: number, value: Uint8Array) => void): void {
  for (let at = offset; at + attributeHeaderLength <= bytes.length; ) {
    const length = hostNumber16(bytes, at);
    if (length < attributeHeaderLength || at + length > bytes.length) return;
    visit(hostNumber16(bytes, at + 2) & typeMask, bytes.subarray(at + attributeHeaderLength, at + length));
    at += aligned(length);
  }
}

/** The attributes in `bytes` from `offset` on, by type; the last one of a repeated type. */
export function readAttributes(bytes: Uint8Array, offset = 0): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  eachAttribute(bytes, offset, (type, value) => attributes.set(type, value));
  return attributes;
}

/** The value of the first attribute of this type. */
export function findAttribute(bytes: Uint8Array, offset: number, wanted: number): Uint8Array | undefined {
  for (let at = offset; at + attributeHeaderLength <= bytes.length; ) {
    const length = hostNumber16(bytes, at);
    if (length < attributeHeaderLength || at + length > bytes.length) return undefined;
    if ((hostNumber16(bytes, at + 2) & typeMask) === wanted) return bytes.subarray(at + attributeHeaderLength, at + length);
    at += aligned(length);
  }
  return undefined;
}

/** Reads a number without a DataView, because lists have hundreds of thousands of attributes. */
function hostNumber16(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  const second = bytes[at + 1] as number;
  return hostIsLittleEndian ? first | (second << 8) : (first << 8) | second;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

// These read a number at `offset` of an attribute's value: `be…` in network order, the others in host order. They throw RangeError when the value is too short.
/** Reads 16 bits in host order. */
export const readU16 = (bytes: Uint8Array, offset = 0): number => viewOf(bytes).getUint16(offset, hostIsLittleEndian);
/** Reads 32 bits in host order. */
export const readU32 = (bytes: Uint8Array, offset = 0): number => viewOf(bytes).getUint32(offset, hostIsLittleEndian);
/** Reads 32 bits in host order, signed. */
export const readI32 = (bytes: Uint8Array, offset = 0): number => viewOf(bytes).getInt32(offset, hostIsLittleEndian);
/** Reads 64 bits in host order. */
export const readU64 = (bytes: Uint8Array, offset = 0): bigint => viewOf(bytes).getBigUint64(offset, hostIsLittleEndian);
/** Reads 16 bits in network order. */
export const readBe16 = (bytes: Uint8Array, offset = 0): number => viewOf(bytes).getUint16(offset);
/** Reads 32 bits in network order. */
export const readBe32 = (bytes: Uint8Array, offset = 0): number => viewOf(bytes).getUint32(offset);
/** Reads 64 bits in network order. */
export const readBe64 = (bytes: Uint8Array, offset = 0): bigint => viewOf(bytes).getBigUint64(offset);

/** Reads text up to the first NUL, or to the end. */
export function readString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.buffer, bytes.byteOffset, end === -1 ? bytes.length : end).toString('utf8');
}
