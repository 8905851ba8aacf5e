// Encodes a transaction's operations as one batch of netlink messages, and translates a refusal of the kernel (message number and offset) back to the object that it is about.
import { unreachable } from '@calico-openstack/agent/errors';
import { eachAttribute, flag, longestAttribute, MessageWriter, headerLength as netlinkHeaderLength } from '../netlink/attributes.ts';
import type { NetlinkRefusal } from '../netlink/socket.ts';
import { writeData, writeExpression } from './expressions.ts';
import { limitExpression } from './limit-expression.ts';
import type { DataType, NftChain, NftElement, NftSet, TableFamily } from './objects.ts';
import type { Operation } from './operations.ts';
import { printOperation } from './print.ts';
import * as nft from './protocol.ts';
import { commentData } from './rules.ts';
import type { NftRefusal } from './table.ts';
import { hostOrder, isHostOrder, typeId, widthOf } from './types.ts';
import { verdictData } from './verdict-data.ts';

/** An encoded batch. `describe` names the object that a refusal is about. */
export type Batch = { readonly bytes: Uint8Array; readonly describe: (refusal: NetlinkRefusal) => NftRefusal };

/** The origin of a message: which operation, and which of its rules or elements. */
type Origin = { readonly sequence: number; readonly at: number; readonly operation?: Operation; readonly first?: number };

/** The greatest length of a message's list of elements. It stays well below what the attribute's length field can express. */
const longestElementList = longestAttribute - 1024;
const write = flag.request | flag.create;

/**
 * Encodes all operations, in order, as one batch. With `generation`, the kernel refuses the batch (ERESTART) when somebody else has committed a transaction since. The last operation
 * asks for an acknowledgement, so that a batch without any answer is not taken for done. `nextSequence` numbers the messages.
 */
export function encodeBatch(
  family: TableFamily,
  table: string,
  operations: readonly Operation[],
  generation: number | undefined,
  nextSequence: () => number,
): Batch {
  const batch = new BatchWriter(family, table, nextSequence);
  batch.begin(generation);
  for (const operation of operations) batch.write(operation);
  const { bytes, origins } = batch.end();
  return { bytes, describe: (refusal) => describe(bytes, origins, family, table, refusal) };
}

/** Writes the messages of one batch into one buffer, and notes what each was made of. */
class BatchWriter {
  readonly #family: TableFamily;
  readonly #table: string;
  readonly #nextSequence: () => number;
  readonly #writer = new MessageWriter(64 * 1024);
  readonly #familyHeader: Uint8Array;
  readonly #batchHeader = nft.header(0, nft.subsystemNumber);
  readonly #origins: Origin[] = [];
  #setId = 0;
  #lastMessage = 0;

  constructor(family: TableFamily, table: string, nextSequence: () => number) {
    this.#family = family;
    this.#table = table;
    this.#nextSequence = nextSequence;
    this.#familyHeader = nft.header(nft.familyNumber[family]);
  }

  begin(generation: number | undefined): void {
    this.#bound(nft.batchBegin);
    if (generation !== undefined) this.#writer.be32(nft.batchGeneration, generation);
    this.#writer.end();
  }

  write(operation: Operation): void {
    switch (operation.verb) {
      case 'add table':
        this.#beginMessage(nft.message.newTable, write, operation);
        this.#writer.string(nft.table.name, this.#table);
        this.#writer.be32(nft.table.flags, operation.owned ? nft.tableFlag.owner | nft.tableFlag.persist : 0); // flags 0 also switches on a table that somebody has switched off (dormant)
        this.#writer.end();
        return;
      case 'delete table':
        this.#beginMessage(nft.message.deleteTable, flag.request, operation);
        this.#writer.string(nft.table.name, this.#table);
        this.#writer.end();
        return;
      case 'flush chain':
        this.#byName(nft.message.deleteRule, operation, nft.rule.table, nft.rule.chain, operation.chain);
        return;
      case 'delete chain':
        this.#byName(nft.message.deleteChain, operation, nft.chain.table, nft.chain.name, operation.chain);
        return;
      case 'delete set':
        this.#byName(nft.message.deleteSet, operation, nft.set.table, nft.set.name, operation.set);
        return;
      case 'delete object':
        this.#beginMessage(nft.message.deleteObject, flag.request, operation);
        this.#writer.string(nft.object.table, this.#table);
        this.#writer.string(nft.object.name, operation.object);
        this.#writer.be32(nft.object.type, operation.kind);
        this.#writer.end();
        return;
      case 'add set':
        this.#addSet(operation, operation.set);
        return;
      case 'add chain':
        this.#addChain(operation, operation.chain);
        return;
      case 'add rules':
        this.#addRules(operation, operation.chain, operation.encoded);
        return;
      case 'add elements':
        this.#writeElements(nft.message.newElements, write, operation, operation.set, operation.elements);
        return;
      case 'delete elements':
        this.#writeElements(nft.message.deleteElements, flag.request, operation, operation.set, operation.elements);
        return;
      default:
        unreachable(operation);
    }
  }

  end(): { readonly bytes: Uint8Array; readonly origins: readonly Origin[] } {
    this.#writer.addFlags(this.#lastMessage, flag.acknowledge);
    this.#bound(nft.batchEnd);
    this.#writer.end();
    return { bytes: this.#writer.bytes(), origins: this.#origins };
  }

  #beginMessage(message: number, flags: number, operation: Operation, first?: number): void {
    const sequence = this.#nextSequence();
    this.#lastMessage = this.#writer.length;
    this.#origins.push({ sequence, at: this.#writer.length, operation, ...(first === undefined ? {} : { first }) });
    this.#writer.begin(nft.messageType(message), flags, sequence);
    this.#writer.raw(this.#familyHeader);
  }

  /** The first message of the batch, or the last one. */
  #bound(type: number): void {
    const sequence = this.#nextSequence();
    this.#origins.push({ sequence, at: this.#writer.length });
    this.#writer.begin(type, flag.request, sequence);
    this.#writer.raw(this.#batchHeader);
  }

  /** Writes a message that names only the table and one object in it. */
  #byName(message: number, operation: Operation, tableAttribute: number, nameAttribute: number, name: string): void {
    this.#beginMessage(message, flag.request, operation);
    this.#writer.string(tableAttribute, this.#table);
    this.#writer.string(nameAttribute, name);
    this.#writer.end();
  }

  #addChain(operation: Operation, { name, hook }: NftChain): void {
    const writer = this.#writer;
    this.#beginMessage(nft.message.newChain, write | flag.exclusive, operation);
    writer.string(nft.chain.table, this.#table);
    writer.string(nft.chain.name, name);
    if (hook !== undefined) {
      const number = nft.hookNumber(this.#family, hook.hook);
      if (number === undefined) throw new RangeError(`there is no hook ${hook.hook} in the ${this.#family} family`); // setChain has refused such chains already
      writer.nested(nft.chain.hook, () => {
        writer.be32(nft.chainHook.number, number);
        writer.be32(nft.chainHook.priority, hook.priority);
        if (hook.device !== undefined) writer.string(nft.chainHook.device, hook.device);
      });
      writer.be32(nft.chain.policy, nft.policyNumber[hook.policy]);
      writer.string(nft.chain.type, hook.type);
    }
    writer.end();
  }

  #addSet(operation: Operation, set: NftSet): void {
    const writer = this.#writer;
    this.#beginMessage(nft.message.newSet, write | flag.exclusive, operation);
    writer.string(nft.set.table, this.#table);
    writer.string(nft.set.name, set.name);
    const definition = setDefinition(set);
    if (definition.flags !== 0) writer.be32(nft.set.flags, definition.flags);
    writer.be32(nft.set.keyType, definition.keyType);
    writer.be32(nft.set.keyLength, definition.keyLength);
    if (set.data !== undefined) {
      writer.be32(nft.set.dataType, definition.dataType);
      if (set.data !== 'verdict') writer.be32(nft.set.dataLength, definition.dataLength);
    }
    writer.be32(nft.set.id, ++this.#setId);
    writer.binary(nft.set.userData, setUserData(set));
    // The kernel copies this expression into each element.
    if (set.limit !== undefined) writeExpression(writer, nft.set.expression, limitExpression({ ...set.limit, over: true }));
    writer.end();
  }

  #addRules(operation: Operation, chain: NftChain, encoded: readonly Uint8Array[]): void {
    encoded.forEach((rule, at) => {
      this.#beginMessage(nft.message.newRule, write | flag.append, operation, at);
      this.#writer.string(nft.rule.table, this.#table);
      this.#writer.string(nft.rule.chain, chain.name);
      this.#writer.raw(rule);
      this.#writer.end();
    });
  }

  /** Writes elements in as many messages as they need: the length field of a list has only 16 bits. */
  #writeElements(message: number, flags: number, operation: Operation, set: NftSet, elements: readonly NftElement[]): void {
    const writer = this.#writer;
    for (let at = 0; at < elements.length; ) {
      this.#beginMessage(message, flags, operation, at);
      writer.string(nft.elements.table, this.#table);
      writer.string(nft.elements.set, set.name);
      const list = writer.openNest(nft.elements.list);
      const start = writer.length;
      for (; at < elements.length && writer.length - start < longestElementList; at++) writeElement(writer, set, elements[at] as NftElement);
      writer.closeNest(list);
      writer.end();
    }
  }
}

/** The attributes of a set other than its names. */
export function setDefinition(set: NftSet): {
  readonly flags: number;
  readonly keyType: number;
  readonly keyLength: number;
  readonly dataType: number;
  readonly dataLength: number;
} {
  const concatenated = set.key.length > 1;
  return {
    flags: (set.data === undefined ? 0 : nft.setFlag.map) | (set.interval ? nft.setFlag.interval : 0),
    keyType: set.key.reduce((id, type) => (id << 6) | typeId(type), 0) >>> 0,
    keyLength: set.key.reduce((length, type) => length + (concatenated ? paddedWidth(widthOf(type)) : widthOf(type)), 0),
    dataType: set.data === undefined ? 0 : set.data === 'verdict' ? nft.dataTypeVerdict : typeId(set.data),
    dataLength: set.data === undefined || set.data === 'verdict' ? 0 : widthOf(set.data),
  };
}

/** The set's user data: byte orders, without which nft lists marks and names backwards, and the comment (libnftnl, udata.h). */
function setUserData(set: NftSet): Uint8Array {
  const [key] = set.key;
  const keyOrder = key !== undefined && set.key.length === 1 ? byteOrder(key) : 0;
  const parts = [Buffer.from([nft.setKeyByteOrder, 4]), hostOrder(keyOrder)];
  if (set.data !== undefined) parts.push(Buffer.from([nft.setDataByteOrder, 4]), hostOrder(set.data === 'verdict' ? 0 : byteOrder(set.data)));
  if (set.comment !== undefined) parts.push(commentData(nft.setComment, set.comment));
  return Buffer.concat(parts);
}

/** The byte order as nft numbers it. nft treats interface names as numbers of 16 bytes in host order. */
const byteOrder = (type: DataType): number => (type === 'ifname' || isHostOrder(type) ? 1 : 2);

const paddedWidth = (width: number): number => (width + 3) & ~3;

/** A key of several types with each part padded to whole registers. */
function paddedKey(set: NftSet, key: Uint8Array): Uint8Array {
  if (set.key.length === 1) return key;
  const padded = new Uint8Array(set.key.reduce((length, type) => length + paddedWidth(widthOf(type)), 0));
  let from = 0;
  let to = 0;
  for (const type of set.key) {
    const width = widthOf(type);
    padded.set(key.subarray(from, from + width), to);
    from += width;
    to += paddedWidth(width);
  }
  return padded;
}

function writeElement(writer: MessageWriter, set: NftSet, element: NftElement): void {
  const start = writer.openNest(nft.listElement);
  writeData(writer, nft.element.key, paddedKey(set, element.key));
  if (element.verdict !== undefined) writeData(writer, nft.element.data, verdictData(element.verdict));
  else if (element.data !== undefined) writeData(writer, nft.element.data, element.data);
  writer.closeNest(start);
  const end = set.interval ? firstKeyAfter(element) : undefined;
  if (end === undefined) return;
  const endStart = writer.openNest(nft.listElement);
  writeData(writer, nft.element.key, end);
  writer.be32(nft.element.flags, nft.elementIntervalEnd);
  writer.closeNest(endStart);
}

/** The first key behind an interval, which is how the kernel stores its end; undefined when the interval reaches to the last possible key. */
export function firstKeyAfter(element: NftElement): Uint8Array | undefined {
  const key = Uint8Array.from(element.keyEnd ?? element.key);
  for (let at = key.length - 1; at >= 0; at--) {
    const byte = key[at] ?? 0;
    key[at] = (byte + 1) & 0xff;
    if (byte !== 255) return key;
  }
  return undefined;
}

function describe(bytes: Uint8Array, origins: readonly Origin[], family: TableFamily, table: string, refusal: NetlinkRefusal): NftRefusal {
  const origin = origins.find(({ sequence }) => sequence === refusal.sequence);
  const object = origin === undefined ? `table ${family} ${table}` : describeOrigin(bytes, origin, family, table, refusal.offset);
  return { code: refusal.code, object, ...(refusal.detail === undefined ? {} : { detail: refusal.detail }) };
}

function describeOrigin(bytes: Uint8Array, { operation, at, first = 0 }: Origin, family: TableFamily, table: string, offset: number | undefined): string {
  if (operation === undefined) return `table ${family} ${table}`;
  if (operation.verb === 'add rules') {
    return printOperation(family, table, { ...operation, chain: { ...operation.chain, rules: operation.chain.rules.slice(first, first + 1) } });
  }
  if (operation.verb !== 'add elements' && operation.verb !== 'delete elements') return printOperation(family, table, operation);
  const element = offset === undefined ? undefined : elementAt(bytes, at, first, offset, operation.set, operation.elements);
  return printOperation(family, table, { ...operation, elements: element === undefined ? operation.elements.slice(first) : [element] });
}

/** Finds the element whose attribute starts `offset` bytes into the message at `at`. `first` is the index of the first element in that message. */
function elementAt(bytes: Uint8Array, at: number, first: number, offset: number, set: NftSet, elements: readonly NftElement[]): NftElement | undefined {
  const place = at + offset;
  let listed = -1;
  eachAttribute(bytes, at + netlinkHeaderLength + nft.headerLength, (type, list) => {
    if (type !== nft.elements.list || listed >= 0) return;
    let count = 0;
    eachAttribute(list, 0, (_type, value) => {
      if (place >= value.byteOffset - bytes.byteOffset - 4 && place < value.byteOffset - bytes.byteOffset + value.length) listed = count;
      count++;
    });
  });
  for (let index = first; index < elements.length && listed >= 0; index++) {
    const element = elements[index] as NftElement;
    listed -= set.interval && firstKeyAfter(element) !== undefined ? 2 : 1;
    if (listed < 0) return element;
  }
  return undefined;
}
