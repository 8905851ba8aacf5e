// Sends and receives frames on the interfaces of a network namespace, for tests and benches that judge by packets alone.
import koffi from 'koffi';
import { bind, close, errno, errnoName, send, setSocketOption, socket, waitReadable } from '../netlink/libc.ts';
import { inNamespace } from '../netlink/namespace.ts';

const libc = koffi.load('libc.so.6');
const recvfrom: (fd: number, bytes: Uint8Array, length: number, flags: number, from: Uint8Array, fromLength: Uint8Array) => number = libc.func(
  'long recvfrom(int, uint8_t *, size_t, int, uint8_t *, uint8_t *)',
);

const [AF_PACKET, SOCK_RAW, SOCK_CLOEXEC, MSG_DONTWAIT, SOL_SOCKET, SO_RCVBUFFORCE, ETH_P_ALL] = [17, 3, 0o2000000, 0x40, 1, 33, 3] as const;
const outgoing = 4; // PACKET_OUTGOING: sent by this namespace itself

/** A received frame. `atMs`: when it was read, by performance.now(). */
export type Received = { readonly interfaceIndex: number; readonly frame: Uint8Array; readonly atMs: number };

/** An open packet socket in a namespace. */
export interface Wire {
  /** Sends an Ethernet frame out of an interface. */
  send(interfaceIndex: number, frame: Uint8Array): void;
  /** The frames that arrived on any interface since the last call, oldest first. */
  receive(): Received[];
  /** Blocks this thread until a frame arrives. Returns false after `timeoutMs`. */
  wait(timeoutMs: number): boolean;
  close(): void;
}

/** A struct sockaddr_ll: family, protocol in network order, index. */
function linkAddress(protocol: number, interfaceIndex: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, interfaceIndex, true);
  return bytes;
}

/** Opens a wire in the namespace with this name (as `ip netns` knows it). */
export function openWire(namespace: string): Wire {
  const openSocket = (protocol: number): number => {
    const fd = inNamespace(namespace, () => socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, ((protocol & 255) << 8) | (protocol >> 8)));
    if (fd < 0) throw new Error(`cannot open a packet socket in ${namespace}: ${errnoName(errno())}`);
    return fd;
  };
  const listening = openSocket(ETH_P_ALL);
  setSocketOption(listening, SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20);
  const sending = new Map<number, number>();
  const buffer = new Uint8Array(65536);
  const from = new Uint8Array(20);
  const fromView = new DataView(from.buffer);
  return {
    send(interfaceIndex, frame) {
      let fd = sending.get(interfaceIndex);
      if (fd === undefined) {
        fd = openSocket(0);
        if (bind(fd, linkAddress(0, interfaceIndex), 20) < 0)
          throw new Error(`cannot send on interface ${interfaceIndex} of ${namespace}: ${errnoName(errno())}`);
        sending.set(interfaceIndex, fd);
      }
      send(fd, frame, frame.length, 0); // a full queue drops the frame, as real hardware would
    },
    receive() {
      const received: Received[] = [];
      for (;;) {
        const length = recvfrom(listening, buffer, buffer.length, MSG_DONTWAIT, from, Uint8Array.of(20, 0, 0, 0));
        if (length < 0) return received;
        if (from[10] !== outgoing) received.push({ interfaceIndex: fromView.getInt32(4, true), frame: buffer.slice(0, length), atMs: performance.now() });
      }
    },
    wait: (timeoutMs) => waitReadable(listening, timeoutMs),
    close() {
      for (const fd of [listening, ...sending.values()]) close(fd);
    },
  };
}
