// Captures BGP messages (RFC 4271, 4760, 2918, 7313) on the wire, so that a test sees what a speaker sends to its neighbours without relying on what either end reports.
import { addressFromBytes, type Cidr, cidrFromBytes, type IpAddress } from '@calico-openstack/addresses';
import { openWire } from '@calico-openstack/kernel/testing/wire';

export type BgpMessage = {
  readonly from: IpAddress;
  readonly to: IpAddress;
  readonly kind: 'open' | 'update' | 'notification' | 'refresh';
  /** Announcements that are new to this neighbour: of a prefix that it did not have, or had with other attributes. */
  readonly announced: readonly Cidr[];
  /** Announcements that the neighbour had already with the same attributes. */
  readonly repeated: readonly Cidr[];
  readonly withdrawn: readonly Cidr[];
};

export type BgpWire = {
  /** The messages except keepalives that arrived in the namespace since the last call, oldest first. */
  messages(): readonly BgpMessage[];
  close(): void;
};

const bgpPort = 179;
const headerBytes = 19;
const messageTypes = { 1: 'open', 2: 'update', 3: 'notification', 5: 'refresh' } as const;
const [mpReach, mpUnreach] = [14, 15] as const;

const none = { announced: [], repeated: [], withdrawn: [] } as const;

type Segment = { readonly from: IpAddress; readonly to: IpAddress; readonly stream: string; readonly sequence: number; readonly payload: Uint8Array };

/** A TCP segment to or from BGP's port; undefined for any other frame. */
function segmentOf(frame: Uint8Array): Segment | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const type = view.getUint16(12);
  const isV4 = type === 0x0800;
  if ((!isV4 && type !== 0x86dd) || frame[14 + (isV4 ? 9 : 6)] !== 6) return undefined;
  const tcp = 14 + (isV4 ? (frame[14]! & 15) * 4 : 40);
  const end = 14 + (isV4 ? view.getUint16(16) : 40 + view.getUint16(18));
  const [fromPort, toPort] = [view.getUint16(tcp), view.getUint16(tcp + 2)];
  if (fromPort !== bgpPort && toPort !== bgpPort) return undefined;
  const [from, to] = (isV4 ? [26, 30] : [22, 38]).map((at) => addressFromBytes(frame.slice(at, at + (isV4 ? 4 : 16)))) as [IpAddress, IpAddress];
  const payload = frame.slice(tcp + (frame[tcp + 12]! >> 4) * 4, end);
  return { from, to, stream: `${from} ${fromPort} ${to} ${toPort}`, sequence: view.getUint32(tcp + 4), payload };
}

/** Parses prefixes in the format of UPDATE: a length in bits, and as many bytes as that takes. */
function prefixesIn(bytes: Uint8Array, addressBytes: 4 | 16): readonly Cidr[] {
  const found: Cidr[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes[at]!;
    const held = Math.ceil(length / 8);
    const address = new Uint8Array(addressBytes);
    address.set(bytes.subarray(at + 1, at + 1 + held));
    found.push(cidrFromBytes(address, length));
    at += 1 + held;
  }
  return found;
}

type Update = { readonly announced: readonly Cidr[]; readonly withdrawn: readonly Cidr[]; readonly attributes: string };

function updateIn(body: Uint8Array): Update {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const attributes = 4 + view.getUint16(0);
  const end = attributes + view.getUint16(attributes - 2);
  const withdrawn = [...prefixesIn(body.subarray(2, attributes - 2), 4)];
  const announced = [...prefixesIn(body.subarray(end), 4)];
  const others: Uint8Array[] = [];
  for (let at = attributes; at < end; ) {
    const isLong = (body[at]! & 0x10) !== 0;
    const start = at + (isLong ? 4 : 3);
    const length = isLong ? view.getUint16(at + 2) : body[at + 2]!;
    const value = body.subarray(start, start + length);
    const width = value[1] === 2 ? 16 : 4;
    const nextHopEnd = 4 + value[3]! + 1;
    if (body[at + 1] === mpReach) announced.push(...prefixesIn(value.subarray(nextHopEnd), width));
    if (body[at + 1] === mpUnreach) withdrawn.push(...prefixesIn(value.subarray(3), width));
    others.push(body[at + 1] === mpReach ? value.subarray(0, nextHopEnd) : body.subarray(at, start + length));
    at = start + length;
  }
  return { announced, withdrawn, attributes: Buffer.concat(others).toString('hex') };
}

/** Captures messages that arrive in a namespace. It must be opened before the sessions are established, because the routes of a neighbour are derived from all messages to it. */
export function watchBgp(namespace: string): BgpWire {
  const wire = openWire(namespace);
  /** The routes that each neighbour has been sent by each speaker, with their attributes. */
  const told = new Map<string, Map<Cidr, string>>();
  const streams = new Map<string, { next: number; rest: Uint8Array }>();

  function judged(from: IpAddress, to: IpAddress, { announced, withdrawn, attributes }: Update): Pick<BgpMessage, 'announced' | 'repeated' | 'withdrawn'> {
    const known = told.get(`${from} ${to}`) ?? new Map<Cidr, string>();
    told.set(`${from} ${to}`, known);
    const repeated = announced.filter((prefix) => known.get(prefix) === attributes);
    for (const prefix of announced) known.set(prefix, attributes);
    for (const prefix of withdrawn) known.delete(prefix);
    return { announced: announced.filter((prefix) => !repeated.includes(prefix)), repeated, withdrawn };
  }

  function take({ from, to, stream, sequence, payload }: Segment): readonly BgpMessage[] {
    const known = streams.get(stream) ?? { next: sequence, rest: new Uint8Array() };
    const repeated = (known.next - sequence) | 0; // TCP sent these bytes again, because an acknowledgement was late
    if (repeated < 0) throw new Error(`a segment of ${stream} was not seen`);
    const fresh = payload.subarray(repeated);
    const bytes = Buffer.concat([known.rest, fresh]);
    const found: BgpMessage[] = [];
    let at = 0;
    while (bytes.length - at >= headerBytes) {
      if (bytes.subarray(at, at + 16).some((byte) => byte !== 255)) throw new Error(`${stream} is not at the beginning of a message`);
      const length = bytes.readUInt16BE(at + 16);
      if (bytes.length - at < length) break;
      const kind = messageTypes[bytes[at + 18] as keyof typeof messageTypes];
      if (kind === 'open') told.delete(`${from} ${to}`);
      const lists = kind === 'update' ? judged(from, to, updateIn(bytes.subarray(at + headerBytes, at + length))) : none;
      // Subtypes 1 and 2 mark the beginning and end of a repetition of all routes. Only subtype 0 requests the neighbour's routes.
      if (kind && (kind !== 'refresh' || bytes[at + headerBytes + 2] === 0)) found.push({ from, to, kind, ...lists });
      at += length;
    }
    streams.set(stream, { next: (known.next + fresh.length) >>> 0, rest: bytes.subarray(at) });
    return found;
  }

  return {
    messages: () =>
      wire.receive().flatMap(({ frame }) => {
        const segment = segmentOf(frame);
        return segment && segment.payload.length > 0 ? take(segment) : [];
      }),
    close: () => wire.close(),
  };
}
