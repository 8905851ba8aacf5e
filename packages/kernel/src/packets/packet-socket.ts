// Receives frames on all links before netfilter sees them, and sends frames. It serves programs that must receive packets that the nftables rules drop.
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

/** A received Ethernet frame. */
export type Frame = { readonly linkIndex: number; readonly bytes: Uint8Array };

/** An open packet socket. */
export interface PacketSocket {
  /** Whether the kernel applies the limit. If not, a flood on one link keeps the others' frames out while it lasts. */
  readonly isLimited: boolean;
  /** Sends an Ethernet frame out of a link. Returns the errno's name when the kernel refuses it. */
  send(linkIndex: number, frame: Uint8Array): string | undefined;
  close(): void;
}

const [familyPacket, socketRaw, closeOnExec, dontWait] = [17, 3, 0o2000000, 0x40] as const;
/** The size of the queue: room for the frames that a thousand links may send at once. SO_RCVBUFFORCE sets it beyond net.core.rmem_max. */
const [levelSocket, receiveBuffer] = [1, 33] as const;
const queueBytes = 8 * 1024 * 1024;
const frameBytes = 2048;
/** The number of frames that are read at a time, with a pause in between. That limits the cost of a flood, because the kernel drops frames that do not fit into the queue. */
const framesPerTurn = 128;
const restMs = 10;
/** The offset at which a filter reads the packet's kind (PACKET_OUTGOING and so on): SKF_AD_OFF + SKF_AD_PKTTYPE. */
const packetKind = 0xffff_f000 + 4;
const outgoing = 4;

/**
 * Receives the frames of an Ethernet type on all links of this network namespace that the filter accepts (it must end with an instruction that accepts), up to the limit of each link.
 * Frames that this host sends are skipped. The socket keeps the process alive until it is closed. Throws NetlinkError when the kernel refuses (without CAP_NET_RAW).
 */
export function openPacketSocket(etherType: number, filter: readonly FilterInstruction[], limit: LinkLimit, onFrame: (frame: Frame) => void): PacketSocket {
  // The socket has no protocol at first, so that nothing is received before the filter is attached.
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
    // After a negative status the handle has stopped. A link that goes down causes that.
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

/** A struct sockaddr_ll: family, protocol in network order, index. */
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
