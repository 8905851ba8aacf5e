// Frames as they come in on any link, before netfilter has seen them, and frames sent out of one: for what a program has to hear that the kernel is told to drop.
import koffi from 'koffi';
import {
  attachFilter,
  bind,
  close,
  errno,
  errnoName,
  type FilterInstruction,
  filterCode,
  hostIsLittleEndian,
  receiveFrom,
  sendTo,
  setSocketOption,
  socket,
} from '../netlink/libc.ts';
import { NetlinkError } from '../netlink/socket.ts';
import { attachLimitedFilter, type LinkLimit } from './link-limit.ts';

export type Frame = { readonly linkIndex: number /** The whole Ethernet frame. */; readonly bytes: Uint8Array };

export interface PacketSocket {
  /** False: the kernel does not take the limit, and one link's flood keeps the others' frames out while it lasts. */
  readonly isLimited: boolean;
  /** Sends a whole Ethernet frame out of a link. The errno's name where the kernel does not take it. */
  send(linkIndex: number, frame: Uint8Array): string | undefined;
  close(): void;
}

const [familyPacket, socketRaw, closeOnExec, dontWait] = [17, 3, 0o2000000, 0x40] as const;
/** SO_RCVBUFFORCE: whatever net.core.rmem_max says, room for what a thousand links may send at once. */
const [levelSocket, receiveBuffer] = [1, 33] as const;
const queueBytes = 8 * 1024 * 1024;
const frameBytes = 2048;
/** Frames are taken so many at a time, with a rest between: a flood costs this much, and the kernel drops what is beyond the queue. */
const framesPerTurn = 128;
const restMs = 10;
/** Offset of the packet's kind (PACKET_OUTGOING and so on) as the filter sees it: SKF_AD_OFF + SKF_AD_PKTTYPE. */
const packetKind = 0xffff_f000 + 4;
const outgoing = 4;

/**
 * Listens on all links of this network namespace for frames of an Ethernet type that the filter lets through (it ends in what it lets through; what this host itself
 * sends is passed over before), of each link as many as its limit says. Keeps the process alive until closed. Throws NetlinkError when the kernel refuses (without CAP_NET_RAW).
 */
export function openPacketSocket(etherType: number, filter: readonly FilterInstruction[], limit: LinkLimit, onFrame: (frame: Frame) => void): PacketSocket {
  // Of no protocol at first: nothing may come in before the filter is there.
  const fd = socket(familyPacket, socketRaw | closeOnExec, 0);
  if (fd < 0) throw failure('cannot open a packet socket');
  setSocketOption(fd, levelSocket, receiveBuffer, queueBytes);
  const whole: readonly FilterInstruction[] = [
    [filterCode.loadWord, 0, 0, packetKind],
    [filterCode.jumpIfEqual, 0, 1, outgoing],
    [filterCode.giveBack, 0, 0, 0],
    ...filter,
  ];
  const isLimited = attachLimitedFilter(fd, filter, limit);
  if ((!isLimited && attachFilter(fd, whole) < 0) || bind(fd, linkAddress(etherType, 0), 20) < 0) {
    const error = failure('cannot set up a packet socket');
    close(fd);
    throw error;
  }
  const buffer = new Uint8Array(frameBytes);
  const from = new Uint8Array(20);
  const fromView = new DataView(from.buffer);
  const fromLength = new Uint8Array(new Uint32Array([from.length]).buffer);
  let resting: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  function take(): void {
    for (let taken = 0; taken < framesPerTurn; taken += 1) {
      const length = receiveFrom(fd, buffer, buffer.length, dontWait, from, fromLength);
      if (length < 0) return;
      onFrame({ linkIndex: fromView.getInt32(4, hostIsLittleEndian), bytes: buffer.slice(0, length) });
      if (closed) return;
    }
    handle.stop();
    resting = setTimeout(() => handle.start({ readable: true }, onReadable), restMs);
  }

  const onReadable = (...args: readonly unknown[]): void => {
    if (closed) return;
    // A negative status: the handle has stopped (a link that goes down is told so).
    if (typeof args[0] === 'number' && args[0] < 0) handle.start({ readable: true }, onReadable);
    take();
  };
  const handle = koffi.node.poll(fd, { readable: true }, onReadable);

  return {
    isLimited,
    send: (linkIndex, frame) => (sendTo(fd, frame, frame.length, dontWait, linkAddress(0, linkIndex), 20) < 0 ? errnoName(errno()) : undefined),
    close() {
      if (closed) return;
      closed = true;
      clearTimeout(resting);
      handle.close();
      close(fd);
    },
  };
}

/** sockaddr_ll: family, protocol in network order, index. */
function linkAddress(protocol: number, linkIndex: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, familyPacket, hostIsLittleEndian);
  view.setUint16(2, protocol);
  view.setInt32(4, linkIndex, hostIsLittleEndian);
  return bytes;
}

function failure(what: string): NetlinkError {
  const code = errnoName(errno());
  return new NetlinkError(code, `${what}: ${code}`);
}
