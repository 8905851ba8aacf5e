// Encodes and decodes ctnetlink's messages about flows (linux/netfilter/nfnetlink_conntrack.h).
import { addressBytes, addressFromBytes, familyOf, type IpFamily } from '@calico-openstack/addresses';
import { findAttribute, flag, MessageWriter, readAttributes, readBe16, readBe32 } from '../netlink/attributes.ts';
import { addressFamily, familyOfNumber } from '../netlink/family.ts';
import type { Flow, FlowChange, FlowRecord, FlowSides, FlowTuple } from './flow.ts';

/** The types of messages, with NFNL_SUBSYS_CTNETLINK in the upper byte. */
const type = { new: 0x100, get: 0x101, delete: 0x102, statistics: 0x105 } as const;
const attribute = { original: 1, reply: 2, timeout: 7, mark: 8, id: 12, master: 14, zone: 18, markMask: 21 } as const;
const tuple = { addresses: 1, protocol: 2 } as const;
const address = { ipv4Source: 1, ipv4Destination: 2, ipv6Source: 3, ipv6Destination: 4 } as const;
const protocol = { number: 1, sourcePort: 2, destinationPort: 3, icmpType: 5, icmpCode: 6, icmpv6Type: 8, icmpv6Code: 9 } as const;
const globalEntries = 1;
/** The length of struct nfgenmsg: family, version, resource. */
export const netfilterHeaderLength = 4;

function message(kind: number, flags: number, sequence: number, family: IpFamily | undefined, write: (writer: MessageWriter) => void): Uint8Array {
  const writer = new MessageWriter(256);
  append(writer, kind, flags, sequence, family, write);
  return writer.bytes();
}

function append(
  writer: MessageWriter,
  kind: number,
  flags: number,
  sequence: number,
  family: IpFamily | undefined,
  write: (writer: MessageWriter) => void,
): void {
  writer.begin(kind, flag.request | flags, sequence);
  writer.raw(Uint8Array.of(family === undefined ? 0 : addressFamily[family], 0, 0, 0));
  write(writer);
  writer.end();
}

/** A request for all flows, of one family if given. */
export const dumpFlows = (sequence: number, family: IpFamily | undefined): Uint8Array => message(type.get, flag.dump, sequence, family, () => undefined);

/** A request for the number of flows. */
export const countFlows = (sequence: number): Uint8Array => message(type.statistics, flag.acknowledge, sequence, undefined, () => undefined);

/** Reads the number of flows from an answer; undefined when the answer does not have it. */
export function readCount(payload: Uint8Array): number | undefined {
  const entries = readAttributes(payload, netfilterHeaderLength).get(globalEntries);
  return entries && readBe32(entries);
}

/** Decodes a flow of a dump; undefined when it is not of an IP family. */
export function readFlow(payload: Uint8Array): Flow | undefined {
  const family = familyOfNumber(payload[0] as number);
  const attributes = readAttributes(payload, netfilterHeaderLength);
  const [original, reply, zone] = [attributes.get(attribute.original), attributes.get(attribute.reply), attributes.get(attribute.zone)];
  if (!family || !original || !reply) return undefined;
  const mark = readMark(payload);
  return { family, original: readTuple(original), reply: readTuple(reply), zone: zone ? readBe16(zone) : 0, ...(mark !== 0 && { mark }) };
}

/** Decodes a flow of a dump to bytes. They are copied, because a dump's buffer is valid only while it is read. */
export function readFlowRecord(payload: Uint8Array): FlowRecord | undefined {
  const family = familyOfNumber(payload[0] as number);
  const [original, reply, master] = [attribute.original, attribute.reply, attribute.master].map((kind) => findAttribute(payload, netfilterHeaderLength, kind));
  if (!family || !original || !reply) return undefined;
  const { protocol: number, ...sides } = readSides(original);
  return { family, protocol: number, original: sides, reply: readSides(reply), mark: readMark(payload), ...(master && { master: readSides(master) }) };
}

/** Attributes are searched for, not collected in a Map: a review reads thousands of flows, and that garbage delays other work. */
function readSides(bytes: Uint8Array): FlowSides & { readonly protocol: number } {
  const addresses = findAttribute(bytes, 0, tuple.addresses) ?? nothing;
  const fields = findAttribute(bytes, 0, tuple.protocol) ?? nothing;
  const field = (kind: number): Uint8Array | undefined => findAttribute(fields, 0, kind);
  const portOf = (kind: number): number => {
    const found = field(kind);
    return found ? readBe16(found) : 0;
  };
  const addressOf = (v4: number, v6: number): Uint8Array => (findAttribute(addresses, 0, v4) ?? findAttribute(addresses, 0, v6) ?? nothing).slice();
  const number = field(protocol.number)?.[0] ?? 0;
  const [type, code] = isIcmp(number) ? [field(protocol.icmpType) ?? field(protocol.icmpv6Type), field(protocol.icmpCode) ?? field(protocol.icmpv6Code)] : [];
  return {
    protocol: number,
    source: addressOf(address.ipv4Source, address.ipv6Source),
    destination: addressOf(address.ipv4Destination, address.ipv6Destination),
    sourcePort: portOf(protocol.sourcePort),
    destinationPort: portOf(protocol.destinationPort),
    ...(type && code && { icmp: { type: type[0] as number, code: code[0] as number } }),
  };
}
const nothing = new Uint8Array();
const isIcmp = (number: number): boolean => number === 1 || number === 58;

/** The mark of a flow of a dump. */
export function readMark(payload: Uint8Array): number {
  const mark = findAttribute(payload, netfilterHeaderLength, attribute.mark);
  return mark ? readBe32(mark) : 0;
}

function readTuple(bytes: Uint8Array): FlowTuple {
  const parts = readAttributes(bytes);
  const addresses = readAttributes(parts.get(tuple.addresses) ?? new Uint8Array());
  const fields = readAttributes(parts.get(tuple.protocol) ?? new Uint8Array());
  const textOf = (...kinds: readonly number[]): string => {
    const found = kinds.map((kind) => addresses.get(kind)).find((one) => one !== undefined);
    return found ? addressFromBytes(found) : '';
  };
  const [sourcePort, destinationPort] = [fields.get(protocol.sourcePort), fields.get(protocol.destinationPort)];
  return {
    protocol: fields.get(protocol.number)?.[0] ?? 0,
    source: textOf(address.ipv4Source, address.ipv6Source),
    destination: textOf(address.ipv4Destination, address.ipv6Destination),
    ...(sourcePort ? { sourcePort: readBe16(sourcePort) } : {}),
    ...(destinationPort ? { destinationPort: readBe16(destinationPort) } : {}),
  };
}

function writeTuple(writer: MessageWriter, kind: number, { source, destination, ...rest }: FlowTuple): void {
  const [from, to] = familyOf(source) === 4 ? [address.ipv4Source, address.ipv4Destination] : [address.ipv6Source, address.ipv6Destination];
  writer.nested(kind, () => {
    writer.nested(tuple.addresses, () => {
      writer.binary(from, addressBytes(source));
      writer.binary(to, addressBytes(destination));
    });
    writer.nested(tuple.protocol, () => {
      writer.u8(protocol.number, rest.protocol);
      if (isIcmp(rest.protocol))
        writeEcho(writer, rest.protocol === 1 ? [4, 5, 6] : [7, 8, 9], kind === attribute.original, rest.protocol === 1 ? [8, 0] : [128, 129]);
      if (rest.sourcePort !== undefined) writer.be16(protocol.sourcePort, rest.sourcePort);
      if (rest.destinationPort !== undefined) writer.be16(protocol.destinationPort, rest.destinationPort);
    });
  });
}

/** Writes a direction of an ICMP flow, which here is always a ping with identifier 1. */
function writeEcho(writer: MessageWriter, [id, type, code]: readonly number[], asks: boolean, [request, answer]: readonly number[]): void {
  writer.be16(id as number, 1);
  writer.u8(type as number, (asks ? request : answer) as number);
  writer.u8(code as number, 0);
}

/** A request to delete the flow whose original direction is this tuple. */
export const deleteFlow = (sequence: number, original: FlowTuple, zone: number): Uint8Array =>
  message(type.delete, flag.acknowledge, sequence, familyOf(original.source), (writer) => {
    writeTuple(writer, attribute.original, original);
    if (zone !== 0) writer.be16(attribute.zone, zone);
  });

/** Writes the deletion of the flow that a dump described in `payload`. It carries the flow's id, so a later flow with the same tuple is not deleted. */
export function writeDeletionOf(writer: MessageWriter, sequence: number, payload: Uint8Array, acknowledged: boolean): void {
  append(writer, type.delete, acknowledged ? flag.acknowledge : 0, sequence, familyOfNumber(payload[0] as number), () => writeIdentity(writer, payload));
}

/** Writes a new mark, in the bits of `mask`, for the flow that a dump described in `payload`. A flow that no longer exists is not created. */
export function writeMarkOf(
  writer: MessageWriter,
  sequence: number,
  payload: Uint8Array,
  { mark, mask, timeoutSeconds }: Exclude<FlowChange, 'delete'>,
  acknowledged: boolean,
): void {
  append(writer, type.new, acknowledged ? flag.acknowledge : 0, sequence, familyOfNumber(payload[0] as number), () => {
    writeIdentity(writer, payload);
    if (timeoutSeconds !== undefined) writer.be32(attribute.timeout, timeoutSeconds);
    writer.be32(attribute.mark, (mark & mask) >>> 0);
    writer.be32(attribute.markMask, mask);
  });
}

function writeIdentity(writer: MessageWriter, payload: Uint8Array): void {
  const attributes = readAttributes(payload, netfilterHeaderLength);
  for (const kind of [attribute.original, attribute.zone, attribute.id]) {
    const value = attributes.get(kind);
    if (value === undefined) continue;
    if (kind === attribute.original) {
      const start = writer.openNest(kind);
      writer.raw(value);
      writer.closeNest(start);
    } else {
      writer.binary(kind, value);
    }
  }
}

/** Writes the creation of a flow that lasts `seconds`. For tests: normally packets create flows. */
export function writeCreation(writer: MessageWriter, sequence: number, { family, original, reply, zone, mark }: Flow, seconds: number): void {
  append(writer, type.new, flag.acknowledge | flag.create | flag.exclusive, sequence, family, () => {
    writeTuple(writer, attribute.original, original);
    writeTuple(writer, attribute.reply, reply);
    writer.be32(attribute.timeout, seconds);
    if (mark !== undefined) writer.be32(attribute.mark, mark);
    if (zone !== 0) writer.be16(attribute.zone, zone);
  });
}
