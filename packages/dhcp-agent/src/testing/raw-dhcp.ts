// A guest that sends arbitrary DHCP messages, byte by byte, and records the answers on its interface.
import { spawn } from 'node:child_process';
import { addressBytes, addressFromBytes, linkLocalOf, macBytes } from '@calico-openstack/addresses';
import { frame, parseFrame } from '@calico-openstack/kernel/testing/frames';
import { openWire } from '@calico-openstack/kernel/testing/wire';
import type { Guest } from './world.ts';

export type Bytes = readonly number[];
const u16 = (value: number): number[] => [(value >> 8) & 255, value & 255];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];
const readU16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;

export const kind4 = { discover: 1, request: 3, decline: 4, release: 7, inform: 8 } as const;
export type Message4 = {
  readonly kind: keyof typeof kind4;
  readonly chaddr?: string;
  readonly ciaddr?: string;
  readonly requested?: string;
  readonly server?: string;
  readonly giaddr?: string;
  readonly clientId?: Bytes;
  /** The codes of the options that the client requests, and the longest message that it accepts. */
  readonly wanted?: Bytes;
  readonly longestBytes?: number;
  /** More options, by code. */
  readonly more?: Readonly<Record<number, Bytes>>;
};
/** An answer. `options` are by code, in hexadecimal digits; `bootServer` and `bootFile` are the header's siaddr and file. */
export type Answer4 = {
  readonly kind: 'offer' | 'ack' | 'nak' | number;
  readonly address: string;
  readonly bootServer: string;
  readonly bootFile: string;
  readonly options: Readonly<Record<number, string>>;
};

export const type6 = { solicit: 1, request: 3, confirm: 4, renew: 5, rebind: 6, release: 8, decline: 9, relay: 12 } as const;
export type Message6 = {
  readonly type: keyof typeof type6;
  readonly duid?: Bytes;
  readonly iaid?: number;
  readonly addresses?: readonly string[];
  /** The server's DUID. */
  readonly server?: Bytes;
};
/** An answer. `addresses` have their valid lifetimes in seconds. `statuses` are the status codes of the message and of its options. */
export type Answer6 = {
  readonly type: number;
  readonly server: Bytes;
  readonly client: Bytes;
  readonly addresses: Readonly<Record<string, number>>;
  readonly statuses: readonly number[];
  readonly dnsServers: readonly string[];
  /** The options of the message by code, in hexadecimal digits. */
  readonly options: Readonly<Record<number, string>>;
};

export interface RawGuest {
  readonly mac: string;
  readonly duid: Bytes;
  /** Sends a message and waits for the answer; undefined when there is none in time. By default that is long, because a busy machine may take seconds. */
  ask4(message: Message4, waitMs?: number): Promise<Answer4 | undefined>;
  ask6(message: Message6, waitMs?: number): Promise<Answer6 | undefined>;
  /** Sends a message that must get no answer, and then one of its own that gets one. Resolves with the answer to the former, which Dnsmasq would have given first; undefined when there is none. */
  unanswered4(message: Message4): Promise<Answer4 | undefined>;
  /** Sends a message without waiting for an answer. */
  tell6(message: Message6): void;
  /** Sends a message again and again, as fast as possible, until stopped. */
  flood6(message: Message6): { stop(): void };
  /** Gets a lease, by SOLICIT and REQUEST. */
  lease6(message?: Partial<Message6>): Promise<Answer6 | undefined>;
  close(): void;
}

/** How long an answer that has to come is waited for: a busy machine may take seconds. */
const patientMs = 60_000;

let lastXid = 1;

export function rawGuest(guest: Guest, mac: string): RawGuest {
  const wire = openWire(guest.namespace);
  const index = Number(guest.run('cat', '/sys/class/net/eth0/ifindex'));
  const own = macBytes(mac);
  const linkLocal = addressBytes(linkLocalOf(mac));
  const duid = [0, 3, 0, 1, ...own];

  function send4(
    xid: number,
    { kind, chaddr = mac, ciaddr = '0.0.0.0', requested, server, giaddr = '0.0.0.0', clientId, wanted, longestBytes, more = {} }: Message4,
  ): void {
    const options = [
      [53, 1, kind4[kind]],
      ...(requested === undefined ? [] : [[50, 4, ...addressBytes(requested)]]),
      ...(server === undefined ? [] : [[54, 4, ...addressBytes(server)]]),
      ...(clientId === undefined ? [] : [[61, clientId.length, ...clientId]]),
      ...(wanted === undefined ? [] : [[55, wanted.length, ...wanted]]),
      ...(longestBytes === undefined ? [] : [[57, 2, ...u16(longestBytes)]]),
      ...Object.entries(more).map(([code, value]) => [Number(code), value.length, ...value]),
      [255],
    ].flat();
    const fixed = [1, 1, 6, 0, ...u32(xid), ...u32(0), ...addressBytes(ciaddr), ...u32(0), ...u32(0), ...addressBytes(giaddr), ...macBytes(chaddr)];
    const payload = Uint8Array.from([...fixed, ...new Array<number>(10 + 192).fill(0), 0x63, 0x82, 0x53, 0x63, ...options, ...new Array<number>(60).fill(0)]);
    const addresses = { source: addressBytes(ciaddr), destination: addressBytes('255.255.255.255') };
    wire.send(index, frame({ sourceMac: mac, destinationMac: 'ff:ff:ff:ff:ff:ff', ...addresses, protocol: 17, sourcePort: 68, destinationPort: 67, payload }));
  }

  function frame6(xid: number, { type, duid: client = duid, iaid = 1, addresses = [], server }: Message6): Uint8Array {
    const option = (code: number, value: Bytes): number[] => [...u16(code), ...u16(value.length), ...value];
    const inside = addresses.flatMap((address) => option(5, [...addressBytes(address), ...u32(0), ...u32(0)]));
    const options = [
      ...option(1, client),
      ...(server === undefined ? [] : option(2, server)),
      ...option(8, [0, 0]),
      ...option(3, [...u32(iaid), ...u32(0), ...u32(0), ...inside]),
    ];
    const message = [type6[type], xid >>> 16, ...u16(xid & 0xffff), ...options];
    return frame({
      sourceMac: mac,
      destinationMac: '33:33:00:01:00:02',
      source: linkLocal,
      destination: addressBytes('ff02::1:2'),
      protocol: 17,
      sourcePort: 546,
      destinationPort: 547,
      payload: Uint8Array.from(message),
    });
  }

  async function answer<T>(waitMs: number, read: (destinationPort: number, payload: Uint8Array) => T | undefined): Promise<T | undefined> {
    for (const giveUpMs = performance.now() + waitMs; performance.now() < giveUpMs; ) {
      for (const { frame: bytes } of wire.receive()) {
        const parsed = parseFrame(bytes);
        const found = parsed?.protocol === 17 ? read(parsed.destinationPort, parsed.payload.subarray(8)) : undefined;
        if (found !== undefined) return found;
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return undefined;
  }

  /** Answers are recognised by 16 bits of their transaction's number. */
  const nextXid = (): number => {
    lastXid = (lastXid % 0xffff) + 1;
    return lastXid;
  };
  const self: RawGuest = {
    mac,
    duid,
    async ask4(message, waitMs = patientMs) {
      const xid = nextXid();
      send4(xid, message);
      return answer(waitMs, (port, payload) => (port === 68 && readU16(payload, 6) === xid ? parse4(payload) : undefined));
    },
    async ask6(message, waitMs = patientMs) {
      const xid = nextXid();
      wire.send(index, frame6(xid, message));
      return answer(waitMs, (port, payload) => (port === 546 && readU16(payload, 2) === xid ? parse6(payload) : undefined));
    },
    async unanswered4(message) {
      const [xid, ownXid] = [nextXid(), nextXid()];
      send4(xid, message);
      send4(ownXid, { kind: 'discover' });
      const first = await answer(patientMs, (port, payload) =>
        port === 68 && [xid, ownXid].includes(readU16(payload, 6)) ? { xid: readU16(payload, 6), answer: parse4(payload) } : undefined,
      );
      if (first === undefined) throw new Error('a DISCOVER of its own was not answered either');
      return first.xid === xid ? first.answer : undefined;
    },
    tell6: (message) => wire.send(index, frame6(nextXid(), message)),
    flood6(message) {
      const bytes = Buffer.from(frame6(nextXid(), message)).toString('hex');
      const program = `import socket; s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); s.bind(("eth0",0)); f=bytes.fromhex("${bytes}")\nwhile True:\n try: s.send(f)\n except OSError: pass`;
      const child = spawn('ip', ['netns', 'exec', guest.namespace, 'python3', '-c', program], { stdio: 'ignore' });
      return { stop: () => child.kill('SIGKILL') };
    },
    async lease6(message = {}) {
      const offered = await self.ask6({ ...message, type: 'solicit' });
      if (!offered || Object.keys(offered.addresses).length === 0) return offered;
      return self.ask6({ ...message, type: 'request', addresses: Object.keys(offered.addresses), server: offered.server });
    },
    close: () => wire.close(),
  };
  return self;
}

/** Parses an answer. Options may go on in the fields for file and server (RFC 2131 4.1). */
function parse4(payload: Uint8Array): Answer4 {
  const options: Record<number, string> = {};
  const read = (part: Uint8Array): void => {
    for (let at = 0; at < part.length && part[at] !== 255; at += part[at] === 0 ? 1 : 2 + part[at + 1]!)
      if (part[at] !== 0) options[part[at]!] = (options[part[at]!] ?? '') + Buffer.from(part.subarray(at + 2, at + 2 + part[at + 1]!)).toString('hex');
  };
  read(payload.subarray(240));
  const overload = Number(options[52] ?? 0);
  if ((overload & 1) !== 0) read(payload.subarray(108, 236));
  if ((overload & 2) !== 0) read(payload.subarray(44, 108));
  const kind = Number.parseInt(options[53] ?? '0', 16);
  return {
    kind: ({ 2: 'offer', 5: 'ack', 6: 'nak' } as const)[kind] ?? kind,
    address: addressFromBytes(payload.subarray(16, 20)),
    bootServer: addressFromBytes(payload.subarray(20, 24)),
    bootFile: (overload & 1) === 0 ? Buffer.from(payload.subarray(108, 236)).toString('latin1').replace(/\0.*$/s, '') : '',
    options,
  };
}

function parse6(payload: Uint8Array): Answer6 {
  const found = {
    server: [] as Bytes,
    client: [] as Bytes,
    addresses: {} as Record<string, number>,
    statuses: [] as number[],
    dnsServers: [] as string[],
    options: {} as Record<number, string>,
  };
  const read = (options: Uint8Array, own = false): void => {
    for (let at = 0; at + 4 <= options.length; at += 4 + readU16(options, at + 2)) {
      const value = options.subarray(at + 4, at + 4 + readU16(options, at + 2));
      const code = readU16(options, at);
      if (own) found.options[code] = Buffer.from(value).toString('hex');
      if (code === 1) found.client = [...value];
      if (code === 2) found.server = [...value];
      if (code === 3) read(value.subarray(12));
      if (code === 5) found.addresses[addressFromBytes(value.subarray(0, 16))] = new DataView(value.buffer, value.byteOffset).getUint32(20);
      if (code === 13) found.statuses.push(readU16(value, 0));
      if (code === 23) for (let from = 0; from + 16 <= value.length; from += 16) found.dnsServers.push(addressFromBytes(value.subarray(from, from + 16)));
    }
  };
  read(payload.subarray(4), true);
  return { type: payload[0]!, ...found };
}
