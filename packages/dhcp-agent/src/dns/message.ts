// Parses and prints DNS messages (RFC 1035 4), as far as the resolver needs that. Pure.
import { addressBytes, addressFromBytes, familyOf, type IpAddress, parseAddress } from '@calico-openstack/addresses';

/** Types of records. */
export const recordType = { a: 1, ptr: 12, aaaa: 28, opt: 41, any: 255 } as const;
/** Response codes (RFC 1035 4.1.1). */
export const responseCode = { ok: 0, malformed: 1, failed: 2, unknownKind: 4, refused: 5 } as const;

const [headerBytes, internet, longestName] = [12, 1, 255] as const;
/** The longest answer by UDP to a client that gives no length (RFC 1035 2.3.4), and the longest answer to any client, which fits into the packets of every network. */
const [usualBytes, mostBytes] = [512, 1232] as const;
/** The bits of the flags: response, authoritative, truncated, recursion desired, recursion available. */
const flag = { response: 0x8000, authoritative: 0x0400, truncated: 0x0200, desired: 0x0100, available: 0x0080 } as const;

/** A query with one question. */
export type Query = {
  readonly id: number;
  readonly flags: number;
  /** In lower case, without a dot at its end. undefined when it holds anything but letters, digits, `-` and `_`: no port has such a name. */
  readonly name: string | undefined;
  readonly type: number;
  readonly class: number;
  /** The bytes of the question section, which the answer repeats. */
  readonly question: Uint8Array;
  /** Whether the client speaks EDNS (RFC 6891). */
  readonly edns: boolean;
  /** The longest answer that the client accepts by UDP. */
  readonly longestBytes: number;
};

/** An answer's record. Its name is the question's. */
export type Answer = { readonly address: IpAddress } | { readonly name: string };

/** Parses a query. Returns the response code for a message that is not a query that this resolver understands; undefined for a message that must get no answer (it is too short, or a response). */
export function readQuery(message: Uint8Array): Query | number | undefined {
  if (message.length < headerBytes) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const [flags, questions, answers, authorities, additional] = [2, 4, 6, 8, 10].map((at) => view.getUint16(at)) as [number, number, number, number, number];
  if ((flags & flag.response) !== 0) return undefined;
  if ((flags & 0x7800) !== 0) return responseCode.unknownKind;
  if (questions !== 1 || answers !== 0 || authorities !== 0) return responseCode.malformed;
  const end = endOfName(message, headerBytes);
  if (end === undefined || end + 4 > message.length) return responseCode.malformed;
  const after = end + 4;
  const edns = additional > 0 && after + 11 <= message.length && message[after] === 0 && view.getUint16(after + 1) === recordType.opt;
  return {
    id: view.getUint16(0),
    flags,
    name: nameOf(message.subarray(headerBytes, end)),
    type: view.getUint16(end),
    class: view.getUint16(end + 2),
    question: message.slice(headerBytes, after),
    edns,
    longestBytes: edns ? Math.min(mostBytes, Math.max(usualBytes, view.getUint16(after + 3))) : usualBytes,
  };
}

/** Whether the class of the query is IN or ANY. */
export const isInternet = ({ class: asked }: Query): boolean => asked === internet || asked === recordType.any;

/** The offset behind a name that is not compressed; undefined where there is none. */
function endOfName(message: Uint8Array, from: number): number | undefined {
  for (let at = from; at < message.length && at - from < longestName; at += 1 + message[at]!) {
    if (message[at] === 0) return at + 1;
    if (message[at]! > 63) return undefined;
  }
  return undefined;
}

function nameOf(wire: Uint8Array): string | undefined {
  const labels: string[] = [];
  for (let at = 0; wire[at] !== 0; at += 1 + wire[at]!) labels.push(Buffer.from(wire.subarray(at + 1, at + 1 + wire[at]!)).toString('latin1'));
  return labels.every((label) => /^[-_0-9A-Za-z]+$/.test(label)) ? labels.join('.').toLowerCase() : undefined;
}

/** The answer to a query. `ttlSeconds` is how long the client may keep it. Records that do not fit into `longestBytes` are left out, and the TC bit has the client query again by TCP. */
export function writeAnswer(
  query: Query,
  {
    answers = [],
    code = responseCode.ok,
    ttlSeconds = 0,
    recursive = false,
    longestBytes = query.longestBytes,
  }: {
    readonly answers?: readonly Answer[];
    readonly code?: number;
    readonly ttlSeconds?: number;
    /** Whether this resolver also resolves names outside of the port's network (the RA bit). */
    readonly recursive?: boolean;
    readonly longestBytes?: number;
  },
): Uint8Array {
  const edns = query.edns ? Uint8Array.of(0, 0, recordType.opt, mostBytes >> 8, mostBytes & 255, 0, 0, 0, 0, 0, 0) : new Uint8Array();
  const records: Uint8Array[] = [];
  let roomBytes = longestBytes - headerBytes - query.question.length - edns.length;
  for (const record of answers.map((answer) => recordOf(answer, ttlSeconds))) {
    roomBytes -= record.length;
    if (roomBytes < 0) break;
    records.push(record);
  }
  const flags =
    flag.response |
    (code === responseCode.ok ? flag.authoritative : 0) |
    (records.length < answers.length ? flag.truncated : 0) |
    (query.flags & flag.desired) |
    (recursive ? flag.available : 0) |
    code;
  const header = new DataView(new ArrayBuffer(headerBytes));
  for (const [index, value] of [query.id, flags, 1, records.length, 0, edns.length > 0 ? 1 : 0].entries()) header.setUint16(2 * index, value);
  return Buffer.concat([new Uint8Array(header.buffer), query.question, ...records, edns]);
}

/** The answer to a message that this resolver does not process: a header with the response code. */
export function writeRefusal(message: Uint8Array, code: number): Uint8Array {
  const flags = flag.response | (((message[2]! << 8) | message[3]!) & (0x7800 | flag.desired)) | code;
  return Uint8Array.of(message[0]!, message[1]!, flags >> 8, flags & 255, ...new Uint8Array(8));
}

/** A record with the name of the query, as a pointer to it (RFC 1035 4.1.4). */
function recordOf(answer: Answer, ttlSeconds: number): Uint8Array {
  const [type, data] =
    'address' in answer
      ? [familyOf(answer.address) === 4 ? recordType.a : recordType.aaaa, addressBytes(answer.address)]
      : [recordType.ptr, Buffer.concat([...answer.name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.of(0)])];
  const head = new DataView(new ArrayBuffer(12));
  head.setUint16(0, 0xc000 | headerBytes);
  head.setUint16(2, type);
  head.setUint16(4, internet);
  head.setUint32(6, ttlSeconds);
  head.setUint16(10, data.length);
  return Buffer.concat([new Uint8Array(head.buffer), data]);
}

/** The address that a name of the reverse tree stands for (RFC 1035 3.5, RFC 3596 2.5); undefined for any other name. */
export function reverseAddress(name: string): IpAddress | undefined {
  const labels = name.split('.');
  const tree = labels.slice(-2).join('.');
  const parts = labels.slice(0, -2).reverse();
  if (tree === 'in-addr.arpa' && parts.length === 4) return parseAddress(parts.join('.'));
  if (tree !== 'ip6.arpa' || parts.length !== 32 || !parts.every((part) => /^[0-9a-f]$/.test(part))) return undefined;
  return addressFromBytes(Buffer.from(parts.join(''), 'hex'));
}
