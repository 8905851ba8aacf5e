// Plays many guests' DHCP clients in one namespace, by frames. The bench decides which messages they send and when, and no real client does.
import { addressBytes, addressFromBytes, linkLocalOf, macBytes } from '@calico-openstack/addresses';
import { frame, parseFrame } from '@calico-openstack/kernel/testing/frames';
import { openWire } from '@calico-openstack/kernel/testing/wire';

/** A guest: the interface at the other end of its tap, and its MAC. */
export type Guest = { readonly index: number; readonly mac: string };

/** A server's answer. */
export type Answer = {
  readonly family: 4 | 6;
  readonly kind: number;
  readonly address: string | undefined;
  readonly server: Uint8Array;
  readonly atMs: number;
};

const [discover, offer, request, acknowledge] = [1, 2, 3, 5] as const;
const [solicit, advertise, request6, reply] = [1, 2, 3, 7] as const;

/** The clients of one namespace. */
export interface Clients {
  /** Sends a DISCOVER at once, and again every `everyMs` until there is an offer, and then requests it. Resolves with the time of the lease; undefined when there is none within `limitMs`. */
  lease(family: 4 | 6, guest: Guest, everyMs: number, limitMs?: number): Promise<number | undefined>;
  /** Renews an address. Resolves whether the server confirms it within `limitMs`. */
  renew(guest: Guest, address: string, limitMs?: number): Promise<boolean>;
  close(): void;
}

/** Opens the clients of a namespace. */
export function openClients(namespace: string): Clients {
  const wire = openWire(namespace);
  const listeners = new Map<number, Set<(answer: Answer) => void>>();
  const pump = setInterval(() => {
    for (const { interfaceIndex, frame: bytes, atMs } of wire.receive()) {
      const answer = listeners.has(interfaceIndex) ? readAnswer(bytes, atMs) : undefined;
      if (answer) for (const listener of [...listeners.get(interfaceIndex)!]) listener(answer);
    }
  }, 1);

  function listen(index: number, listener: (answer: Answer) => void): () => void {
    const all = listeners.get(index) ?? new Set();
    listeners.set(index, all.add(listener));
    return () => {
      all.delete(listener);
    };
  }

  return {
    lease: (family, guest, everyMs, limitMs = 15_000) =>
      new Promise((resolve) => {
        const ask = (): void => wire.send(guest.index, family === 4 ? question4(guest.mac, discover) : question6(guest.mac, solicit));
        const stop = listen(guest.index, (answer) => {
          if (answer.family !== family || answer.address === undefined) return;
          const { kind, address, server } = answer;
          if (kind === (family === 4 ? offer : advertise))
            wire.send(
              guest.index,
              family === 4 ? question4(guest.mac, request, { requested: address, server }) : question6(guest.mac, request6, { address, server }),
            );
          else if (kind === (family === 4 ? acknowledge : reply)) done(answer.atMs);
        });
        const asking = setInterval(ask, everyMs);
        const late = setTimeout(() => done(undefined), limitMs);
        function done(atMs: number | undefined): void {
          stop();
          clearInterval(asking);
          clearTimeout(late);
          resolve(atMs);
        }
        ask();
      }),
    renew: (guest, address, limitMs = 1000) =>
      new Promise((resolve) => {
        const stop = listen(guest.index, (answer) => {
          if (answer.family === 4 && answer.kind === acknowledge && answer.address === address) done(true);
        });
        const late = setTimeout(() => done(false), limitMs);
        function done(isAnswered: boolean): void {
          stop();
          clearTimeout(late);
          resolve(isAnswered);
        }
        wire.send(guest.index, question4(guest.mac, request, { held: address }));
      }),
    close() {
      clearInterval(pump);
      wire.close();
    },
  };
}

const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

/** A DHCPv4 message (RFC 2131 2). */
function question4(mac: string, kind: number, more: { readonly requested?: string; readonly server?: Uint8Array; readonly held?: string } = {}): Uint8Array {
  const held = addressBytes(more.held ?? '0.0.0.0');
  const fixed = [
    1,
    1,
    6,
    0,
    ...macBytes(mac).subarray(2),
    0,
    0,
    0,
    0,
    ...held,
    ...new Array<number>(12).fill(0),
    ...macBytes(mac),
    ...new Array<number>(202).fill(0),
  ];
  const options = [
    ...[53, 1, kind],
    ...(more.requested === undefined ? [] : [50, 4, ...addressBytes(more.requested)]),
    ...(more.server === undefined ? [] : [54, 4, ...more.server]),
    255,
  ];
  return frame({
    sourceMac: mac,
    destinationMac: 'ff:ff:ff:ff:ff:ff',
    source: held,
    destination: addressBytes('255.255.255.255'),
    protocol: 17,
    sourcePort: 68,
    destinationPort: 67,
    payload: Uint8Array.from([...fixed, 0x63, 0x82, 0x53, 0x63, ...options, ...new Array<number>(60).fill(0)]),
  });
}

/** A DHCPv6 message (RFC 8415 8) with one association. */
function question6(mac: string, type: number, more: { readonly address?: string; readonly server?: Uint8Array } = {}): Uint8Array {
  const option = (code: number, value: readonly number[]): number[] => [0, code, 0, value.length, ...value];
  const inside = more.address === undefined ? [] : option(5, [...addressBytes(more.address), ...u32(0), ...u32(0)]);
  const options = [
    ...option(1, [0, 3, 0, 1, ...macBytes(mac)]),
    ...(more.server === undefined ? [] : option(2, [...more.server])),
    ...option(8, [0, 0]),
    ...option(3, [...u32(1), ...u32(0), ...u32(0), ...inside]),
  ];
  return frame({
    sourceMac: mac,
    destinationMac: '33:33:00:01:00:02',
    source: addressBytes(linkLocalOf(mac)),
    destination: addressBytes('ff02::1:2'),
    protocol: 17,
    sourcePort: 546,
    destinationPort: 547,
    payload: Uint8Array.from([type, ...macBytes(mac).subarray(3), ...options]),
  });
}

function readAnswer(bytes: Uint8Array, atMs: number): Answer | undefined {
  const parsed = parseFrame(bytes);
  if (parsed?.protocol !== 17) return undefined;
  const message = parsed.payload.subarray(8);
  if (parsed.destinationPort === 68) return readAnswer4(message, atMs);
  return parsed.destinationPort === 546 ? readAnswer6(message, atMs) : undefined;
}

function readAnswer4(message: Uint8Array, atMs: number): Answer {
  const options = new Map<number, Uint8Array>();
  for (let at = 240; at < message.length && message[at] !== 255; at += 2 + message[at + 1]!)
    options.set(message[at]!, message.subarray(at + 2, at + 2 + message[at + 1]!));
  return { family: 4, kind: options.get(53)?.[0] ?? 0, address: addressFromBytes(message.subarray(16, 20)), server: options.get(54) ?? new Uint8Array(), atMs };
}

function readAnswer6(message: Uint8Array, atMs: number): Answer {
  let [address, server]: [string | undefined, Uint8Array] = [undefined, new Uint8Array()];
  const read = (options: Uint8Array): void => {
    for (let at = 0; at + 4 <= options.length; ) {
      const length = (options[at + 2]! << 8) | options[at + 3]!;
      const value = options.subarray(at + 4, at + 4 + length);
      if (options[at + 1] === 2) server = value;
      if (options[at + 1] === 3) read(value.subarray(12));
      if (options[at + 1] === 5) address = addressFromBytes(value.subarray(0, 16));
      at += 4 + length;
    }
  };
  read(message.subarray(4));
  return { family: 6, kind: message[0]!, address, server, atMs };
}
